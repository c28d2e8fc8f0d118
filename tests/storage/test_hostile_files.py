"""Files that somebody prepared: an error of ours, in bounded time, never a crash."""

import os
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tests.reference.chain import recompute_hash
from tests.storage.chains import insert_sql
from tests.storage.ledgers import ALICE, LEDGER_ID, note, open_ledger
from tests.storage.stranger import Stranger

from nucleus import ConfigError, DatabaseError, IntegrityError, NucleusError, QueryFilters

PAGE_BYTES = 4_096


def _plant(path: Path, stranger: Stranger, payload: str) -> None:
    """Store an entry whose hash is right and whose payload is this text, in a ledger without entries."""
    import blake3

    salt = bytes(16)
    commitment = blake3.blake3(
        salt + payload.encode(), derive_key_context="nucleus-ledger 2026-11-20 payload v1"
    ).hexdigest()
    record = {"id": "deep", "stream": "notes", "timestamp": 1}
    entry = {"seq": 0, "format": 1, "record": record, "prev_hash": None, "payload_hash": commitment, "redacted": True}
    entry["hash"] = recompute_hash(entry, LEDGER_ID)
    stranger.edit(path, insert_sql(entry | {"salt": None}))
    stranger.edit(
        path, f"UPDATE entries SET payload = '{payload}', salt = x'{salt.hex()}', payload_hash = NULL WHERE seq = 0"
    )


@pytest.mark.parametrize("depth", [129, 100_000])
@pytest.mark.parametrize("deep", [False, True])
def test_nesting_that_no_writer_writes(tmp_path: Path, stranger: Stranger, depth: int, *, deep: bool) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    _plant(path, stranger, "[" * depth + "]" * depth)
    with pytest.raises(IntegrityError, match="malformed_entry"):
        open_ledger(path).close()
    with open_ledger(path, verify_on_open=False) as ledger:
        assert ledger.verify(deep=deep).counts == {"malformed_entry": 1}
        for read in (
            lambda: ledger.get_by_id("deep", context=ALICE),
            lambda: ledger.query(QueryFilters(stream="notes"), context=ALICE),
            lambda: list(ledger.entries(context=ALICE)),
            lambda: ledger.export(tmp_path / "export.jsonl", context=ALICE),
        ):
            with pytest.raises(NucleusError):
                read()


def test_nesting_that_writers_may_write(tmp_path: Path, stranger: Stranger) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    _plant(path, stranger, "[" * 128 + "]" * 128)
    with open_ledger(path) as ledger:
        entry = ledger.get_by_id("deep", context=ALICE)
        assert entry is not None
        assert str(entry.record.payload) == "[" * 128 + "]" * 128


def test_schema_with_more_objects_than_any_ledger_has(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 100000) INSERT INTO sqlite_schema "
        "SELECT 'table', 't' || n, 't' || n, 2, 'CREATE TABLE t' || n || '(x)' FROM t"
    )
    connection.close()
    for read_only in (False, True):
        with pytest.raises(DatabaseError, match="longer than any ledger needs"):
            open_ledger(path, read_only=read_only).close()


def _tree_that_leads_to_one_leaf_many_times(path: Path, depth: int = 6, fan_out: int = 300) -> None:
    """Put interior pages above the only leaf of `entries`, each of which names the page below it 301 times."""
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    pages = len(content) // PAGE_BYTES
    leaf = bytes(content[(root - 1) * PAGE_BYTES : root * PAGE_BYTES])

    def interior(child: int) -> bytes:
        page = bytearray(PAGE_BYTES)
        start = PAGE_BYTES - 5 * fan_out
        page[0:12] = struct.pack(">BHHHBI", 5, 0, fan_out, start, 0, child)
        for cell in range(fan_out):
            at = start + 5 * cell
            page[at : at + 5] = struct.pack(">IB", child, 19)
            page[12 + 2 * cell : 14 + 2 * cell] = struct.pack(">H", at)
        return bytes(page)

    below = [leaf, *(interior(pages + 1 + level) for level in range(depth))]
    content += b"".join(below)
    content[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = interior(pages + len(below))
    content[28:32] = struct.pack(">I", pages + len(below))
    path.write_bytes(content)


@pytest.mark.parametrize("read_only", [False, True])
def test_tree_that_leads_to_one_page_many_times(tmp_path: Path, *, read_only: bool) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append_batch([note(number) for number in range(20)], context=ALICE)
    _tree_that_leads_to_one_leaf_many_times(path)
    with pytest.raises(IntegrityError, match=r"reference to page|out of order"):
        open_ledger(path, read_only=read_only).close()


def test_free_page_that_is_in_use(tmp_path: Path) -> None:
    """The next appends would be written over old entries."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append_batch([note(number, text="x" * 200) for number in range(500)], context=ALICE)
    content = bytearray(path.read_bytes())
    content[32:40] = struct.pack(">II", 20, 1)
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="index_mismatch"):
        open_ledger(path).close()


def test_second_name_of_a_file_is_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "ledger.db", tmp_path / "other.db"
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
    os.link(path, other)
    for name in (path, other):
        for read_only in (False, True):
            with pytest.raises(ConfigError, match="hard links"):
                open_ledger(name, read_only=read_only).close()
    other.unlink()
    with open_ledger(path) as ledger:
        assert len(ledger) == 1


HOOKS = """
class Slow(nucleus.Module):
    streams = ("notes",)
    def before_append(self, record, context):
        time.sleep(0.01)
modules = [nucleus.ModuleConfig("slow", "1", implementation=Slow)]
def work():
    while True:
        ledger.append({"id": "x", "stream": "notes", "payload": {}}, context=alice)
"""
PROGRESS = """
modules = []
def work():
    while True:
        ledger.verify(progress=lambda done, total: None)
"""


@pytest.mark.parametrize("body", [HOOKS, PROGRESS], ids=["inside hooks", "inside progress callbacks"])
def test_interpreter_that_ends_with_threads_in_the_middle(tmp_path: Path, body: str) -> None:
    program = f"""
import threading, time, nucleus
alice = nucleus.RequestContext.local("oid:onoal:user:alice")
{body}
ledger = nucleus.create_ledger("exit", storage=nucleus.sqlite_storage({str(tmp_path / "ledger.db")!r}), modules=modules)
ledger.append_batch([{{"id": str(n), "stream": "others", "payload": {{}}}} for n in range(500)], context=alice)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(6):
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
