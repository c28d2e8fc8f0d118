"""The life of a worker: sessions on one ledger, one after the other, until it is killed."""

import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.soak import operations
from tests.soak.journal import ALARM, BEGUN, BUSY, DONE, SUPERSEDED, Journal
from tests.soak.openings import BUSY_TIMEOUT_MS, open_soaked
from tests.soak.operations import AlarmError, Operation, Remembered, Session
from tests.soak.phases import is_left_alone
from tests.soak.roles import Role

from nucleus import ConflictError, DatabaseError, Ledger, StorageReplacedError

LONGEST_SESSION_OPERATIONS = 60
# Beyond these lengths such operations are made more rarely, so that they take no larger part of the time.
CHEAP_ENTRIES: dict[Operation, int] = {operations.export: 60_000, operations.back_up: 400_000}
# What a session without access control does instead.
WITHOUT_ACCESS: dict[Operation, Operation] = {operations.share: operations.append}


@dataclass(frozen=True)
class Life:
    """What one process is told.

    Attributes:
        name: part of the names of all that it does; no other life has it.
        directory: where the ledgers are and the journals.
        backup_limit_s: how long a backup may take.
    """

    name: str
    role: Role
    seed: int
    directory: Path
    backup_limit_s: float

    @property
    def journal(self) -> Path:
        """Where this life writes down what it does."""
        return self.directory / f"{self.name}.journal"

    @property
    def scratch(self) -> Path:
        """Where this life makes its copies."""
        return self.directory / f"{self.name}.scratch"


def live(life: Life) -> None:
    """Open the ledger, work and close it, again and again, for ever."""
    journal = Journal(life.journal)
    life.scratch.mkdir()
    remembered = [Remembered(maxlen=operations.REMEMBERED) for _ in range(life.role.threads)]
    for number in itertools.count():
        _session(life, f"{life.name}.{number}", journal, remembered)


def _session(life: Life, name: str, journal: Journal, remembered: list[Remembered]) -> None:
    chance = random.Random(f"{life.seed}/{name}")
    access = chance.random() < life.role.access_share
    path = life.directory / life.role.ledger
    opened: deque[Ledger] = deque()
    _attempt(journal, f"{name}.open", "open", lambda: opened.append(open_soaked(path, access=access)))
    for ledger in opened:
        over = threading.Event()
        with ThreadPoolExecutor(life.role.threads) as pool:
            works = [
                pool.submit(
                    _work,
                    Session(
                        ledger=ledger,
                        path=path,
                        access=access,
                        scratch=life.scratch,
                        journal=journal,
                        chance=random.Random(f"{life.seed}/{name}.{thread}"),
                        entries_per_s=life.role.entries_per_s,
                        backup_limit_s=life.backup_limit_s,
                        remembered=remembered[thread],
                    ),
                    f"{name}.{thread}",
                    life.role,
                    over,
                )
                for thread in range(life.role.threads)
            ]
        for work in works:
            work.result()
        _attempt(journal, f"{name}.close", "close", ledger.close)


def _work(session: Session, name: str, role: Role, over: threading.Event) -> None:
    """Do what a thread does in one session."""
    for number in range(session.chance.randint(1, LONGEST_SESSION_OPERATIONS)):
        if over.is_set():
            return
        operation = _chosen(session, role)
        attempt = f"{name}.{number}"
        error = _attempt(
            session.journal,
            attempt,
            operation.__name__,
            lambda operation=operation, attempt=attempt: operation(session, attempt),  # type: ignore[misc]
        )
        # It stays so until the ledger is opened anew: one alarm is enough.
        if isinstance(error, StorageReplacedError):
            over.set()


def _chosen(session: Session, role: Role) -> Operation:
    while True:
        (operation,) = session.chance.choices(list(role.weights), list(role.weights.values()))
        if is_left_alone(operation):
            continue
        if session.chance.random() * len(session.ledger) < CHEAP_ENTRIES.get(operation, float("inf")):
            return operation if session.access else WITHOUT_ACCESS.get(operation, operation)


def _attempt(journal: Journal, attempt: str, kind: str, action: Callable[[], object]) -> Exception | None:
    """Do something, with the journal's lines around it; return what it raised."""
    journal.write(attempt, BEGUN, kind=kind)
    started_s = time.monotonic()
    try:
        action()
    except Exception as error:
        state, alarm = _judge(error, kind, time.monotonic() - started_s)
        journal.write(attempt, state, alarm=alarm, message=str(error), error=type(error).__name__)
        return error
    journal.write(attempt, DONE)
    return None


def _judge(error: Exception, kind: str, elapsed_s: float) -> tuple[str, str]:
    """Return the state that an error stands for, and the name that it is counted under."""
    if isinstance(error, AlarmError):
        return ALARM, error.kind
    if isinstance(error, ConflictError) and kind == "export":
        return SUPERSEDED, ""
    if isinstance(error, DatabaseError) and "another process holds the lock" in str(error):
        if elapsed_s * 1_000 >= BUSY_TIMEOUT_MS:
            return BUSY, ""
        return ALARM, f"{kind}: the lock is given up before the timeout"
    return ALARM, f"{kind}: {type(error).__name__}"
