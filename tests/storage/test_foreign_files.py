"""Files that are no ledger, or no longer one: an exception of ours, and not a byte of them changed."""

import os
import random
import sqlite3
import struct
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.storage import samples
from tests.storage.children import Child, say
from tests.storage.ledgers import ALICE, anchor_of, files_of, kept, note, open_ledger, read_all, restore, snapshot

from nucleus import ConfigError, DatabaseError, NucleusError, SchemaVersionError


def _database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def _journal(path: Path, mode: str) -> None:
    _database(path, f"PRAGMA journal_mode={mode}", "CREATE TABLE t(x)", "INSERT INTO t VALUES (1)")


# NUCL, as every ledger file has it in its header.
OUR_APPLICATION = "PRAGMA application_id = 0x4E55434C"

FOREIGN: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("A perfectly ordinary letter.\n" * 200),
    "one byte": lambda path: path.write_bytes(b"S"),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5_000)),
    "zeros": lambda path: path.write_bytes(bytes(8_192)),
    "noise": lambda path: path.write_bytes(random.Random(1).randbytes(20_000)),
    "only SQLite's magic": lambda path: path.write_bytes(b"SQLite format 3\0"),
    "SQLite's magic and noise": lambda path: path.write_bytes(
        b"SQLite format 3\0" + random.Random(2).randbytes(20_000)
    ),
    "another application's database": lambda path: _journal(path, "delete"),
    "another application's database in WAL mode": lambda path: _journal(path, "wal"),
    "a database with another application id": lambda path: _database(
        path, "PRAGMA application_id = 7", "CREATE TABLE entries(x)"
    ),
    "another application's empty database": lambda path: _database(path, "PRAGMA application_id = 7"),
    "another application's database with a version": lambda path: _database(path, "PRAGMA user_version = 1"),
    "our application id and nothing else": lambda path: _database(path, OUR_APPLICATION),
    "our application id, version 1, no tables": lambda path: _database(
        path, OUR_APPLICATION, "PRAGMA user_version = 1"
    ),
    "our application id, version 0, tables": lambda path: _database(path, OUR_APPLICATION, "CREATE TABLE entries(x)"),
    "our application id, a negative version": lambda path: _database(path, OUR_APPLICATION, "PRAGMA user_version = -1"),
    "a database in UTF-16": lambda path: _database(path, "PRAGMA encoding = 'UTF-16'", "CREATE TABLE t(x)"),
    "an anchor": lambda path: path.write_bytes(b'{"seq":1}'.ljust(1023) + b"\n"),
}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_file(tmp_path: Path, name: str, read_only: bool) -> None:
    path = tmp_path / "file.db"
    FOREIGN[name](path)
    before = path.read_bytes()
    for verify_on_open in (True, False):
        with pytest.raises(NucleusError) as caught:
            open_ledger(path, read_only=read_only, verify_on_open=verify_on_open).close()
        assert str(path) in str(caught.value)
    with pytest.raises(NucleusError):
        open_ledger(path, id=None, read_only=read_only).close()
    assert path.read_bytes() == before
    assert files_of(path) == [path]


@pytest.mark.parametrize("version", [3, 1_000, 2**31 - 1])
@pytest.mark.parametrize("read_only", [False, True])
def test_newer_schema(sample: Path, version: int, read_only: bool) -> None:
    _database(sample, f"PRAGMA user_version = {version}")
    before = kept(sample)
    with pytest.raises(SchemaVersionError, match=str(version)):
        open_ledger(sample, read_only=read_only).close()
    assert kept(sample) == before


def test_newer_schema_with_tables_unknown_here(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    _database(path, OUR_APPLICATION, "PRAGMA user_version = 3", "CREATE TABLE unheard_of(x)")
    before = path.read_bytes()
    with pytest.raises(SchemaVersionError):
        open_ledger(path).close()
    assert path.read_bytes() == before


def test_empty_file_becomes_a_ledger_only_when_named_and_writable(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    path.touch()
    with pytest.raises(NucleusError):
        open_ledger(path, read_only=True).close()
    with pytest.raises(ConfigError):
        open_ledger(path, id=None).close()
    assert path.read_bytes() == b""
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
    with open_ledger(path, id=None) as ledger:
        assert len(ledger) == 1


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file.db"
    with pytest.raises(NucleusError, match=r"file\.db"):
        open_ledger(path, read_only=True).close()
    with pytest.raises(ConfigError):
        open_ledger(path, id=None).close()
    assert not path.parent.exists()


def _special(path: Path) -> list[Path]:
    directory, fifo, below_a_file = path / "directory", path / "fifo", path / "file" / "ledger.db"
    directory.mkdir()
    os.mkfifo(fifo)
    below_a_file.parent.write_text("a file, not a directory")
    return [directory, fifo, below_a_file, path / ("n" * 300), Path("/proc/ledger.db")]


def open_specials(path: Path, pipe: Connection) -> None:
    """Try to open what is no regular file; runs in a child because some of these block whoever opens them."""
    for special in _special(path):
        for read_only in (False, True):
            try:
                open_ledger(special, read_only=read_only).close()
            except NucleusError as error:
                say(pipe, type(error).__name__)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    assert len(Child(open_specials, tmp_path).finish()) == 10
    assert (tmp_path / "file").read_text() == "a file, not a directory"


def test_truncated_at_many_lengths(sample: Path) -> None:
    files = snapshot(sample)
    content = files[sample]
    with open_ledger(sample) as ledger:
        entries = read_all(ledger)
    lengths = {*range(0, len(content), 509), *range(0, len(content), 4_096), 1, 15, 16, 99, 100, len(content) - 1}
    for number, length in enumerate(sorted(lengths)):
        restore(sample, files | {sample: content[:length]})
        before = kept(sample)
        try:
            with open_ledger(sample, read_only=number % 2 == 0) as ledger:
                assert read_all(ledger) == entries, f"cut at {length} of {len(content)}"
        except NucleusError:
            assert kept(sample) == before, f"cut at {length} of {len(content)}"


def test_truncated_by_whole_pages_is_refused(sample: Path) -> None:
    content = sample.read_bytes()
    for pages in range(len(content) // 4_096):
        sample.write_bytes(content[: pages * 4_096])
        with pytest.raises(NucleusError):
            open_ledger(sample).close()
        assert len(sample.read_bytes()) == pages * 4_096


def _length_or_refused(path: Path) -> int | None:
    """Return the number of entries of a ledger that opens and is valid to the last page, else None."""
    try:
        with open_ledger(path) as ledger:
            return len(read_all(ledger)) if ledger.verify(deep=True).valid else None
    except NucleusError:
        return None


def test_pages_exchanged(sample: Path) -> None:
    files = snapshot(sample)
    content = files[sample]
    pages = [content[at : at + 4_096] for at in range(0, len(content), 4_096)]
    for page in range(1, len(pages) - 1):
        exchanged = [*pages[:page], pages[page + 1], pages[page], *pages[page + 2 :]]
        restore(sample, files | {sample: b"".join(exchanged)})
        if exchanged != pages:
            assert _length_or_refused(sample) is None, f"pages {page + 1} and {page + 2}"


@pytest.mark.parametrize(
    ("offset", "value"), [(18, 1), (18, 3), (19, 7), (16, 1), (20, 200), (21, 0), (44, 9), (56, 0), (59, 2)]
)
def test_header_fields(sample: Path, offset: int, value: int) -> None:
    """Format versions, page size, reserved space, payload fractions, schema format, text encoding."""
    content = bytearray(sample.read_bytes())
    content[offset] = value
    sample.write_bytes(content)
    assert _length_or_refused(sample) in (None, samples.LENGTH)


@pytest.mark.parametrize("pages", [0, 1, 2, 2**31 - 1, 2**32 - 1])
def test_page_count_of_the_header(sample: Path, pages: int) -> None:
    content = bytearray(sample.read_bytes())
    content[28:32] = struct.pack(">I", pages)
    sample.write_bytes(content)
    assert _length_or_refused(sample) in (None, samples.LENGTH)


def test_missing_anchor_does_not_make_a_foreign_file_ours(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    _journal(path, "delete")
    with pytest.raises(DatabaseError, match="another application"):
        open_ledger(path).close()
    assert not anchor_of(path).exists()
