"""Edited look-up indexes: derived from the entries, and checked against them."""

import contextlib
from pathlib import Path

import pytest
from tests.storage.expectations import refused, reported
from tests.storage.ledgers import ALICE, faults, open_ledger, read_all
from tests.storage.samples import INDEXED_LENGTH, LENGTH, RUN_ENTRIES
from tests.storage.stranger import Stranger

from nucleus import IntegrityError, QueryFilters

TABLES = ("hash_index", "id_index")
MISMATCH = "index_mismatch"

# What is done to an index, and the seqs of entries or rows that have then gone wrong.
INDEX_EDITS = {
    "first row of the run deleted": ("DELETE FROM {table} WHERE seq = 0", {0}),
    "row deleted": ("DELETE FROM {table} WHERE seq = 777", {777}),
    "last row of the run deleted": (f"DELETE FROM {{table}} WHERE seq = {RUN_ENTRIES - 1}", {RUN_ENTRIES - 1}),
    "prefix changed": ("UPDATE {table} SET prefix = prefix + 1 WHERE seq = 777", {777}),
    "prefix of the first row changed": ("UPDATE {table} SET prefix = prefix - 1 WHERE seq = 0", {0}),
    "seq moved to the tail": (f"UPDATE {{table}} SET seq = {RUN_ENTRIES + 5} WHERE seq = 777", {777}),
    "row of no entry added": ("INSERT INTO {table} VALUES (12345, 777)", {777}),
    "row of an entry in the tail added": (f"INSERT INTO {{table}} VALUES (12345, {RUN_ENTRIES})", {RUN_ENTRIES}),
    "row behind the chain added": ("INSERT INTO {table} VALUES (12345, 1000000)", {1_000_000}),
    "row with a negative seq added": ("INSERT INTO {table} VALUES (12345, -1)", {-1}),
    "rows exchanged": (
        "UPDATE {table} SET seq = CASE seq WHEN 777 THEN 9000 ELSE 777 END WHERE seq IN (777, 9000)",
        {777, 9_000},
    ),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", INDEX_EDITS)
def test_edited_index_rows(indexed: Path, stranger: Stranger, table: str, name: str) -> None:
    statement, seqs = INDEX_EDITS[name]
    stranger.edit(indexed, statement.format(table=table))
    expected = {(MISMATCH, seq) for seq in seqs}
    for found in (refused(indexed), refused(indexed, read_only=True), reported(indexed)):
        assert expected <= found
        assert {kind for kind, _ in found} == {MISMATCH}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "change",
    ["prefix = 'text'", "prefix = x'01'", "prefix = prefix + 0.5", "seq = 'text'", "seq = NULL"],
)
def test_wrong_types_in_an_index(indexed: Path, stranger: Stranger, table: str, change: str) -> None:
    stranger.edit(indexed, f"UPDATE {table} SET {change} WHERE seq = 777", lax=True)
    assert {kind for kind, _ in refused(indexed)} == {MISMATCH}


@pytest.mark.parametrize("table", TABLES)
def test_one_index_emptied(indexed: Path, stranger: Stranger, table: str) -> None:
    stranger.edit(indexed, f"DELETE FROM {table}")
    assert {kind for kind, _ in refused(indexed)} == {MISMATCH}


def test_both_indexes_emptied(indexed: Path, stranger: Stranger) -> None:
    """A run that is not written yet looks the same: no fault, as long as every entry is still found."""
    stranger.edit(indexed, "DELETE FROM hash_index", "DELETE FROM id_index")
    with contextlib.suppress(IntegrityError), open_ledger(indexed) as ledger:
        for n in (0, 100, INDEXED_LENGTH // 2 - 1):
            entries = ledger.history(f"r-{n}", context=ALICE)
            assert [entry.seq for entry in entries] == [2 * n, 2 * n + 1]
            assert ledger.get(entries[0].hash, context=ALICE) == entries[0]


def test_edited_index_does_not_answer_with_another_entry(indexed: Path, stranger: Stranger) -> None:
    with open_ledger(indexed) as ledger:
        right, wrong = (ledger.history(f"r-{n}", context=ALICE)[0] for n in (100, 4_000))
    for table in TABLES:
        stranger.edit(
            indexed,
            f"UPDATE {table} SET seq = CASE seq WHEN {right.seq} THEN {wrong.seq} ELSE {right.seq} END "
            f"WHERE seq IN ({right.seq}, {wrong.seq})",
        )
    with open_ledger(indexed, verify_on_open=False) as ledger:
        with pytest.raises(IntegrityError):
            ledger.get(right.hash, context=ALICE)
        assert all(entry.record.id == "r-100" for entry in ledger.history("r-100", context=ALICE))


def test_unedited_indexes_are_right(indexed: Path, stranger: Stranger) -> None:
    assert stranger.query(indexed, "SELECT count(*), min(seq), max(seq) FROM hash_index") == [
        [RUN_ENTRIES, 0, RUN_ENTRIES - 1]
    ]
    mismatches = """
        SELECT count(*) FROM entries LEFT JOIN hash_index ON hash_index.seq = entries.seq
        WHERE entries.seq < 200 AND printf('%016X', prefix) <> substr(hex(hash), 1, 16)"""
    assert stranger.query(indexed, mismatches) == [[0]]
    with open_ledger(indexed) as ledger:
        assert ledger.verify(deep=True).valid


def test_versions_on_both_sides_of_the_border_are_found(indexed: Path) -> None:
    with open_ledger(indexed) as ledger:
        for n in (0, RUN_ENTRIES // 2 - 1, RUN_ENTRIES // 2, INDEXED_LENGTH // 2 - 1):
            entries = ledger.history(f"r-{n}", context=ALICE)
            assert [entry.seq for entry in entries] == [2 * n, 2 * n + 1]
            assert ledger.get_by_id(f"r-{n}", context=ALICE) == entries[-1]
            assert [ledger.get(entry.hash, context=ALICE) for entry in entries] == entries


# An index and another definition that its pages are filled by.
FALSE_INDEXES = {
    "another column": ("entries_stream", "CREATE INDEX entries_stream ON entries(record_id)"),
    "every row under one value": ("entries_stream", "CREATE INDEX entries_stream ON entries('' || 'lists')"),
    "rows left out": ("entries_stream", "CREATE INDEX entries_stream ON entries(stream) WHERE seq < 5"),
    "shifted times": ("entries_timestamp", "CREATE INDEX entries_timestamp ON entries(timestamp + 1)"),
    "times left out": ("entries_timestamp", "CREATE INDEX entries_timestamp ON entries(timestamp) WHERE seq <> 6"),
}


@pytest.mark.parametrize("name", FALSE_INDEXES)
def test_edited_index_pages(sample: Path, stranger: Stranger, name: str) -> None:
    stranger.reindex(sample, *FALSE_INDEXES[name])
    assert {kind for kind, _ in reported(sample, deep=True)} == {MISMATCH}


def test_rows_of_another_stream_are_not_handed_out(sample: Path, stranger: Stranger) -> None:
    stranger.reindex(sample, *FALSE_INDEXES["every row under one value"])
    with open_ledger(sample, verify_on_open=False) as ledger:
        try:
            page = ledger.query(QueryFilters(stream="lists"), context=ALICE)
        except IntegrityError:
            return
    assert {entry.record.stream for entry in page.entries} <= {"lists"}


def test_damage_where_no_entry_is(sample: Path) -> None:
    """A free list that names a page in use: every entry can be read, and the next write would destroy some."""
    content = bytearray(sample.read_bytes())
    # Bytes 32 to 39 of the header: first free page and number of free pages.
    content[32:40] = (2).to_bytes(4, "big") + (1).to_bytes(4, "big")
    sample.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        open_ledger(sample, read_only=True).close()
    assert {kind for kind, _ in faults(caught.value.report)} == {MISMATCH}
    with open_ledger(sample, read_only=True, verify_on_open=False) as ledger:
        assert len(read_all(ledger)) == LENGTH
        for deep in (False, True):
            assert {kind for kind, _ in faults(ledger.verify(deep=deep))} == {MISMATCH}
