"""(h) Appending through modules, (i) through a module written in Python, (j) listing what a module indexes."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

from benches.data import Datasets
from benches.ledgers import ALICE, BUILT_IN, open_ledger
from benches.measuring import Baseline, Contestant, Sampler, Scenario, Target, seconds
from benches.records import ASSETS_OF_ONE_OWNER, BATCH, asset, owner, records

from nucleus import Module, ModuleConfig, ModuleContext, Record

_BLOCK = 50
Make = Callable[[int], dict[str, Any]]


class NoOp(Module):
    """A module with a hook that leaves every record as it is."""

    def before_append(self, record: Record, context: ModuleContext) -> Record | None:
        """Leave it as it is."""


def _plain(n: int) -> dict[str, Any]:
    return records("random", n, 1)[0]


KINDS: dict[str, Make] = {"plain records": _plain, "assets": asset}


def single(kind: str, rounds: int) -> Scenario:
    """Return the comparison for one durable append through all built-in modules, against none."""
    return Scenario(
        letter="h",
        title=f"one durable append through 4 modules, {kind}",
        unit="us",
        ours=Contestant("4 modules", partial(_appending, make=KINDS[kind], modules=BUILT_IN)),
        baselines=(
            Baseline(Contestant("no modules", partial(_appending, make=KINDS[kind], modules=())), Target("ratio", 1.5)),
        ),
        rounds=rounds,
        warm_up_rounds=5,
    )


def batches(kind: str, number: int) -> Scenario:
    """Return the comparison for batches through all built-in modules, against none."""
    return Scenario(
        letter="h",
        title=f"append_batch of {BATCH:,} through 4 modules, {kind}, per record",
        unit="us",
        ours=Contestant("4 modules", partial(_batching, make=KINDS[kind], modules=BUILT_IN, number=number)),
        baselines=(
            Baseline(
                Contestant("no modules", partial(_batching, make=KINDS[kind], modules=(), number=number)),
                Target("ratio", 1.5),
            ),
        ),
    )


def python_module(number: int) -> Scenario:
    """Return the comparison for batches through one module written in Python, against none."""
    no_op = (ModuleConfig("no-op", "1", implementation=NoOp),)
    return Scenario(
        letter="i",
        title=f"append_batch of {BATCH:,} through a no-op Python module, per record",
        unit="us",
        ours=Contestant("1 Python module", partial(_batching, make=_plain, modules=no_op, number=number)),
        baselines=(
            Baseline(
                Contestant("no modules", partial(_batching, make=_plain, modules=(), number=number)),
                Target("added", 3e-6),
            ),
        ),
        rounds=9,
    )


def listing(entries: int) -> Scenario:
    """Return what listing the assets of one owner takes, against listing as many by chain order."""
    return Scenario(
        letter="j",
        title=f"list {ASSETS_OF_ONE_OWNER} assets of one owner among {entries:,}",
        unit="ms",
        ours=Contestant("by owner", partial(_listing, entries=entries, by_owner=True)),
        baselines=(
            Baseline(
                Contestant("by place in the chain", partial(_listing, entries=entries, by_owner=False)),
                Target("value", 10e-3),
            ),
        ),
    )


@contextmanager
def _appending(data: Datasets, *, make: Make, modules: Sequence[ModuleConfig]) -> Iterator[Sampler]:
    numbers = count()
    with (
        data.scratch() as directory,
        open_ledger(directory / "ledger.db", verify_on_open=False, modules=modules) as ledger,
    ):

        def append(record: dict[str, Any]) -> None:
            ledger.append(Record(**record), context=ALICE)

        yield lambda: [seconds(append, make(next(numbers))) for _ in range(_BLOCK)]


@contextmanager
def _batching(data: Datasets, *, make: Make, modules: Sequence[ModuleConfig], number: int) -> Iterator[Sampler]:
    numbers = count()
    with (
        data.scratch() as directory,
        open_ledger(directory / "ledger.db", verify_on_open=False, modules=modules) as ledger,
    ):

        def sample() -> list[float]:
            prepared = [[make(next(numbers)) for _ in range(BATCH)] for _ in range(number)]
            return [seconds(ledger.append_batch, batch, context=ALICE) / BATCH for batch in prepared]

        yield lambda: [statistics.median(sample())]


@contextmanager
def _listing(data: Datasets, *, entries: int, by_owner: bool) -> Iterator[Sampler]:
    owners = count()
    with open_ledger(data.assets(entries), verify_on_open=False, modules=BUILT_IN) as ledger:
        assets = ledger.modules.get("asset")

        def sample() -> None:
            owner_oid = owner(next(owners) * 7, entries) if by_owner else None
            page = assets.list(owner_oid=owner_oid, limit=ASSETS_OF_ONE_OWNER, context=ALICE)
            if len(page) != ASSETS_OF_ONE_OWNER:
                raise RuntimeError(f"{len(page)} assets listed instead of {ASSETS_OF_ONE_OWNER}")

        yield lambda: [seconds(sample) for _ in range(20)]
