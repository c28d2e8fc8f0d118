"""(a) Opening and verifying a ledger, against a bare scan of its rows and against a plain Python loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benches.data import Datasets
from benches.ledgers import open_ledger
from benches.measuring import Baseline, Contestant, Sampler, Scenario, Target, seconds
from benches.scan import bare_scan, python_loop


def scenario(entries: int) -> Scenario:
    """Return the comparison for a ledger of ``entries`` entries."""
    large = entries >= 100_000
    scan = Target("ratio", 1.6 if large else 2.5)
    # The median of several repetitions makes one round where a single one is too short to stand for it.
    repeats = max(1, 50_000 // entries)
    return Scenario(
        letter="a",
        title=f"open and verify, {entries:,} entries",
        unit="ms",
        ours=Contestant("nucleus", partial(_nucleus, entries=entries, repeats=repeats)),
        baselines=(
            Baseline(Contestant("bare scan, rusqlite", partial(_bare_scan, entries=entries, repeats=repeats)), scan),
            Baseline(Contestant("its SELECT alone", partial(_bare_select, entries=entries, repeats=repeats))),
            Baseline(
                Contestant("sqlite3 + hashlib loop", partial(_python_loop, entries=entries, repeats=repeats)),
                Target("ratio", 0.4) if large else None,
            ),
        ),
    )


@contextmanager
def _nucleus(data: Datasets, *, entries: int, repeats: int) -> Iterator[Sampler]:
    path = data.ledger(entries, "random")
    with open_ledger(path, verify_on_open=True) as ledger:
        _expect(entries, len(ledger), path)
    yield lambda: [seconds(_open_and_close, path) for _ in range(repeats)]


def _open_and_close(path: Path) -> None:
    open_ledger(path, verify_on_open=True).close()


@contextmanager
def _bare_scan(data: Datasets, *, entries: int, repeats: int) -> Iterator[Sampler]:
    path = data.ledger(entries, "random")
    _expect(entries, next(bare_scan(path, 1)).rows, path)
    yield lambda: [scan.total for scan in bare_scan(path, repeats)]


@contextmanager
def _bare_select(data: Datasets, *, entries: int, repeats: int) -> Iterator[Sampler]:
    path = data.ledger(entries, "random")
    yield lambda: [scan.select for scan in bare_scan(path, repeats)]


@contextmanager
def _python_loop(data: Datasets, *, entries: int, repeats: int) -> Iterator[Sampler]:
    path = data.ledger(entries, "random")
    _expect(entries, python_loop(path), path)
    yield lambda: [seconds(python_loop, path) for _ in range(repeats)]


def _expect(entries: int, found: int, path: Path) -> None:
    if found != entries:
        raise ValueError(f"{path} has {found} entries, not {entries}")
