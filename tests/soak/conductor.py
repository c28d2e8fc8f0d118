"""Starts the workers, kills and stops them at random, starts them again, and watches that none hangs."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.soak.openings import open_soaked
from tests.soak.roles import LEDGERS, ROLES, Role
from tests.soak.worker import Life, live

MEAN_PAUSE_S = 0.1
KILLED_SHARE = 0.05
# Most stops are moments, which fall between two steps of something; some make others wait.
LONG_STOPS_SHARE = 0.1
MOMENT_S = 0.02
LONGEST_STOP_S = 2.0
# A worker writes down what it does; one that has not written anything for so long does nothing any more.
HANG_S = 120.0

_CONTEXT = multiprocessing.get_context("forkserver")
# The same as in tests/storage/children.py: a process has one such server.
_CONTEXT.set_forkserver_preload(["nucleus", "pytest"])


@dataclass
class Performance:
    """What the conductor did and saw.

    Attributes:
        journals: of all lives, in the order of their beginnings.
        accidents: kind and message of what no kill of ours explains: hangs, workers that ended.
        emptied_logs: how often a write-ahead log was seen to have shrunk.
    """

    kills: int = 0
    stops: int = 0
    emptied_logs: int = 0
    journals: list[Path] = field(default_factory=list)
    accidents: list[tuple[str, str]] = field(default_factory=list)


class _Place:
    """One role, and the process that lives it at the moment."""

    def __init__(self, role: Role, seed: int, directory: Path, backup_limit_s: float) -> None:
        self.role = role
        self._told = (seed, directory, backup_limit_s)
        self._lives = 0
        self.begin()

    def begin(self) -> None:
        """Start a life."""
        name = f"{self.role.name}.{self._lives}"
        seed, directory, backup_limit_s = self._told
        self.life = Life(name, self.role, seed, directory, backup_limit_s)
        self._lives += 1
        self.process: BaseProcess = _CONTEXT.Process(target=live, args=(self.life,), daemon=True)
        self.process.start()
        self.goes_on_at_s: float | None = None
        self.written = (0, time.monotonic())

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process.pid is not None
        # It may have ended by itself, which is seen elsewhere.
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def end(self) -> int | None:
        """Kill, stopped or not, and clear away what was being made; returns the exit code."""
        self.process.kill()
        self.process.join()
        shutil.rmtree(self.life.scratch, ignore_errors=True)
        return self.process.exitcode

    def silent_s(self) -> float:
        """Return for how long nothing was written down, leaving out stops."""
        size = self.life.journal.stat().st_size if self.life.journal.exists() else 0
        if self.goes_on_at_s is not None or size != self.written[0]:
            self.written = (size, time.monotonic())
        return time.monotonic() - self.written[1]


def conduct(directory: Path, seconds: float, seed: int) -> Performance:
    """Let the workers work on new ledgers in a directory; in the end all are killed."""
    for name in LEDGERS:
        open_soaked(directory / name).close()
    performance, chance = Performance(), random.Random(seed)
    places = [_Place(role, seed, directory, min(30.0, seconds / 3)) for role in ROLES]
    sizes: Counter[Path] = Counter()
    try:
        end_s, next_s = time.monotonic() + seconds, 0.0
        while (now_s := time.monotonic()) < end_s:
            for place in places:
                _go_on(place, now_s)
                _look_after(place, performance)
            if now_s >= next_s:
                _strike(chance.choice(places), chance, performance)
                next_s = now_s + chance.expovariate(1 / MEAN_PAUSE_S)
            _look_at_logs(directory, sizes, performance)
            time.sleep(0.01)
    finally:
        for place in places:
            place.end()
    performance.kills += len(places)
    performance.journals = sorted(directory.glob("*.journal"))
    return performance


def _go_on(place: _Place, now_s: float) -> None:
    if place.goes_on_at_s is not None and now_s >= place.goes_on_at_s:
        place.send(signal.SIGCONT)
        place.goes_on_at_s = None


def _look_after(place: _Place, performance: Performance) -> None:
    """Start a worker again that has ended without us, or does nothing any more."""
    ended = not place.process.is_alive()
    if not ended and place.silent_s() < HANG_S:
        return
    last = place.life.journal.read_bytes().splitlines()[-1:] if place.life.journal.exists() else []
    code = place.end()
    kind = f"a worker ended with {code}" if ended else f"a worker hangs for {HANG_S:.0f} s"
    performance.accidents.append((kind, f"{place.life.name}: {b''.join(last).decode()}"))
    place.begin()


def _strike(place: _Place, chance: random.Random, performance: Performance) -> None:
    """Kill a worker and start another in its place, or stop it for a while."""
    if chance.random() < KILLED_SHARE:
        if place.role.killable:
            performance.kills += 1
            place.end()
            place.begin()
    elif place.goes_on_at_s is None:
        performance.stops += 1
        longest_s = LONGEST_STOP_S if chance.random() < LONG_STOPS_SHARE else MOMENT_S
        place.goes_on_at_s = time.monotonic() + chance.uniform(0, longest_s)
        place.send(signal.SIGSTOP)


def _look_at_logs(directory: Path, sizes: Counter[Path], performance: Performance) -> None:
    for name in LEDGERS:
        log = directory / f"{name}-wal"
        try:
            size = log.stat().st_size
        except FileNotFoundError:
            size = 0
        performance.emptied_logs += size < sizes[log]
        sizes[log] = size
