"""A file moved, replaced, truncated or stripped of its log under a running ledger stops it within one commit."""

import os
import shutil
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.storage import writers
from tests.storage.acknowledged import Account
from tests.storage.children import run
from tests.storage.ledgers import ALICE, anchor_of, note, open_ledger, read_all, wal_of

from nucleus import Ledger, StorageError, StorageReplacedError


def _shm_of(path: Path) -> Path:
    return path.with_name(path.name + "-shm")


def _aside(path: Path) -> Path:
    return path.with_name("aside")


def _replace_by_copy(path: Path) -> None:
    shutil.copyfile(path, _aside(path))
    _aside(path).replace(path)


def _replace_by_empty(path: Path) -> None:
    _aside(path).touch()
    _aside(path).replace(path)


def _replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_all_by_copies(path: Path) -> None:
    for file in (path, wal_of(path), _shm_of(path)):
        _replace_by_copy(file)


def _move_all(path: Path) -> None:
    for file in (wal_of(path), _shm_of(path), path):
        file.rename(file.with_name(f"moved-{file.name}"))


def _restore_older(path: Path) -> None:
    """Put back what an operator saved after the first entries: database and log alike."""
    for file in (path, wal_of(path)):
        file.with_name(f"older-{file.name}").replace(file)


EVENTS: dict[str, Callable[[Path], object]] = {
    "database moved": lambda path: path.rename(_aside(path)),
    "database deleted": lambda path: path.unlink(),
    "database replaced by a copy": _replace_by_copy,
    "database replaced by an empty file": _replace_by_empty,
    "database replaced by a directory": _replace_by_directory,
    "database truncated to nothing": lambda path: os.truncate(path, 0),
    "database truncated to one page": lambda path: os.truncate(path, 4096),
    "database cut by a page": lambda path: os.truncate(path, path.stat().st_size - 4096),
    "log deleted": lambda path: wal_of(path).unlink(),
    "log moved": lambda path: wal_of(path).rename(_aside(path)),
    "log replaced by a copy": lambda path: _replace_by_copy(wal_of(path)),
    "log replaced by an empty file": lambda path: _replace_by_empty(wal_of(path)),
    "log truncated": lambda path: os.truncate(wal_of(path), 0),
    "everything moved": _move_all,
    "everything replaced by copies": _replace_all_by_copies,
    "an older copy put back": _restore_older,
    "directory renamed": lambda path: path.parent.rename(path.parent.with_name("renamed")),
}


def _running(path: Path) -> Ledger:
    """Open a ledger with entries in the database and in the log, and keep an older copy of both."""
    with open_ledger(path) as ledger:
        ledger.append_batch([note(number, filler="x" * 500) for number in range(30)], context=ALICE)
    ledger = open_ledger(path)
    ledger.append(note(30), context=ALICE)
    for file in (path, wal_of(path)):
        shutil.copyfile(file, file.with_name(f"older-{file.name}"))
    for number in range(31, 35):
        ledger.append(note(number), context=ALICE)
    return ledger


@pytest.mark.parametrize("event", EVENTS)
def test_stops_within_one_commit(tmp_path: Path, event: str) -> None:
    path = tmp_path / "directory" / "ledger.db"
    ledger = _running(path)
    EVENTS[event](path)

    with pytest.raises(StorageError):
        ledger.append(note(100), context=ALICE)
    for number in range(101, 104):
        with pytest.raises(StorageError):
            ledger.append(note(number), context=ALICE)
    with pytest.raises(StorageError):
        ledger.append_batch([note(110), note(111)], context=ALICE)
    _close(ledger)
    # Once it has stopped, nothing of what it still refuses comes into the file that is now at the path.
    assert not {"r-101", "r-110"} & _ids_at(path)


def _ids_at(path: Path) -> set[str]:
    if not path.is_file() or not path.stat().st_size:
        return set()
    try:
        with open_ledger(path, read_only=True, verify_on_open=False, accept_rollback=True) as found:
            return {entry.record.id for entry in read_all(found)}
    except StorageError:
        return set()


def _close(ledger: Ledger) -> None:
    """Close a ledger that has lost its file: it may say so, it must not hang or fail otherwise."""
    try:
        ledger.close()
    except StorageError:
        return


@pytest.mark.parametrize("event", ["database moved", "database replaced by a copy", "log deleted", "directory renamed"])
def test_says_that_it_was_replaced(tmp_path: Path, event: str) -> None:
    path = tmp_path / "directory" / "ledger.db"
    ledger = _running(path)
    EVENTS[event](path)
    with pytest.raises(StorageReplacedError) as caught:
        ledger.append(note(100), context=ALICE)
    assert "ledger.db" in str(caught.value)
    _close(ledger)


def test_batch_and_redaction_stop_too(tmp_path: Path) -> None:
    for number, write in enumerate((_append_batch, _append_unique, _redact)):
        path = tmp_path / str(number) / "ledger.db"
        ledger = _running(path)
        path.rename(_aside(path))
        with pytest.raises(StorageError):
            write(ledger)
        _close(ledger)


def _append_batch(ledger: Ledger) -> None:
    ledger.append_batch([note(100), note(101)], context=ALICE)


def _append_unique(ledger: Ledger) -> None:
    ledger.append(note(100), context=ALICE, unique=True)


def _redact(ledger: Ledger) -> None:
    ledger.redact(read_all(ledger)[0].hash, reason="test", context=ALICE)


def test_ledger_at_its_new_place_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = _running(path)
    acknowledged = read_all(ledger)
    _move_all(path)
    with pytest.raises(StorageError):
        ledger.append(note(100), context=ALICE)
    _close(ledger)
    moved = tmp_path / "again.db"
    anchor_of(path).rename(anchor_of(moved))
    for suffix in ("", "-wal"):
        file = tmp_path / f"moved-ledger.db{suffix}"
        if file.exists():
            file.rename(f"{moved}{suffix}")
    with open_ledger(moved) as found:
        assert read_all(found)[: len(acknowledged)] == acknowledged


def test_log_made_anew_by_another_process(tmp_path: Path) -> None:
    """The other process cannot know the lost entries, so it must not open; this one must not go on either."""
    path = tmp_path / "ledger.db"
    ledger = _running(path)
    wal_of(path).unlink()
    assert run(_append_some, path) == []
    for number in range(100, 105):
        with pytest.raises(StorageError):
            ledger.append(note(number), context=ALICE)
    _close(ledger)


def test_shared_memory_made_anew_by_another_process(tmp_path: Path) -> None:
    """The locks are in that file: with two of it two writers would overwrite each other."""
    path = tmp_path / "ledger.db"
    ledger = _running(path)
    account = Account({entry.seq: (entry.hash, entry.record.id) for entry in read_all(ledger)})
    _shm_of(path).unlink()
    account.add(run(_append_some, path))
    for number in range(100, 105):
        try:
            entry = ledger.append(note(number), context=ALICE)
        except StorageError:
            continue
        account.add([f"{entry.seq} {entry.hash} {entry.record.id}"])
    _close(ledger)
    account.check_all(path)


def _append_some(path: Path, pipe: Connection) -> None:
    try:
        with open_ledger(path) as ledger:
            for number in range(5):
                writers.acknowledge(pipe, ledger.append(writers.record("other", number), context=ALICE))
    except StorageError:
        return
