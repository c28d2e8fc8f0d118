"""Opening ledgers and looking at them through the public API, and at their files as bytes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from nucleus import ChainEntry, Ledger, QueryFilters, Record, RequestContext, VerificationReport, create_ledger
from nucleus import sqlite_storage as _sqlite_storage

LEDGER_ID = "storage-tests"
ALICE = RequestContext.local("oid:onoal:user:alice")

Fault = tuple[str, int | None]


def open_ledger(
    path: Path | str,
    *,
    id: str | None = LEDGER_ID,
    read_only: bool = False,
    durability: Literal["full", "normal"] = "full",
    busy_timeout_ms: int = 30_000,
    verify_on_open: bool = True,
    accept_rollback: bool = False,
    expected_head: str | None = None,
    expected_length: int | None = None,
) -> Ledger:
    """Open a ledger kept in a file."""
    storage = _sqlite_storage(path, read_only=read_only, durability=durability, busy_timeout_ms=busy_timeout_ms)
    return create_ledger(
        id=id,
        storage=storage,
        verify_on_open=verify_on_open,
        accept_rollback=accept_rollback,
        expected_head=expected_head,
        expected_length=expected_length,
    )


def note(n: int, **payload: object) -> Record:
    """Return a record of stream ``notes`` with the id ``r-n``."""
    return Record(id=f"r-{n}", stream="notes", payload={"n": n} | payload)


def read_all(ledger: Ledger) -> list[ChainEntry]:
    """Return every entry in chain order, read in pages."""
    return list(_pages(ledger))


def _pages(ledger: Ledger) -> Iterator[ChainEntry]:
    cursor = None
    while True:
        page = ledger.query(QueryFilters(limit=5_000, cursor=cursor), context=ALICE)
        yield from page.entries
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def faults(report: VerificationReport | None) -> set[Fault]:
    """Return the faults of a report as (kind, seq); an exception that should carry a report must have one."""
    assert report is not None
    return {(error.kind, error.seq) for error in report.errors}


def anchor_of(path: Path) -> Path:
    """Return the path of the anchor beside a ledger file."""
    return path.with_name(path.name + ".anchor")


def wal_of(path: Path) -> Path:
    """Return the path of the write-ahead log beside a ledger file."""
    return path.with_name(path.name + "-wal")


def files_of(path: Path) -> list[Path]:
    """Return every file that exists of the ledger kept at ``path``: database, WAL, shared memory, anchor."""
    return sorted(path.parent.glob(path.name + "*"))


def copy_ledger(source: Path, directory: Path) -> Path:
    """Copy all files of a ledger nobody has open into a directory; return the copy's path."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in files_of(source):
        shutil.copyfile(file, directory / file.name)
    return directory / source.name


def kept(path: Path) -> tuple[bytes, bytes | None]:
    """Return the bytes of a closed ledger's database and anchor: what a refused open must leave alone."""
    anchor = anchor_of(path)
    return path.read_bytes(), anchor.read_bytes() if anchor.exists() else None


def snapshot(path: Path) -> dict[Path, bytes]:
    """Return the bytes of every file of a ledger."""
    return {file: file.read_bytes() for file in files_of(path)}


def restore(path: Path, files: dict[Path, bytes]) -> None:
    """Put the files of a ledger back as a snapshot found them."""
    for file in files_of(path):
        if file not in files:
            file.unlink()
    for file, content in files.items():
        file.write_bytes(content)
