"""The ledgers that are tampered with."""

from pathlib import Path
from typing import Final

from tests.reference.building import append
from tests.storage.chains import insert_sql, stored_entries
from tests.storage.ledgers import ALICE, LEDGER_ID, note, open_ledger
from tests.storage.stranger import Stranger

from nucleus import Record

# Where the rows of each kind are in the sample. The chain goes on behind each of them, but for the last.
FIRST: Final = 0
ARRAY: Final = 1
MIDDLE: Final = 2
REDACTED: Final = 3
NO_META: Final = 4
OTHER_META: Final = 5
REDACTION: Final = 8
LAST: Final = 11
LENGTH: Final = 12

RUN_ENTRIES: Final = 65_536
INDEXED_LENGTH: Final = RUN_ENTRIES + 464


def build_sample(path: Path, stranger: Stranger) -> None:
    """Build a ledger of twelve entries with a row of every kind."""
    with open_ledger(path) as ledger:
        ledger.append(note(0, text="first é 😀"), context=ALICE)
        ledger.append(Record(id="list", stream="lists", payload=[1, 2.5, "x", None, {"a": []}]), context=ALICE)
        ledger.append(note(2, long="long " * 2_000), context=ALICE)
        secret = ledger.append(note(3, secret="to be erased"), context=ALICE)
    _insert_foreign_rows(path, stranger)
    with open_ledger(path) as ledger:
        ledger.append_batch([note(6), note(7)], context=ALICE)
        assert ledger.redact(secret.hash, reason="request 1", context=ALICE).seq == REDACTION
        ledger.append_batch([note(9), note(2, version=2), note(11)], context=ALICE)
        assert len(ledger) == LENGTH


def _insert_foreign_rows(path: Path, stranger: Stranger) -> None:
    """Insert entries made by the reference: the engine itself writes none without meta."""
    entries = stored_entries(stranger, path)
    bare = {"id": "bare", "stream": "notes", "timestamp": 1, "payload": {}}
    append(entries, LEDGER_ID, bare, salt=bytes(range(16)))
    append(entries, LEDGER_ID, bare | {"id": "meta", "meta": {"k": [True]}}, salt=bytes(range(16, 32)))
    stranger.edit(path, *map(insert_sql, entries[-2:]))


def build_indexed(path: Path) -> None:
    """Build a ledger with one whole index run and entries behind it; ids come in versions of two."""
    with open_ledger(path, durability="normal") as ledger:
        for start in range(0, INDEXED_LENGTH, 4_000):
            stop = min(start + 4_000, INDEXED_LENGTH)
            ledger.append_batch([note(n // 2, version=n % 2) for n in range(start, stop)], context=ALICE)
