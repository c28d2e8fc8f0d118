"""(c) One durable append, against a bare INSERT + COMMIT of the same row with synchronous=FULL."""

import statistics
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from typing import Any

from benches import plain
from benches.data import Datasets
from benches.ledgers import ALICE, LEDGER_ID, open_ledger
from benches.measuring import Baseline, Contestant, Sampler, Scenario, Target, seconds
from benches.records import records

from nucleus import Record

_BLOCK = 100
"""Appends in one round: few, because the time of an fsync drifts."""


def scenario(rounds: int) -> Scenario:
    """Return the comparison."""
    target = Target("ratio", 1.15)
    return Scenario(
        letter="c",
        title="one durable append",
        unit="us",
        ours=Contestant("nucleus", _nucleus),
        baselines=(
            Baseline(Contestant("INSERT + COMMIT, no index", partial(_plain, kind="lean")), target),
            Baseline(Contestant("INSERT + COMMIT, 2 indexes", partial(_plain, kind="indexed")), target),
        ),
        rounds=rounds,
        # Until the first checkpoint a commit makes the write-ahead log longer, which costs more than overwriting it.
        warm_up_rounds=15,
        summaries={"median": statistics.median, "mean": statistics.fmean},
    )


@contextmanager
def _nucleus(data: Datasets) -> Iterator[Sampler]:
    firsts = count(0, _BLOCK)
    with data.scratch() as directory, open_ledger(directory / "ledger.db", verify_on_open=False) as ledger:

        def append(record: dict[str, Any]) -> None:
            ledger.append(Record(**record), context=ALICE)

        yield lambda: [seconds(append, record) for record in records("random", next(firsts), _BLOCK)]


@contextmanager
def _plain(data: Datasets, *, kind: plain.TableKind) -> Iterator[Sampler]:
    firsts = count(0, _BLOCK)
    with data.scratch() as directory:
        path = directory / "plain.db"
        with closing(plain.connect(path)) as connection:
            plain.create(connection, kind)
        with plain.PlainLedger(path, ledger_id=LEDGER_ID, requester_oid=ALICE.oid) as ledger:
            yield lambda: [seconds(ledger.insert, row) for row in ledger.rows(records("random", next(firsts), _BLOCK))]
