"""What recorded programs do to a ledger: each stage is a process of its own.

To add a scenario, write its stages and name it in ``SCENARIOS``.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

from tests.powercut.marks import Marks
from tests.storage.ledgers import ALICE, LEDGER_ID, note, open_ledger
from tests.storage.writers import run_threads

from nucleus import Ledger, Record, RequestContext, create_ledger, sqlite_storage
from nucleus.access import AccessConfig, AclGrant

FILE_NAME: Final = "ledger.db"
BACKUP_NAMES: Final = ("backup-1.db", "backup-2.db", "backup-3.db")
RUN_ENTRIES: Final = 65_536
ADMINISTRATOR: Final = RequestContext.local("oid:onoal:org:festival")
BOB: Final = "oid:onoal:user:bob"

Stage = Callable[[Path, Marks], None]
Opening = Callable[[Path], Ledger]


def _open_normal(path: Path) -> Ledger:
    return open_ledger(path, durability="normal")


def open_with_access_control(path: Path) -> Ledger:
    """Open a ledger whose grants count."""
    access = AccessConfig(administrator=ADMINISTRATOR.oid)
    return create_ledger(id=LEDGER_ID, storage=sqlite_storage(path), access=access)


@dataclass(frozen=True)
class Scenario:
    """Programs that write to a ledger, one after the other, and how the ledger is opened.

    ``prepared`` entries are written by ``prepare`` before the recording begins: they are durable. Where images are
    large, campaigns draw fewer of them: one in ``rarity``.
    """

    about: str
    stages: tuple[Stage, ...]
    open: Opening = open_ledger
    reader: RequestContext = ALICE
    durability: Literal["full", "normal"] = "full"
    prepare: Callable[[Path], None] | None = None
    prepared: int = 0
    rarity: int = 1


def _big_note(n: int) -> Record:
    return note(n, filler="x" * (n * 37 % 1_500))


def _append(ledger: Ledger, marks: Marks, count: int, first: int = 0) -> None:
    for n in range(first, first + count):
        marks.appended(ledger.append(_big_note(n), context=ALICE))


def _die() -> None:
    """End as a killed process does: nothing is closed."""
    os._exit(0)


def _create_only(path: Path, marks: Marks) -> None:
    open_ledger(path).close()


def _append_some(path: Path, marks: Marks) -> None:
    with open_ledger(path) as ledger:
        _append(ledger, marks, 6, len(ledger))


def _append_some_and_die(path: Path, marks: Marks) -> None:
    ledger = open_ledger(path)
    _append(ledger, marks, 8, len(ledger))
    _die()


def _append_past_checkpoints(path: Path, marks: Marks) -> None:
    with open_ledger(path) as ledger:
        for first in range(0, 1_200, 20):
            _append(ledger, marks, 4, first)
            marks.appended(*ledger.append_batch([_big_note(n) for n in range(first + 4, first + 20)], context=ALICE))


def _append_normal_past_checkpoints(path: Path, marks: Marks) -> None:
    with _open_normal(path) as ledger:
        for first in range(0, 1_200, 20):
            _append(ledger, marks, 4, first)
            marks.appended(*ledger.append_batch([_big_note(n) for n in range(first + 4, first + 20)], context=ALICE))


def _append_normal_some(path: Path, marks: Marks) -> None:
    with _open_normal(path) as ledger:
        _append(ledger, marks, 6, len(ledger))


def _append_normal_and_die(path: Path, marks: Marks) -> None:
    ledger = _open_normal(path)
    _append(ledger, marks, 6, len(ledger))
    _die()


BEFORE_RUN: Final = RUN_ENTRIES - 300


def _prepare_before_run(path: Path) -> None:
    with _open_normal(path) as ledger:
        for first in range(0, BEFORE_RUN, 4_000):
            batch = [note(n) for n in range(first, min(first + 4_000, BEFORE_RUN))]
            ledger.append_batch(batch, context=ALICE)


def _append_batches_past_run(path: Path, marks: Marks) -> None:
    with open_ledger(path) as ledger:
        for first in range(BEFORE_RUN, RUN_ENTRIES + 300, 100):
            marks.appended(*ledger.append_batch([note(n) for n in range(first, first + 100)], context=ALICE))


def _append_batches(path: Path, marks: Marks) -> None:
    with open_ledger(path) as ledger:
        for first in range(0, 400, 20):
            _append(ledger, marks, 2, first)
            marks.appended(*ledger.append_batch([_big_note(n) for n in range(first + 2, first + 20)], context=ALICE))


def _append_from_threads(path: Path, marks: Marks) -> None:
    """Appends at once, which share a commit."""
    with open_ledger(path) as ledger:
        works: list[Callable[[], None]] = [partial(_append, ledger, marks, 30, 1_000 * thread) for thread in range(3)]
        run_threads(works)


def _redact(path: Path, marks: Marks) -> None:
    with open_ledger(path) as ledger:
        secrets = {n: f"secret-{n}-" * (1 + n * 60) for n in range(14)}
        entries = {}
        for n, secret in secrets.items():
            entries[n] = ledger.append(note(n, secret=secret), context=ALICE)
            marks.appended(entries[n])
            _append(ledger, marks, 2, 100 + 2 * n)
        for n in (3, 7, 0, 13, 5, 12):
            erased = ledger.redact(entries[n].hash, reason="request", context=ALICE)
            marks.redacted(entries[n], erased, f"secret-{n}-")
            _append(ledger, marks, 2, 200 + 2 * n)


def _grant(path: Path, marks: Marks) -> None:
    with open_with_access_control(path) as ledger:
        for n in range(30):
            marks.appended(ledger.append(note(n), context=ALICE))
            grant = AclGrant("notes", f"r-{n}", BOB, "read")
            ledger.access.grant(grant, context=ALICE)
            marks.granted(_head(ledger), BOB, f"r-{n}", True)
            if n % 3 == 0:
                ledger.access.revoke(grant, context=ALICE)
                marks.granted(_head(ledger), BOB, f"r-{n}", False)


def _head(ledger: Ledger) -> tuple[int, str]:
    head = ledger.head()
    assert head is not None
    return head


def _back_up(path: Path, marks: Marks) -> None:
    with open_ledger(path) as ledger:
        for name in BACKUP_NAMES:
            _append(ledger, marks, 15, len(ledger))
            head = ledger.backup(path.with_name(name))
            assert head is not None
            marks.backed_up(name, head)
            _append(ledger, marks, 3, len(ledger))


def _append_beside_another_process(path: Path, marks: Marks) -> None:
    """Two processes, recorded in one log; the other is the stage ``_append_as_other``."""
    with open_ledger(path) as ledger:
        command = [sys.executable, "-m", "tests.powercut.child", "as another process", "0", str(path)]
        with subprocess.Popen(command) as other:
            _append(ledger, marks, 70)
        assert other.returncode == 0


def _append_as_other(path: Path, marks: Marks) -> None:
    with open_ledger(path) as ledger:
        _append(ledger, marks, 70, 1_000)


SCENARIOS: Final = {
    "creation": Scenario("a ledger comes into being", (_create_only,)),
    "first appends": Scenario("a young ledger, opened several times", (_append_some,) * 8),
    "checkpoints": Scenario("appends past the length at which the log begins again", (_append_past_checkpoints,)),
    "batches": Scenario("batches, each of which is whole or not there", (_append_batches,)),
    "threads": Scenario("threads append at once", (_append_from_threads,)),
    "index run": Scenario(
        "batches past the entry at which the look-up indexes are written",
        (_append_batches_past_run,),
        prepare=_prepare_before_run,
        prepared=BEFORE_RUN,
        rarity=50,
    ),
    "redactions": Scenario("payloads are erased", (_redact,)),
    "grants": Scenario(
        "access control: grants and revocations", (_grant,), open=open_with_access_control, reader=ADMINISTRATOR
    ),
    "close and reopen": Scenario(
        "ledgers left behind by dead processes, and closed ones, are opened again",
        (_append_some_and_die, _append_some_and_die, _append_some) * 3,
    ),
    "backup": Scenario("copies of a ledger that goes on", (_back_up,)),
    "normal": Scenario(
        "durability normal: the newest appends may be lost",
        (_append_normal_and_die, _append_normal_some, _append_normal_past_checkpoints),
        open=_open_normal,
        durability="normal",
    ),
    "two processes": Scenario("two processes append to one file", (_append_beside_another_process,)),
}

HELPERS: Final = {"as another process": Scenario("the other one of two processes", (_append_as_other,))}
