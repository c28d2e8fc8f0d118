"""Python's own SQLite opens and closes the ledger's file inside the writing processes: nothing is lost by it.

A library that takes its locks by process drops all locks of the process when any descriptor of the file is closed, and
the other library's "last" close deletes the write-ahead log under the first.
"""

import random
import sqlite3
from pathlib import Path

import pytest
from tests.storage import writers
from tests.storage.acknowledged import Account
from tests.storage.children import Child
from tests.storage.ledgers import ALICE, faults, note, open_ledger, read_all, wal_of

from nucleus import StorageError

PROCESSES = 4
APPENDS = 200


def test_processes_beside_stdlib(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    children = [Child(writers.append_beside_stdlib, path, f"p{number}", APPENDS) for number in range(PROCESSES)]
    account = Account()
    for child in children:
        account.add(child.finish())
    assert len(account.entries) == PROCESSES * APPENDS
    assert set(account.entries) == set(range(PROCESSES * APPENDS))
    account.check_all(path, nothing_else=True)


def test_killed_beside_stdlib(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    chance = random.Random(6)
    account = Account()
    for number in range(30):
        children = [Child(writers.append_beside_stdlib, path, f"w{number}-{n}", 10**6) for n in range(2)]
        for child in children:
            assert child.wait_for_line() == writers.READY
        recent = [child.wait_for_line() for child in children for _ in range(chance.randrange(60))]
        for child in children:
            child.kill()
        for child in children:
            recent += child.lines()
            assert child.exit_code() == -9
        account.add(recent)
        with open_ledger(path) as ledger:
            account.check_recent(ledger, recent)
    account.check_all(path)


def test_close_by_stdlib_keeps_the_log_and_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        for number in range(10):
            ledger.append(note(number), context=ALICE)
            assert writers.look_with_stdlib(path) == number + 1
            assert wal_of(path).stat().st_size > 0, "the other library's close has taken the log away"
        seen = Child(writers.append_count, path, "other", 1, 5).finish()
        assert len(seen) == 1 + 5
        assert len(ledger) == 15
        assert ledger.append(note(10), context=ALICE).seq == 15
    with open_ledger(path) as ledger:
        assert [entry.seq for entry in read_all(ledger)] == list(range(16))


def test_plain_descriptors_closed_in_the_same_process(tmp_path: Path) -> None:
    """Anything that opens and closes the files drops locks by process: a copy, a hash, an editor."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        for number in range(20):
            ledger.append(note(number), context=ALICE)
            for file in path.parent.iterdir():
                file.read_bytes()
            if number % 5 == 0:
                Child(writers.append_count, path, f"other-{number}", 1, 5).finish()
    with open_ledger(path) as ledger:
        assert len(ledger) == 40
        assert {f"r-{number}" for number in range(20)} <= {entry.record.id for entry in read_all(ledger)}


def test_stdlib_cannot_write_between(tmp_path: Path) -> None:
    """What stdlib writes into the file in the same process is an entry nobody recorded: the chain tells."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
        connection = sqlite3.connect(path)
        connection.execute("DROP TRIGGER entries_no_update")
        connection.execute("UPDATE entries SET timestamp = 5")
        connection.commit()
        connection.close()
        assert ("hash_mismatch", 0) in faults(ledger.verify())
    with pytest.raises(StorageError):
        open_ledger(path).close()
