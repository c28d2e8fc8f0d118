"""After a fork the child's copy of a ledger is refused, and neither process harms the other or anybody else."""

import gc
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.storage import writers
from tests.storage.acknowledged import Account
from tests.storage.children import Child, run, say
from tests.storage.ledgers import ALICE, note, open_ledger, read_all

from nucleus import ForkedLedgerError, Ledger, LedgerClosedError, QueryFilters

# A child that hangs is ended by SIGALRM.
CHILD_TIMEOUT_S = 60

USES: dict[str, Callable[[Ledger, str], object]] = {
    "append": lambda ledger, _: ledger.append(note(9), context=ALICE),
    "append_batch": lambda ledger, _: ledger.append_batch([note(9)], context=ALICE),
    "get": lambda ledger, digest: ledger.get(digest, context=ALICE),
    "get_by_id": lambda ledger, _: ledger.get_by_id("r-0", context=ALICE),
    "history": lambda ledger, _: ledger.history("r-0", context=ALICE),
    "query": lambda ledger, _: ledger.query(QueryFilters(), context=ALICE),
    "head": lambda ledger, _: ledger.head(),
    "len": lambda ledger, _: len(ledger),
    "verify": lambda ledger, _: ledger.verify(),
    "redact": lambda ledger, digest: ledger.redact(digest, reason="x", context=ALICE),
}


def in_fork(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked child and return its exit code: 0 when it returned."""
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(CHILD_TIMEOUT_S)
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def use_after_fork(path: Path, pipe: Connection) -> None:
    """Use an open ledger in a forked child in every way; then go on in the parent."""
    ledger = open_ledger(path)
    entry = ledger.append(note(0), context=ALICE)

    def child() -> None:
        for name, use in USES.items():
            try:
                use(ledger, entry.hash)
            except LedgerClosedError as error:
                names_parent = str(os.getppid()) in str(error)
                say(pipe, f"{name} {type(error).__name__} {names_parent}")

    assert in_fork(child) == 0
    for number in range(1, 6):
        writers.acknowledge(pipe, ledger.append(note(number), context=ALICE))
    ledger.close()


def test_every_use_in_the_child_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    lines = run(use_after_fork, path)
    assert lines[: len(USES)] == [f"{name} ForkedLedgerError True" for name in USES]
    with open_ledger(path) as ledger:
        assert len(ledger) == 6


def drop_after_fork(path: Path, pipe: Connection) -> None:
    """Close and drop the ledger in forked children, between appends of the parent."""
    ledger: Ledger | None = open_ledger(path)

    def drop() -> None:
        nonlocal ledger
        ledger = None
        gc.collect()

    def close() -> None:
        assert ledger is not None
        try:
            ledger.close()
        except ForkedLedgerError:
            return

    assert ledger is not None
    for number in range(10):
        writers.acknowledge(pipe, ledger.append(note(number), context=ALICE))
        assert in_fork(drop if number % 2 else close) == 0
        say(pipe, f"log {path.with_name(path.name + '-wal').stat().st_size > 0}")
    os.kill(os.getpid(), signal.SIGKILL)


def test_dropping_it_in_the_child_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    child = Child(drop_after_fork, path)
    lines = child.lines()
    assert child.exit_code() == -9
    assert lines.count("log True") == 10
    account = Account()
    assert account.add([line for line in lines if not line.startswith("log")]) == 10
    account.check_all(path, nothing_else=True)


EXITS = """
import os, sys
from pathlib import Path
from tests.storage.ledgers import ALICE, note, open_ledger
ledger = open_ledger(Path(sys.argv[1]))
ledger.append(note(0), context=ALICE)
if os.fork() == 0:
    sys.exit(0)  # The interpreter ends in the child, with everything that this drops.
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
for number in range(1, 10):
    ledger.append(note(number), context=ALICE)
print(len(ledger), flush=True)
os._exit(0)
"""


def test_interpreter_that_ends_in_the_child_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-c", EXITS, str(path)]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "10\n", "")
    with open_ledger(path) as ledger:
        assert len(ledger) == 10


def use_in_forked_process(path: Path, pipe: Connection) -> None:
    """Give an open ledger to a process that multiprocessing forks."""
    context = multiprocessing.get_context("fork")
    ledger = open_ledger(path)
    reader, writer = context.Pipe(duplex=False)

    def target() -> None:
        try:
            ledger.append(note(1), context=ALICE)
        except ForkedLedgerError as error:
            writer.send(str(error))

    process = context.Process(target=target)
    process.start()
    say(pipe, f"{reader.recv()}")
    process.join()
    assert process.exitcode == 0
    assert ledger.append(note(0), context=ALICE).seq == 0
    ledger.close()


def test_multiprocessing_fork(tmp_path: Path) -> None:
    (message,) = run(use_in_forked_process, tmp_path / "ledger.db")
    assert "forked" in message
    assert "open the ledger again" in message


def append_in_both(path: Path, pipe: Connection) -> None:
    """Parent and forked child append at once, the child with a ledger of its own."""
    ledger = open_ledger(path)
    ledger.append(note(0), context=ALICE)

    def append(own: Ledger, tag: str) -> None:
        for number in range(200):
            writers.acknowledge(pipe, own.append(writers.record(tag, number), context=ALICE))

    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(CHILD_TIMEOUT_S)
        try:
            with open_ledger(path) as own:
                append(own, "child")
            code = 0
        finally:
            os._exit(code)
    append(ledger, "parent")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    append(ledger, "parent-alone")
    ledger.close()


def test_child_opens_its_own(tmp_path: Path) -> None:
    """Descriptors that both processes inherited share their locks: the child's own ledger must not use them."""
    path = tmp_path / "ledger.db"
    account = Account()
    account.add(run(append_in_both, path))
    assert set(account.entries) == set(range(1, 601))
    account.check_all(path)


def append_on(ledger: Ledger, tag: str, pipe: Connection) -> None:
    """Append until killed."""
    for number in itertools.count():
        writers.acknowledge(pipe, ledger.append(writers.record(tag, number), context=ALICE))


def fork_and_append(path: Path, tag: str, pipe: Connection) -> None:
    """Fork a child that outlives this process, from a ledger with a thread in the middle of its appends."""
    ledger = open_ledger(path)
    appending = threading.Thread(target=append_on, args=(ledger, tag, pipe))
    appending.start()
    time.sleep(0.005)
    heir = os.fork()
    if heir == 0:
        # It keeps what it inherited and never touches the ledger; nobody reads its end of the pipe.
        os.close(pipe.fileno())
        signal.pause()
    say(pipe, f"heir {heir}")
    appending.join()


def test_killed_parent_leaves_no_lock_to_its_child(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    chance = random.Random(8)
    account = Account()
    for number in range(20):
        child = Child(fork_and_append, path, f"w{number}")
        line = child.wait_for_line()
        lines = []
        while not line.startswith("heir"):
            lines.append(line)
            line = child.wait_for_line()
        heir = int(line.split()[1])
        try:
            time.sleep(chance.uniform(0, 0.01))
            child.kill()
            lines += child.lines()
            assert child.exit_code() == -9
            account.add(lines)
            os.kill(heir, 0)
            with open_ledger(path, busy_timeout_ms=5_000) as ledger:
                account.check_recent(ledger, lines)
                ledger.append(note(number), context=ALICE)
        finally:
            os.kill(heir, signal.SIGKILL)
    account.check_all(path)


def fork_while_threads_append(path: Path, pipe: Connection) -> None:
    """Fork again and again while threads append; each child opens the ledger anew and reads."""
    ledger = open_ledger(path)
    ledger.append(note(0), context=ALICE)
    stop = threading.Event()

    def append(tag: str) -> None:
        number = 0
        while not stop.is_set():
            writers.acknowledge(pipe, ledger.append(writers.record(tag, number), context=ALICE))
            number += 1

    def child() -> None:
        with pytest.raises(ForkedLedgerError):
            ledger.head()
        with open_ledger(path) as own:
            assert own.verify().valid
            writers.acknowledge(pipe, own.append(writers.record(f"child-{os.getpid()}", 0), context=ALICE))

    def fork() -> None:
        try:
            for _ in range(15):
                assert in_fork(child) == 0
        finally:
            stop.set()

    writers.run_threads([lambda: append("a"), lambda: append("b"), fork])
    ledger.close()


def test_fork_in_the_middle_of_appends(tmp_path: Path) -> None:
    """A lock that another thread held at the fork must not hang the child."""
    path = tmp_path / "ledger.db"
    account = Account()
    account.add(run(fork_while_threads_append, path))
    account.check_all(path)
    with open_ledger(path) as ledger:
        assert sum(entry.record.id.startswith("child-") for entry in read_all(ledger)) == 15
