"""The write-ahead log of a killed writer holds acknowledged entries: without it the ledger is refused."""

import os
from pathlib import Path

import pytest
from tests.storage.children import Child
from tests.storage.ledgers import (
    ALICE,
    faults,
    kept,
    note,
    open_ledger,
    read_all,
    restore,
    snapshot,
    wal_of,
)
from tests.storage.writers import append_and_die

from nucleus import DatabaseError, IntegrityError

KEPT = 5
IN_THE_LOG = 12


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """Five entries in the database, twelve more in the log of a writer that was killed."""
    path = tmp_path / "killed" / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append_batch([note(number) for number in range(KEPT)], context=ALICE)
    child = Child(append_and_die, path, IN_THE_LOG)
    assert len(child.lines()) == IN_THE_LOG
    assert child.exit_code() == -9
    return path


def _assert_rolled_back(path: Path) -> None:
    """The ledger is refused, stays as it is, and opens where the rollback is accepted."""
    for read_only in (True, False):
        before = kept(path)
        with pytest.raises(IntegrityError) as caught:
            open_ledger(path, read_only=read_only).close()
        assert {kind for kind, _ in faults(caught.value.report)} == {"head_mismatch"}
        assert kept(path)[1] == before[1]
    with open_ledger(path, accept_rollback=True) as ledger:
        length = len(ledger)
        assert KEPT <= length < KEPT + IN_THE_LOG
        assert ledger.verify(deep=True).valid
        ledger.append(note(100), context=ALICE)
    with open_ledger(path) as ledger:
        assert len(ledger) == length + 1


def test_log_is_replayed(killed: Path) -> None:
    with open_ledger(killed) as ledger:
        assert len(ledger) == KEPT + IN_THE_LOG
        assert ledger.verify(deep=True).valid


def test_log_deleted(killed: Path) -> None:
    wal_of(killed).unlink()
    _assert_rolled_back(killed)


def test_log_emptied(killed: Path) -> None:
    wal_of(killed).write_bytes(b"")
    _assert_rolled_back(killed)


def test_log_overwritten_with_zeros(killed: Path) -> None:
    wal_of(killed).write_bytes(bytes(wal_of(killed).stat().st_size))
    _assert_rolled_back(killed)


def test_log_and_shared_memory_deleted(killed: Path) -> None:
    wal_of(killed).unlink()
    killed.with_name(killed.name + "-shm").unlink(missing_ok=True)
    _assert_rolled_back(killed)


def test_log_of_another_ledger(killed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "ledger.db"
    child = Child(append_and_die, other, 3)
    child.lines()
    child.exit_code()
    wal_of(killed).write_bytes(wal_of(other).read_bytes())
    with pytest.raises(IntegrityError):
        open_ledger(killed).close()


def test_log_cut_at_many_lengths(killed: Path) -> None:
    files = snapshot(killed)
    wal = files[wal_of(killed)]
    frame = 24 + 4096
    lengths = {*range(0, len(wal), len(wal) // 40), *range(32, len(wal), frame), len(wal) - 1, len(wal)}
    refusals = 0
    for length in sorted(lengths):
        restore(killed, files)
        os.truncate(wal_of(killed), length)
        try:
            with open_ledger(killed, read_only=length % 2 == 0) as ledger:
                assert len(read_all(ledger)) == KEPT + IN_THE_LOG, f"cut at {length} of {len(wal)}"
        except IntegrityError:
            refusals += 1
    assert refusals > len(lengths) // 2


def test_old_log_under_a_newer_database(killed: Path) -> None:
    old = wal_of(killed).read_bytes()
    with open_ledger(killed) as ledger:
        ledger.append_batch([note(number) for number in range(200, 230)], context=ALICE)
    wal_of(killed).write_bytes(old)
    try:
        with open_ledger(killed) as ledger:
            assert len(read_all(ledger)) == KEPT + IN_THE_LOG + 30
            assert ledger.verify(deep=True).valid
    except (DatabaseError, IntegrityError):
        return


def test_kill_with_acknowledged_entries_leaves_an_anchor_of_the_last(killed: Path) -> None:
    """The anchor is written before the acknowledgement: else the last one could vanish unseen."""
    wal = wal_of(killed)
    frame = 24 + 4096
    os.truncate(wal, 32 + ((wal.stat().st_size - 32) // frame - 1) * frame)
    _assert_rolled_back(killed)
