"""(d) Many threads appending durably to one ledger, against one thread: what group commit gives."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from threading import Barrier
from time import perf_counter

from benches.data import Datasets
from benches.ledgers import ALICE, open_ledger
from benches.measuring import Baseline, Contestant, Sampler, Scenario, Target
from benches.records import records

from nucleus import Ledger, Record

_APPENDS_PER_THREAD = 500


def scenario(threads: int) -> Scenario:
    """Return the comparison of ``threads`` threads with one."""
    return Scenario(
        letter="d",
        title=f"durable appends from {threads} threads, per append",
        unit="us",
        ours=Contestant(f"nucleus, {threads} threads", partial(_nucleus, threads=threads)),
        baselines=(Baseline(Contestant("nucleus, 1 thread", partial(_nucleus, threads=1)), Target("speedup", 6)),),
    )


@contextmanager
def _nucleus(data: Datasets, *, threads: int) -> Iterator[Sampler]:
    firsts = count(0, _APPENDS_PER_THREAD)
    with data.scratch() as directory, open_ledger(directory / "ledger.db", verify_on_open=False) as ledger:

        def sample() -> list[float]:
            shares = [
                [Record(**record) for record in records("random", next(firsts), _APPENDS_PER_THREAD)]
                for _ in range(threads)
            ]
            return [_append_together(ledger, shares) / (threads * _APPENDS_PER_THREAD)]

        yield sample


def _append_together(ledger: Ledger, shares: list[list[Record]]) -> float:
    """Return the seconds from the moment all threads are ready to the last acknowledged append."""
    started: list[float] = []
    barrier = Barrier(len(shares), action=lambda: started.append(perf_counter()))

    def append_all(share: list[Record]) -> float:
        barrier.wait()
        for record in share:
            ledger.append(record, context=ALICE)
        return perf_counter()

    with ThreadPoolExecutor(max_workers=len(shares)) as pool:
        return max(pool.map(append_all, shares)) - started[0]
