"""A schema that is not exactly the expected one is refused at open, and the message names what is wrong with it."""

from pathlib import Path

import pytest
from tests.storage.ledgers import kept, open_ledger
from tests.storage.stranger import Stranger

from nucleus import DatabaseError, IntegrityError, NucleusError

TRIGGERS = ("entries_link", "entries_no_update", "entries_no_delete", "ledger_info_no_update", "ledger_info_no_delete")
INDEXES = (
    "entries_stream",
    "entries_timestamp",
    "acl_grants_principal",
    "acl_grants_whole_kind",
    "acl_grants_exp",
)
TABLES = ("ledger_info", "entries", "hash_index", "id_index", "acl_grants", "acl_projection")


def _declare(name: str, sql: str) -> list[str]:
    """Statements that replace a declaration and leave the pages as they are."""
    quoted = sql.replace("'", "''")
    return [f"UPDATE sqlite_schema SET sql = '{quoted}' WHERE name = '{name}'"]


_DISARMED = {
    "entries_link": "BEFORE INSERT ON entries",
    "entries_no_update": "BEFORE UPDATE ON entries",
    "entries_no_delete": "BEFORE DELETE ON entries",
    "ledger_info_no_update": "BEFORE UPDATE ON ledger_info",
    "ledger_info_no_delete": "BEFORE DELETE ON ledger_info",
}

# Attack, the object that the message must name, the statements.
ATTACKS: list[tuple[str, str, list[str]]] = [
    *[(f"{name} dropped", name, [f"DROP TRIGGER {name}"]) for name in TRIGGERS],
    *[
        (
            f"{name} disarmed",
            name,
            [f"DROP TRIGGER {name}", f"CREATE TRIGGER {name} {_DISARMED[name]} WHEN 0 BEGIN SELECT 1; END"],
        )
        for name in TRIGGERS
    ],
    *[(f"{name} dropped", name, [f"DROP INDEX {name}"]) for name in INDEXES],
    *[
        (f"{name} on another column", name, [f"DROP INDEX {name}", f"CREATE INDEX {name} ON entries(meta)"])
        for name in INDEXES
    ],
    *[
        (f"{name} partial", name, [f"DROP INDEX {name}", f"CREATE INDEX {name} ON entries(stream) WHERE seq < 5"])
        for name in INDEXES
    ],
    *[(f"{name} gone", name, [f"DROP TABLE {name}"]) for name in ("hash_index", "id_index", "ledger_info")],
    *[
        (f"{name} renamed", name, ["PRAGMA legacy_alter_table=ON", f"ALTER TABLE {name} RENAME TO old_{name}"])
        for name in TABLES
    ],
    (
        "a view instead of entries",
        "entries",
        [
            "DROP VIEW ledger",
            "PRAGMA legacy_alter_table=ON",
            "ALTER TABLE entries RENAME TO all_entries",
            "CREATE VIEW entries AS SELECT * FROM all_entries WHERE seq < 5",
        ],
    ),
    (
        "a view instead of hash_index",
        "hash_index",
        ["DROP TABLE hash_index", "CREATE VIEW hash_index AS SELECT 1 AS prefix, 1 AS seq"],
    ),
    (
        "entries without STRICT",
        "entries",
        ["UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '') WHERE name = 'entries'"],
    ),
    (
        "entries with a generated column",
        "entries",
        ["UPDATE sqlite_schema SET sql = replace(sql, 'meta TEXT', 'meta TEXT AS (''{}'')') WHERE name = 'entries'"],
    ),
    ("entries with another column", "entries", ["ALTER TABLE entries ADD COLUMN note TEXT"]),
    ("entries with a comment", "entries", ["UPDATE sqlite_schema SET sql = sql || ' /**/' WHERE name = 'entries'"]),
    ("view ledger gone", "ledger", ["DROP VIEW ledger"]),
    ("view ledger changed", "ledger", ["DROP VIEW ledger", "CREATE VIEW ledger AS SELECT * FROM entries"]),
    ("another trigger", "spy", ["CREATE TRIGGER spy AFTER INSERT ON entries BEGIN DELETE FROM hash_index; END"]),
    ("another table", "extra", ["CREATE TABLE extra(x)"]),
    ("another view", "extra", ["CREATE VIEW extra AS SELECT 1"]),
    ("another index", "extra", ["CREATE INDEX extra ON entries(meta)"]),
    ("another unique index", "extra", ["CREATE UNIQUE INDEX extra ON entries(hash)"]),
    ("another virtual table", "extra", ["CREATE VIRTUAL TABLE extra USING fts3(x)"]),
    ("a table named like SQLite's own", "sqlite_stat1", ["ANALYZE"]),
    (
        "a trigger named like an index of SQLite",
        "sqlite_autoindex_x",
        [
            "CREATE TRIGGER spy AFTER INSERT ON entries BEGIN DELETE FROM hash_index; END",
            "UPDATE sqlite_schema SET name = 'sqlite_autoindex_x', "
            "sql = replace(sql, 'spy', 'sqlite_autoindex_x') WHERE name = 'spy'",
        ],
    ),
    (
        "an object without a declaration",
        "extra",
        ["INSERT INTO sqlite_schema VALUES ('table', 'extra', 'extra', 2, NULL)"],
    ),
    (
        "the same index twice",
        "entries_stream",
        [
            "INSERT INTO sqlite_schema SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema "
            "WHERE name = 'entries_stream'",
        ],
    ),
]


@pytest.mark.parametrize(("name", "statements"), [attack[1:] for attack in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_altered_schema(sample: Path, stranger: Stranger, name: str, statements: list[str]) -> None:
    stranger.script(sample, *statements)
    before = kept(sample)
    for read_only in (False, True):
        for verify_on_open in (True, False):
            with pytest.raises((DatabaseError, IntegrityError)) as caught:
                open_ledger(sample, read_only=read_only, verify_on_open=verify_on_open).close()
            assert name in str(caught.value)
    assert kept(sample) == before


UNREADABLE = {
    "garbage for a declaration": _declare("entries", "CREATE TABLE entries(((("),
    "no text at all": ["UPDATE sqlite_schema SET sql = x'FF00FF' WHERE name = 'entries'"],
    "a root page of another table": [
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'ledger_info') "
        "WHERE name = 'entries'"
    ],
    "a root page behind the end": ["UPDATE sqlite_schema SET rootpage = 1000000 WHERE name = 'entries'"],
    "a negative root page": ["UPDATE sqlite_schema SET rootpage = -1 WHERE name = 'entries'"],
    "an endless name": ["UPDATE sqlite_schema SET name = printf('%.900000c', 'x') WHERE name = 'ledger'"],
    "an expression of endless depth": _declare(
        "ledger", f"CREATE VIEW ledger AS SELECT {'(' * 5_000}1{')' * 5_000} AS seq"
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_schema(sample: Path, stranger: Stranger, name: str) -> None:
    stranger.script(sample, *UNREADABLE[name])
    before = kept(sample)
    for read_only in (False, True):
        with pytest.raises(NucleusError):
            open_ledger(sample, read_only=read_only).close()
    assert kept(sample) == before


def test_unaltered_schema_has_these_objects(sample: Path, stranger: Stranger) -> None:
    found = stranger.query(sample, "SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL")
    expected = {("trigger", name) for name in TRIGGERS} | {("index", name) for name in INDEXES}
    expected |= {("table", name) for name in TABLES} | {("view", "ledger")}
    assert {(kind, name) for kind, name in found} == expected


def test_triggers_refuse_what_is_not_an_append(sample: Path, stranger: Stranger) -> None:
    for statement in (
        "DELETE FROM entries WHERE seq = 11",
        "UPDATE entries SET payload = '{}' WHERE seq = 2",
        "UPDATE entries SET payload_hash = zeroblob(32) WHERE seq = 2",
        "INSERT INTO entries SELECT 12, format, hash, prev_hash, record_id, stream, timestamp, payload, salt, "
        "payload_hash, meta FROM entries WHERE seq = 11",
        "INSERT INTO entries SELECT 13, format, hash, hash, record_id, stream, timestamp, payload, salt, "
        "payload_hash, meta FROM entries WHERE seq = 11",
        "UPDATE ledger_info SET id = 'x'",
        "DELETE FROM ledger_info",
    ):
        before = kept(sample)
        with pytest.raises(AssertionError, match="IntegrityError"):
            stranger.script(sample, statement)
        assert kept(sample) == before
