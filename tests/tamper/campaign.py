"""Thousands of images, judged by worker processes: what ends or holds up a process is put down to its image."""

import multiprocessing
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from tests.tamper.bases import NAMES, make
from tests.tamper.judging import Outcome, Verdict, judge

HANG_S: Final = 20.0
"""Nothing that an image is asked takes a hundredth of it."""

_CONTEXT: Final = multiprocessing.get_context("forkserver")


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Make a directory, in memory where there is such a place, and remove it again."""
    in_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="tamper-", dir=in_memory if in_memory.is_dir() else None) as made:
        yield Path(made)


@dataclass(frozen=True)
class Plan:
    """Which images are judged, and how.

    Attributes:
        images: how many.
        seed: which.
        directory: where everything is made; in memory, for speed.
        kind: one edit only, where it is not None.
        verified: as :func:`~tests.tamper.judging.judge` has it.
        workers: number of processes.
    """

    images: int
    seed: int
    directory: Path
    kind: str | None = None
    verified: bool = True
    workers: int = 2

    @property
    def bases(self) -> Path:
        """Where the ledgers are kept."""
        return self.directory / "bases"

    def make_bases(self) -> None:
        """Make the ledgers, unless they are there."""
        if not self.bases.exists():
            self.bases.mkdir(parents=True)
            for name in NAMES:
                make(name, self.bases)


@dataclass
class Tally:
    """What came of a campaign."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    by_kind: dict[str, Counter[Outcome]] = field(default_factory=dict)
    by_base: dict[str, Counter[Outcome]] = field(default_factory=dict)
    deep_only: Counter[str] = field(default_factory=Counter)
    failures: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Count one image."""
        self.outcomes[verdict.outcome] += 1
        self.by_kind.setdefault(verdict.kind, Counter())[verdict.outcome] += 1
        self.by_base.setdefault(verdict.base, Counter())[verdict.outcome] += 1
        if verdict.outcome == "accepted" and verdict.deep is False:
            self.deep_only[verdict.kind] += 1
        if verdict.failed:
            self.failures.append(verdict)

    @property
    def images(self) -> int:
        """Number of images judged."""
        return self.outcomes.total()

    def lines(self) -> Iterator[str]:
        """Yield a report."""
        yield f"{self.images} images: " + ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(self.deep_only.items()))
        yield f"{self.deep_only.total()} accepted images are refused by deep verification only: {by_kind}"
        for title, groups in (("edit", self.by_kind), ("ledger", self.by_base)):
            for name, outcomes in sorted(groups.items()):
                counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
                yield f"  {title} {name}: {counts}"


class _Worker:
    """A process that judges images, and the image it is at."""

    def __init__(self, plan: Plan, place: int, numbers: list[int]) -> None:
        self._plan, self._place, self.remaining = plan, place, numbers
        self._begun: Verdict | None = None
        self._start()

    def _start(self) -> None:
        self.reader, writer = _CONTEXT.Pipe(duplex=False)
        directory = self._plan.directory / f"worker-{self._place}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        self._process = _CONTEXT.Process(target=_work, args=(self._plan, self.remaining, directory, writer))
        self._process.start()
        self._heard_at = time.monotonic()
        writer.close()

    def silent_s(self) -> float:
        """Return for how long nothing has been heard."""
        return time.monotonic() - self._heard_at

    def take(self) -> Verdict | None:
        """Return the verdict on the image that the process was at; None where it goes on with it."""
        self._heard_at = time.monotonic()
        try:
            kind, verdict = self.reader.recv()
        except EOFError:
            return self.lost("crashed")
        self._begun = verdict if kind == "begun" else None
        if self._begun:
            return None
        self.remaining = self.remaining[1:]
        assert isinstance(verdict, Verdict)
        return verdict

    def lost(self, outcome: Outcome) -> Verdict:
        """Return the verdict on the image that ended or held up the process, and go on behind it."""
        self._process.kill()
        self._process.join()
        code = self._process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        begun = self._begun or Verdict(self.remaining[0], "not told", "not told", "the edit itself", outcome, name)
        self._begun = None
        self.remaining = self.remaining[1:]
        if self.remaining:
            self._start()
        return replace(begun, outcome=outcome, detail=name)

    def join(self) -> None:
        """Wait for the end."""
        self._process.join()


def _work(plan: Plan, numbers: list[int], directory: Path, pipe: Connection) -> None:
    """Judge images, one after the other."""
    for number in numbers:
        verdict = judge(
            number,
            plan.seed,
            plan.bases,
            directory,
            kind=plan.kind,
            verified=plan.verified,
            begun=lambda so_far: pipe.send(("begun", so_far)),
        )
        pipe.send(("done", verdict))


def run(plan: Plan, told: Callable[[Verdict], object] = lambda _: None) -> Tally:
    """Judge all images of a plan.

    Args:
        plan: which, and how.
        told: called with each verdict.
    """
    plan.make_bases()
    tally = Tally()
    numbers = [list(range(place, plan.images, plan.workers)) for place in range(plan.workers)]
    workers = [_Worker(plan, place, list(mine)) for place, mine in enumerate(numbers) if mine]
    while workers:
        ready = wait([worker.reader for worker in workers], 1.0)
        for worker in [worker for worker in workers if worker.reader in ready or worker.silent_s() > HANG_S]:
            verdict = worker.take() if worker.reader in ready else worker.lost("hangs")
            if verdict is None:
                continue
            tally.add(verdict)
            told(verdict)
            if not worker.remaining:
                worker.join()
                workers.remove(worker)
    return tally
