"""The indexes that modules declare: made, kept, told from forgeries."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.modules.conftest import ALICE, BUILT_IN

from nucleus import (
    ConfigError,
    DatabaseError,
    IntegrityError,
    Ledger,
    Module,
    ModuleConfig,
    ModuleError,
    QueryFilters,
    Record,
    create_ledger,
    sqlite_storage,
)

EXPECTED = {
    "field:proofs:subject_oid",
    "field:proofs:issuer_oid",
    "field:proofs:type",
    "field:assets:owner_oid",
    "field:assets:issuer_oid",
    "field:tokens:symbol+from_oid",
    "field:tokens:symbol+to_oid",
    "field:tokens:symbol+tx_id",
    "field:tokens:issuer_oid",
    "field:connect_grants:subject_oid",
    "field:connect_grants:app_oid",
    "field:connect_grants:subject_oid+app_oid",
}


def elsewhere(database: Path, script: str) -> str:
    """Run statements on the closed file with Python's own SQLite, in a process of its own."""
    program = f"""
import sqlite3, sys
connection = sqlite3.connect({str(database)!r}, isolation_level=None)
for statement in {script.split(";;")!r}:
    for row in connection.execute(statement):
        print(*row)
connection.close()
"""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def closed(reopen: Callable[[], Ledger], database: Path) -> Path:
    """A file that was written with all built-in modules."""
    ledger = reopen()
    for n in range(50):
        ledger.modules.get("asset").register(f"a-{n}", owner_oid=f"oid:o:user:u{n % 5}", context=ALICE)
    ledger.close()
    return database


def test_every_declared_index_is_there_and_used(closed: Path) -> None:
    found = elsewhere(closed, "SELECT name FROM sqlite_schema WHERE name LIKE 'field:%'")
    assert set(found.split()) == EXPECTED
    plan = elsewhere(
        closed,
        """EXPLAIN QUERY PLAN SELECT seq FROM entries INDEXED BY "field:assets:owner_oid"
           WHERE stream = 'assets' AND payload -> '$.owner_oid' = '"x"' ORDER BY seq""",
    )
    assert "USING" in plan
    assert "field:assets:owner_oid" in plan
    assert "TEMP B-TREE" not in plan


def test_the_file_opens_without_modules_and_read_only(closed: Path) -> None:
    filters = QueryFilters(stream="assets", payload={"owner_oid": "oid:o:user:u1"})
    for storage in (sqlite_storage(closed), sqlite_storage(closed, read_only=True)):
        for modules in ((), BUILT_IN):
            with create_ledger(storage=storage, modules=modules) as ledger:
                assert len(ledger.query(filters, ALICE).entries) == 10
                assert ledger.verify(deep=True).valid


def test_a_ruled_stream_takes_nothing_without_its_module(closed: Path) -> None:
    storage = sqlite_storage(closed)
    with create_ledger(storage=storage) as ledger:
        entry = ledger.history("a-1", ALICE)[0]
        attempts: list[Callable[[Ledger], object]] = [
            lambda ledger: ledger.append(Record("a-1", "assets", {"owner_oid": ALICE.oid}), ALICE),
            lambda ledger: ledger.append_batch([Record("n", "notes", {}), Record("p", "proofs", {})], ALICE),
            lambda ledger: ledger.redact(entry.hash, "x", ALICE),
        ]
        for attempt in attempts:
            with pytest.raises(ModuleError, match="opened without it"):
                attempt(ledger)
        assert len(ledger) == 50
        ledger.append(Record("n", "notes", {}), ALICE)
    with create_ledger(storage=storage, modules=BUILT_IN) as ledger:
        ledger.modules.get("asset").register("a-50", owner_oid=ALICE.oid, context=ALICE)
    with create_ledger("never-ruled") as ledger:
        ledger.append(Record("a-1", "assets", {"free": True}), ALICE)


def test_entries_that_were_there_before_are_indexed(tmp_path: Path) -> None:
    class Kinds(Module):
        streams = ("notes",)
        indexed_fields = ("kind", ("kind", "size"))

    storage = sqlite_storage(tmp_path / "l.db", durability="normal")
    records = [Record(f"r-{n}", "notes", {"kind": f"k{n % 3}", "size": n % 2}) for n in range(60)]
    with create_ledger("t", storage=storage) as ledger:
        ledger.append_batch(records, ALICE)
        with pytest.raises(ConfigError, match="no index"):
            ledger._backend.field_values("notes", "kind", ALICE.oid)
    with create_ledger("t", storage=storage, modules=[ModuleConfig("kinds", "1", implementation=Kinds)]) as ledger:
        assert ledger._backend.field_values("notes", "kind", ALICE.oid) == ["k0", "k1", "k2"]
        ledger.append(Record("x", "notes", {"kind": "k3", "size": 0}), ALICE)
        assert ledger._backend.field_values("notes", "kind", ALICE.oid, after="k1") == ["k2", "k3"]
        both = QueryFilters(stream="notes", payload={"kind": "k1", "size": 1}, limit=3, with_total=True)
        page = ledger.query(both, ALICE)
        assert (len(page.entries), page.has_more, page.total) == (3, True, 10)
        assert ledger.verify(deep=True).valid


@pytest.mark.parametrize(
    "forged",
    [
        "CREATE INDEX \"field:assets:owner_oid\" ON entries(payload -> '$.owner_oid') WHERE stream = 'notes'",
        "CREATE INDEX \"field:assets:owner_oid\" ON entries(payload -> '$.color') WHERE stream = 'assets'",
        "CREATE INDEX \"field:assets:owner_oid\" ON entries(payload -> '$.owner_oid')",
    ],
)
def test_a_forged_definition_is_refused(closed: Path, forged: str) -> None:
    elsewhere(closed, f'DROP INDEX "field:assets:owner_oid";;{forged}')
    for modules in ((), BUILT_IN):
        with pytest.raises(DatabaseError, match="not the expected one"):
            create_ledger(storage=sqlite_storage(closed), modules=modules)


def test_another_index_is_refused(closed: Path) -> None:
    elsewhere(closed, "CREATE INDEX extra ON entries(payload)")
    with pytest.raises(DatabaseError, match="extra"):
        create_ledger(storage=sqlite_storage(closed))


def test_an_index_that_hides_rows_is_found(closed: Path) -> None:
    statement = """CREATE INDEX "field:assets:owner_oid" ON entries(payload -> '$.owner_oid') WHERE stream = 'assets'"""
    elsewhere(
        closed,
        f"""DROP INDEX "field:assets:owner_oid";;{statement.replace("'assets'", "'assets' AND seq > 10")};;"""
        "PRAGMA writable_schema=ON;;"
        f"""UPDATE sqlite_schema SET sql = '{statement.replace("'", "''")}' WHERE name = 'field:assets:owner_oid'""",
    )
    with pytest.raises(IntegrityError, match="field:assets:owner_oid"):
        create_ledger(storage=sqlite_storage(closed)).close()
    with create_ledger(storage=sqlite_storage(closed), verify_on_open=False) as ledger:
        assert ledger.verify().counts.keys() == ledger.verify_storage().counts.keys() == {"index_mismatch"}


def test_python_s_own_sqlite_knows_the_operator() -> None:
    # The forgeries above need it.
    assert sqlite3.sqlite_version_info >= (3, 38)
