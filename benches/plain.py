"""The baseline of the appends: what a Python service would write with sqlite3, blake3 and orjson.

The same columns and the same hash chain as a ledger, without look-up indexes, triggers, anchor or checks.
"""

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import orjson
from blake3 import blake3

COLUMNS = "seq, format, hash, prev_hash, record_id, stream, timestamp, payload, salt, payload_hash, meta"
INSERT = f"INSERT INTO entries({COLUMNS}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
CREATE = """CREATE TABLE entries(seq INTEGER PRIMARY KEY, format INTEGER NOT NULL, hash BLOB NOT NULL, prev_hash BLOB,
    record_id TEXT NOT NULL, stream TEXT NOT NULL, timestamp INTEGER NOT NULL, payload TEXT, salt BLOB,
    payload_hash BLOB, meta TEXT)"""

TableKind = Literal["indexed", "lean", "searchable"]
INDEXES: Mapping[TableKind, Sequence[str]] = {
    "indexed": ("CREATE INDEX by_stream ON entries(stream, seq)", "CREATE INDEX by_time ON entries(timestamp, seq)"),
    "lean": (),
    "searchable": ("CREATE UNIQUE INDEX by_hash ON entries(hash)", "CREATE INDEX by_id ON entries(record_id, seq)"),
}

Row = tuple[int, int, bytes, bytes | None, str, str, int, str, bytes, None, str]


def connect(path: Path) -> sqlite3.Connection:
    """Open a table of the baseline as durably as a ledger is: WAL, synchronous=FULL."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def create(connection: sqlite3.Connection, kind: TableKind) -> None:
    """Create the empty table, with the indexes of its kind."""
    connection.execute(CREATE)
    for index in INDEXES[kind]:
        connection.execute(index)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a table of the baseline, or a ledger that nothing in this process has open."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


class PlainLedger:
    """A hash chain in one SQLite table; the head is remembered, not read again."""

    def __init__(self, path: Path, *, ledger_id: str, requester_oid: str) -> None:
        self._connection = connect(path)
        self._requester_oid = requester_oid
        self._genesis = blake3(ledger_id.encode(), derive_key_context="nucleus-ledger 2026-11-20 ledger v1").digest()
        head = self._connection.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        self._next_seq: int = head[0] + 1 if head else 0
        self._head: bytes | None = head[1] if head else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def append_batch(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append records in one durable transaction."""
        self._connection.executemany(INSERT, self.rows(records))
        self._connection.commit()

    def insert(self, row: Row) -> None:
        """Write one finished row in a durable transaction of its own."""
        self._connection.execute(INSERT, row)
        self._connection.commit()

    def rows(self, records: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Return the rows that continue the chain with these records, and move the head to the last."""
        meta = {"recorded_at": time.time_ns() // 1_000_000, "requester_oid": self._requester_oid}
        meta_text = orjson.dumps(meta).decode()
        return [self._row(record, meta, meta_text) for record in records]

    def _row(self, record: Mapping[str, Any], meta: Mapping[str, Any], meta_text: str) -> Row:
        salt = os.urandom(16)
        payload = orjson.dumps(record["payload"], option=orjson.OPT_SORT_KEYS)
        commitment = blake3(salt + payload, derive_key_context="nucleus-ledger 2026-11-20 payload v1").hexdigest()
        seq, prev_hash = self._next_seq, self._head
        header = orjson.dumps(
            {
                "format": 1,
                "id": record["id"],
                "meta": meta,
                "payload_hash": commitment,
                "seq": seq,
                "stream": record["stream"],
                "timestamp": record["timestamp"],
            }
        )
        linked = (prev_hash or self._genesis) + header
        entry_hash = blake3(linked, derive_key_context="nucleus-ledger 2026-11-20 entry v1").digest()
        self._next_seq, self._head = seq + 1, entry_hash
        return (
            *(seq, 1, entry_hash, prev_hash, record["id"], record["stream"], record["timestamp"]),
            *(payload.decode(), salt, None, meta_text),
        )
