"""People, records and ledgers to test the Python face with."""

from collections.abc import Iterator
from pathlib import Path

from nucleus import Ledger, Record, RequestContext, create_ledger, sqlite_storage

LEDGER_ID = "facade-tests"
ALICE = RequestContext.local("oid:onoal:user:alice")
BOB = RequestContext.local("oid:onoal:user:bob")
UNKNOWN_HASH = "ab" * 32


def note(n: int, **payload: object) -> Record:
    """Return a record of stream ``notes`` with the id ``r-n``."""
    return Record(id=f"r-{n}", stream="notes", payload={"n": n} | payload)


def notes(count: int) -> Iterator[Record]:
    """Return as many records, each with an id of its own."""
    return map(note, range(count))


def open_file(path: Path) -> Ledger:
    """Open the ledger of these tests in a file."""
    return create_ledger(LEDGER_ID, storage=sqlite_storage(path))
