"""Several processes and threads append to one file at once: one chain, and every acknowledgement is a row of it."""

import sqlite3
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.storage import writers
from tests.storage.acknowledged import Account
from tests.storage.children import Child, run, say, wait_until
from tests.storage.ledgers import ALICE, LEDGER_ID, note, open_ledger, read_all

from nucleus import ConflictError, DatabaseError, Ledger, Record


@pytest.mark.parametrize(("processes", "threads", "count"), [(2, 1, 200), (4, 1, 100), (2, 8, 40), (4, 4, 40)])
def test_one_unforked_chain(tmp_path: Path, processes: int, threads: int, count: int) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    children = [Child(writers.append_count, path, f"p{number}", threads, count) for number in range(processes)]
    account = Account()
    for child in children:
        account.add(child.finish())
    assert set(account.entries) == set(range(processes * threads * count))
    account.check_all(path, nothing_else=True)


def test_batches_are_not_torn_apart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    children = [Child(writers.append_count, path, f"p{number}", 2, 50) for number in range(3)]
    for child in children:
        child.finish()
    with open_ledger(path) as ledger:
        entries = read_all(ledger)
    for entry in entries:
        writer, number = entry.record.id.rsplit("-", 1)
        if int(number) % 5 == 1:
            batch = [f"{writer}-{int(number) + more}" for more in range(4)]
            assert [found.record.id for found in entries[entry.seq : entry.seq + 4]] == batch


def test_records_of_one_thread_stay_in_order(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for child in [Child(writers.append_count, path, f"p{number}", 4, 50) for number in range(2)]:
        child.finish()
    with open_ledger(path) as ledger:
        ids = [entry.record.id.rsplit("-", 1) for entry in read_all(ledger)]
    for writer in {writer for writer, _ in ids}:
        assert [int(number) for name, number in ids if name == writer] == list(range(50))


def test_readers_see_a_valid_chain_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    total = 2 * 2 * 150
    readers = [Child(writers.follow, path, total) for _ in range(2)]
    for reader in readers:
        assert reader.wait_for_line() == writers.READY
    children = [Child(writers.append_count, path, f"p{number}", 2, 150) for number in range(2)]
    for child in children:
        child.finish()
    for reader in readers:
        assert reader.finish() == [str(total)]


def test_ledger_in_another_process_sees_what_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger, open_ledger(path, read_only=True) as reader:
        for number in range(20):
            child = Child(writers.append_count, path, f"p{number}", 1, 5)
            lines = child.finish()
            for seq, digest, record_id in (line.split() for line in lines if line != writers.READY):
                for seeing in (ledger, reader):
                    entry = seeing.get(digest, context=ALICE)
                    assert entry is not None
                    assert (entry.seq, entry.record.id) == (int(seq), record_id)
                    assert seeing.get_by_id(record_id, context=ALICE) == entry
            assert len(ledger) == len(reader) == 5 * (number + 1)


def test_two_ledgers_of_one_process_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as first, open_ledger(path) as second:

        def append(ledger: Ledger, name: str) -> None:
            for number in range(100):
                ledger.append(writers.record(name, number), context=ALICE)

        writers.run_threads([lambda: append(first, "a"), lambda: append(second, "b"), lambda: append(first, "c")])
        assert len(first) == len(second) == 300
        assert first.head() == second.head()
    with open_ledger(path) as ledger:
        assert [entry.seq for entry in read_all(ledger)] == list(range(300))


def test_closing_one_ledger_leaves_the_other_its_locks(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        for number in range(10):
            with open_ledger(path) as passing:
                passing.append(note(number), context=ALICE)
            with open_ledger(path, read_only=True) as passing:
                assert len(passing) == 7 * number + 1
            ledger.append(note(1_000 + number), context=ALICE)
            run(writers.append_count, path, f"p{number}", 1, 5)
    with open_ledger(path) as ledger:
        assert len(ledger) == 70


def open_and_append(path: Path, tag: str, pipe: Connection) -> None:
    """Open, perhaps create, a ledger at the parent's word and append one record."""
    say(pipe, writers.READY)
    start = path.with_name("start")
    wait_until(start.exists, "the start")
    with open_ledger(path) as ledger:
        writers.acknowledge(pipe, ledger.append(writers.record(tag, 0), context=ALICE))


@pytest.mark.parametrize("processes", [2, 4])
def test_simultaneous_first_opens(tmp_path: Path, processes: int) -> None:
    for number in range(15):
        path = tmp_path / str(number) / "ledger.db"
        path.parent.mkdir()
        children = [Child(open_and_append, path, f"p{process}") for process in range(processes)]
        for child in children:
            assert child.wait_for_line() == writers.READY
        path.with_name("start").touch()
        account = Account()
        for child in children:
            account.add(child.finish())
        assert set(account.entries) == set(range(processes))
        account.check_all(path, nothing_else=True)
        with open_ledger(path, id=None) as ledger:
            assert ledger.id == LEDGER_ID


def append_unique_from_threads(path: Path, tag: str, pipe: Connection) -> None:
    """Append the same records as every other process does, each once only."""
    with open_ledger(path) as ledger:

        def work() -> None:
            for number in range(30):
                record = Record(id=f"shared-{number}", stream="notes", payload={"n": number}, timestamp=1_000 + number)
                writers.acknowledge(pipe, ledger.append(record, context=ALICE, unique=True))

        writers.run_threads([work, work])
    say(pipe, tag)


def test_unique_appends_of_several_processes_give_one_entry_each(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    children = [Child(append_unique_from_threads, path, f"p{number}") for number in range(3)]
    answers = {line for child in children for line in child.finish() if " " in line}
    with open_ledger(path) as ledger:
        entries = read_all(ledger)
    assert len(entries) == 30
    assert answers == {f"{entry.seq} {entry.hash} {entry.record.id}" for entry in entries}


def test_expected_head_lets_one_of_many_win(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        head = ledger.append(note(0), context=ALICE).hash
        winners: list[str] = []
        barrier = threading.Barrier(8)

        def attempt(name: str) -> None:
            barrier.wait()
            try:
                ledger.append(writers.record(name, 0), context=ALICE, expected_head=head)
            except ConflictError:
                return
            winners.append(name)

        writers.run_threads([lambda name=f"t{number}": attempt(name) for number in range(8)])  # type: ignore[misc]
        assert len(winners) == 1
        assert len(ledger) == 2


def hold_the_write_lock(path: Path, pipe: Connection) -> None:
    """Hold the database's write lock with another library until killed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say(pipe, writers.READY)
    threading.Event().wait()


def test_lock_held_elsewhere_is_an_error_after_the_timeout(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path, busy_timeout_ms=300) as ledger:
        ledger.append(note(0), context=ALICE)
        holder = Child(hold_the_write_lock, path)
        assert holder.wait_for_line() == writers.READY
        with pytest.raises(DatabaseError, match="busy_timeout_ms"):
            ledger.append(note(1), context=ALICE)
        assert len(read_all(ledger)) == 1
        holder.kill()
        holder.exit_code()
        assert ledger.append(note(2), context=ALICE).seq == 1
