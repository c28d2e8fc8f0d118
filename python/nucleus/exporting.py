"""A chain as JSON Lines: one header line, then one line for each entry, all canonical JSON in UTF-8."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import UnionType
from typing import Protocol, Self

from nucleus._core import ChainEntry, canonicalize, canonicalize_json
from nucleus.backend import LedgerBackend, Progress
from nucleus.errors import ConfigError, ConflictError, InvalidRecordError, SchemaVersionError

EXPORT_VERSION = 1

_ENTRIES_PER_READ = 1_000


class BinaryWriter(Protocol):
    """A file opened for writing bytes, or anything that can stand for one."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """First line of an export.

    Args:
        ledger_id: id of the ledger.
        entries: number of entries that follow.
        head: hash of the last of them, 64 hexadecimal digits; None when there is none.
        created_at: when the ledger was created, in milliseconds since the Unix epoch; None when it is not known.
        format: entry format.
        nucleus_export: version of the export's own format.
    """

    ledger_id: str
    entries: int
    head: str | None
    created_at: int | None = None
    format: int = 1
    nucleus_export: int = EXPORT_VERSION

    def to_json(self) -> bytes:
        """Return the header as canonical JSON, without the end of the line."""
        members = asdict(self)
        if self.created_at is None:
            del members["created_at"]
        return canonicalize(members)

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            InvalidRecordError: the line is not the header of an export.
            SchemaVersionError: the export was written by a newer version of Nucleus.
        """
        members = json.loads(canonicalize_json(line))
        version = members.get("nucleus_export") if isinstance(members, dict) else None
        if type(version) is int and version > EXPORT_VERSION:
            raise SchemaVersionError(
                f"the export has format {version}, and this version of Nucleus reads {EXPORT_VERSION}; "
                "upgrade nucleus-ledger",
                found=version,
                supported=EXPORT_VERSION,
            )
        if not _is_header(members):
            raise InvalidRecordError(
                "this is not the first line of an export, "
                '{"entries": N, "format": 1, "head": HASH, "ledger_id": ID, "nucleus_export": 1}'
            )
        return cls(**members)


_MEMBER_TYPES: dict[str, type | UnionType] = {
    "created_at": int,
    "entries": int,
    "format": int,
    "head": str | None,
    "ledger_id": str,
    "nucleus_export": int,
}


def _is_header(members: object) -> bool:
    """Tell whether this has the members of a header, each of its type, that agree with each other."""
    return (
        isinstance(members, dict)
        and _MEMBER_TYPES.keys() - {"created_at"} <= members.keys() <= _MEMBER_TYPES.keys()
        and all(type(value) is not bool and isinstance(value, _MEMBER_TYPES[key]) for key, value in members.items())
        and members["entries"] >= 0
        and (members["head"] is None) == (members["entries"] == 0)
    )


def read_pages(
    backend: LedgerBackend, requester_oid: str, start_seq: int, end_seq: int | None = None
) -> Iterator[list[ChainEntry]]:
    """Iterate over a chain in pages, each read by itself, so that no read lasts long.

    Args:
        backend: the ledger.
        requester_oid: who asks; entries that they may not read are left out.
        start_seq: seq of the first entry.
        end_seq: seq behind the last entry; None goes on until the chain ends.
    """
    while end_seq is None or start_seq < end_seq:
        limit = _ENTRIES_PER_READ if end_seq is None else min(_ENTRIES_PER_READ, end_seq - start_seq)
        page = backend.range(start_seq, limit, requester_oid)
        if not page:
            return
        start_seq = page[-1].seq + 1
        if end_seq is not None and start_seq > end_seq:
            page = [entry for entry in page if entry.seq < end_seq]
        if page:
            yield page


def write_export(
    backend: LedgerBackend,
    target: str | os.PathLike[str] | BinaryWriter,
    requester_oid: str,
    progress: Progress | None,
) -> int:
    """Write the chain as it is now; see :meth:`nucleus.Ledger.export`."""
    if not isinstance(target, str | os.PathLike):
        return _write_lines(backend, target, requester_oid, progress)
    path = Path(target)
    try:
        # Records are for the ledger's owner, and so is a copy of them.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists and an export overwrites nothing; choose another name") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            written = _write_lines(backend, file, requester_oid, progress)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
    return written


def _write_lines(backend: LedgerBackend, file: BinaryWriter, requester_oid: str, progress: Progress | None) -> int:
    # One consistent look at the ledger fixes what is exported: entries up to this head, which never change but by a
    # redaction.
    stats = backend.stats()
    total, head = stats.entries, stats.head
    header = ExportHeader(backend.id, total, None if head is None else head.hash, stats.created_at)
    file.write(header.to_json() + b"\n")
    written = redacted = 0
    for page in read_pages(backend, requester_oid, 0, total):
        file.write("".join(f"{entry.to_json()}\n" for entry in page).encode())
        written += len(page)
        redacted += sum(entry.redacted for entry in page)
        if progress is not None:
            progress(written, total)
    # The record of a redaction made meanwhile stands behind the exported head: the export would not verify.
    if redacted > stats.redacted:
        raise ConflictError("an entry was redacted while the ledger was exported; discard the export and export again")
    return written
