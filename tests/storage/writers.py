"""What runs in child processes: writers that tell of every acknowledged entry at once.

An acknowledgement is one line ``seq hash id``, written only after the append has returned.
"""

import itertools
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from tests.storage.children import say
from tests.storage.ledgers import ALICE, open_ledger

from nucleus import ChainEntry, Ledger, Record

READY = "ready"
BATCH_ENTRIES = 20
THREADS = 4


def record(tag: str, number: int) -> Record:
    """Return a record whose id says who wrote it."""
    return Record(id=f"{tag}-{number}", stream="notes", payload={"n": number, "filler": "x" * (number % 700)})


def acknowledge(pipe: Connection, *entries: ChainEntry) -> None:
    """Tell of entries whose append has returned, whole lines in one write."""
    say(pipe, "\n".join(f"{entry.seq} {entry.hash} {entry.record.id}" for entry in entries))


def _single(ledger: Ledger, tag: str, pipe: Connection) -> None:
    for number in itertools.count():
        acknowledge(pipe, ledger.append(record(tag, number), context=ALICE))


def append_singles(path: Path, tag: str, pipe: Connection) -> None:
    """Append one by one until killed."""
    with open_ledger(path) as ledger:
        say(pipe, READY)
        _single(ledger, tag, pipe)


def append_batches(path: Path, tag: str, pipe: Connection) -> None:
    """Append batches until killed."""
    with open_ledger(path) as ledger:
        say(pipe, READY)
        for start in itertools.count(step=BATCH_ENTRIES):
            records = [record(tag, number) for number in range(start, start + BATCH_ENTRIES)]
            acknowledge(pipe, *ledger.append_batch(records, context=ALICE))


def append_from_threads(path: Path, tag: str, pipe: Connection) -> None:
    """Append from several threads until killed."""
    with open_ledger(path) as ledger:
        threads = [
            threading.Thread(target=_single, args=(ledger, f"{tag}-{number}", pipe)) for number in range(THREADS)
        ]
        say(pipe, READY)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def look_with_stdlib(path: Path) -> int:
    """Open, read and close the file with Python's own SQLite; return the number of entries it sees."""
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
        return int(count)
    finally:
        connection.close()


def append_beside_stdlib(path: Path, tag: str, count: int, pipe: Connection) -> None:
    """Append ``count`` records while this same process opens and closes the file with another SQLite library."""
    with open_ledger(path) as ledger:
        say(pipe, READY)
        for number in range(count):
            acknowledge(pipe, ledger.append(record(tag, number), context=ALICE))
            if number % 7 == 3:
                look_with_stdlib(path)


def append_count(path: Path, tag: str, threads: int, count: int, pipe: Connection) -> None:
    """Append ``count`` records from each of some threads, single ones and batches, then close and end."""
    with open_ledger(path) as ledger:
        say(pipe, READY)

        def work(name: str) -> None:
            for number in range(0, count, 5):
                acknowledge(pipe, ledger.append(record(name, number), context=ALICE))
                batch = [record(name, number + more) for more in range(1, 5)]
                acknowledge(pipe, *ledger.append_batch(batch, context=ALICE))

        run_threads([lambda name=f"{tag}-{number}": work(name) for number in range(threads)])  # type: ignore[misc]


def run_threads(works: list[Callable[[], None]]) -> None:
    """Run functions at once and raise what the first failing one raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def append_and_die(path: Path, count: int, pipe: Connection) -> None:
    """Append records, tell of them as export lines, and end without closing anything."""
    ledger = open_ledger(path)
    for number in range(count):
        say(pipe, ledger.append(record("dying", number), context=ALICE).to_json())
    os.kill(os.getpid(), signal.SIGKILL)


def follow(path: Path, stop_at: int, pipe: Connection) -> None:
    """Read a growing ledger until it has ``stop_at`` entries: it must be a valid chain at every moment."""
    with open_ledger(path, read_only=True) as ledger:
        say(pipe, READY)
        length = 0
        while length < stop_at:
            report = ledger.verify()
            assert report.valid, report.to_dict()
            assert report.entries_checked >= length
            length = report.entries_checked
            head = ledger.head()
            assert (head is not None) >= (length > 0)
            assert head is None or ledger.get(head[1], context=ALICE) is not None
    say(pipe, str(length))
