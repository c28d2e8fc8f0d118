"""(b) Appending batches of 1,000 records from Python dicts to a large ledger, against sqlite3 + blake3 + orjson."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from benches.data import Datasets
from benches.ledgers import ALICE, LEDGER_ID, open_ledger
from benches.measuring import Baseline, Contestant, Sampler, Scenario, Target, seconds
from benches.plain import PlainLedger, TableKind
from benches.records import BATCH, IdKind, records


@dataclass(frozen=True)
class Work:
    """Appends behind ``entries`` entries with ids of one kind, ``batches`` batches a round."""

    entries: int
    ids: IdKind
    batches: int


def scenario(work: Work) -> Scenario:
    """Return the comparison for appends to a ledger of that size."""
    return Scenario(
        letter="b",
        title=f"append_batch of {BATCH:,} at {work.entries:,} entries, {work.ids} ids, per record",
        unit="us",
        ours=Contestant("nucleus", partial(_nucleus, work=work)),
        baselines=(
            Baseline(
                Contestant("sqlite3, 2 indexes", partial(_plain, work=work, kind="indexed")), Target("ratio", 1.0)
            ),
            Baseline(Contestant("sqlite3, no index", partial(_plain, work=work, kind="lean"))),
        ),
        rounds=5,
        warm_up_rounds=0,
        summaries={f"mean of {work.batches} batches": statistics.fmean, "median batch": statistics.median},
    )


@contextmanager
def _nucleus(data: Datasets, *, work: Work) -> Iterator[Sampler]:
    with data.copy(data.ledger(work.entries, work.ids)) as path, open_ledger(path, verify_on_open=False) as ledger:
        yield _sampler(partial(ledger.append_batch, context=ALICE), work)


@contextmanager
def _plain(data: Datasets, *, work: Work, kind: TableKind) -> Iterator[Sampler]:
    with (
        data.copy(data.table(work.entries, work.ids, kind)) as path,
        PlainLedger(path, ledger_id=LEDGER_ID, requester_oid=ALICE.oid) as ledger,
    ):
        yield _sampler(ledger.append_batch, work)


def _sampler(append_batch: Callable[[Sequence[dict[str, Any]]], object], work: Work) -> Sampler:
    """Return rounds that append their batches back to back, each continuing where the one before ended."""
    firsts = count(work.entries, BATCH)

    def sample() -> list[float]:
        prepared = [records(work.ids, next(firsts), BATCH) for _ in range(work.batches)]
        return [seconds(append_batch, batch) / BATCH for batch in prepared]

    # One batch of warm-up is enough: a round is long.
    append_batch(records(work.ids, next(firsts), BATCH))
    return sample
