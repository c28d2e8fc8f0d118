"""Every scenario there is, at full size and at the size of a quick look."""

from collections.abc import Sequence
from dataclasses import dataclass

from benches.measuring import Scenario
from benches.records import ID_KINDS
from benches.scenarios import access, batches, canonical, lookups, memory, modules, opening, single, threads


@dataclass(frozen=True)
class Scale:
    """How much work the scenarios do.

    Args:
        sizes: entries of the ledgers that are opened.
        large: entries of the ledger that is appended to, searched, and verified under a memory limit.
        batches: batches in one round of batch appends.
        blocks: rounds of single appends.
    """

    sizes: Sequence[int]
    large: int
    batches: int
    blocks: int


# 132 batches hold two of the index runs of 65,536 entries each: what they cost is inside every round.
FULL = Scale(sizes=(1_000, 10_000, 100_000, 1_000_000), large=1_000_000, batches=132, blocks=31)
QUICK = Scale(sizes=(1_000, 10_000, 100_000), large=100_000, batches=20, blocks=11)


def catalogue(scale: Scale) -> list[Scenario]:
    """Return the scenarios in the order in which they are run and shown."""
    return [
        *(opening.scenario(entries) for entries in scale.sizes),
        *(batches.scenario(batches.Work(scale.large, ids, scale.batches)) for ids in ID_KINDS),
        single.scenario(scale.blocks),
        threads.scenario(16),
        lookups.scenario(scale.large, "hash"),
        lookups.scenario(scale.large, "record_id"),
        memory.scenario(scale.large),
        canonical.scenario(),
        *(modules.single(kind, scale.blocks) for kind in modules.KINDS),
        *(modules.batches(kind, scale.batches) for kind in modules.KINDS),
        modules.python_module(scale.batches),
        modules.listing(scale.large),
        access.check(scale.large),
        access.same_page(scale.large),
        *(access.few_and_many(scale.large, limit) for limit in (10, 100)),
    ]
