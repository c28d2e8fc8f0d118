"""What a ledger tells of itself, none of it the content of a record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Head(NamedTuple):
    """Where a chain ends: ``seq, hash = head``, or by name."""

    seq: int
    """Seq of the newest entry."""
    hash: str
    """Its hash, 64 hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class LedgerStats:
    """Figures about a ledger, of one moment.

    Attributes:
        entries: number of entries.
        head: where the chain ends; None when the ledger is empty.
        streams: number of entries by stream.
        redacted: number of entries whose payload was erased.
        first_timestamp: the smallest timestamp of a record, in milliseconds since the Unix epoch; None without any.
        last_timestamp: the largest.
        created_at: when the ledger was created, in milliseconds since the Unix epoch.
        database_bytes: size of the database.
        wal_bytes: size of the write-ahead log.
        scrub_pending: whether bytes of an erased payload may still be in the write-ahead log.
    """

    entries: int
    head: Head | None
    streams: Mapping[str, int]
    redacted: int
    first_timestamp: int | None
    last_timestamp: int | None
    created_at: int
    database_bytes: int
    wal_bytes: int
    scrub_pending: bool


class Restored(NamedTuple):
    """What :func:`nucleus.restore` came to."""

    head: Head | None
    """Where the restored ledger ends; None when it is empty."""
    replaced: Path | None
    """Where the ledger is now that was there before, its log and its anchor beside it; None when there was none."""
