"""The Python and the SQL of docs/format.md, on real ledgers: whoever has that page alone can read and verify them."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.reference.vectors import load

from nucleus import ModuleConfig, QueryFilters, Record, RequestContext, create_ledger, sqlite_storage
from nucleus.access import AccessConfig, AclGrant

_DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/format.md").read_text()
ALICE = RequestContext.local("oid:onoal:user:alice")
RUN_ENTRIES = 65_536

Edit = Callable[[Path], None]


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", _DOCUMENT, re.DOTALL | re.MULTILINE)


def statements(text: str) -> list[str]:
    """Return the statements of a block of SQL, as a database keeps them."""
    return [statement.strip().removesuffix(";") for statement in text.split(";\n\n")]


SCHEMA_1, SCHEMA_2 = (statements(block) for block in blocks("sql"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Everything that the document's Python defines."""
    names: dict[str, Any] = {}
    exec(compile("\n".join(blocks("python")), "docs/format.md", "exec"), names)
    return names


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    """A closed ledger with access control, all modules, two redactions and texts and numbers at their edges."""
    path = tmp_path / "ledger.db"
    modules = [ModuleConfig(name, "1.0.0") for name in ("asset", "connect", "proof", "token")]
    with create_ledger(
        "formaté-🔒", storage=sqlite_storage(path), access=AccessConfig(administrator=ALICE.oid), modules=modules
    ) as ledger:
        assert ledger.access is not None
        first = ledger.append(Record("n-1", "notes", {"text": "to be erased"}), context=ALICE)
        numbers = [1e20, -0.0, 5e-324, 2**53 - 1, 0.1]
        ledger.append(Record("\u0000\ud7ff\U0001f512", "nötes", numbers, meta={"é": {"\ue000": 1}}), context=ALICE)
        ledger.append_batch(
            [{"id": f"b-{n}", "stream": "batch", "payload": {"n": n}} for n in range(20)], context=ALICE
        )
        ledger.modules.get("asset").register("a-1", owner_oid=ALICE.oid, payload={}, context=ALICE)
        ledger.access.grant(AclGrant("notes", "n-1", "oid:onoal:user:bob", "read", exp=2_000_000_000), context=ALICE)
        ledger.redact(first.hash, reason="a request", context=ALICE)
        page = ledger.query(QueryFilters(stream="batch", limit=1), context=ALICE)
        ledger.redact(page.entries[0].hash, reason="another", context=ALICE)
        with (tmp_path / "export.jsonl").open("wb") as file:
            ledger.export(file, context=ALICE)
    return path


def edit(path: Path, *sql: str) -> None:
    """Change a closed ledger as somebody with another SQLite would, who keeps its schema as it was."""
    with closing(sqlite3.connect(path)) as connection, connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in sql:
            assert connection.execute(statement).rowcount > 0, statement
        for _, trigger in triggers:
            connection.execute(trigger)


def damage_anchor(path: Path) -> None:
    """Put something in the place of the anchor that looks like one."""
    path.with_name("ledger.db.anchor").write_bytes(b'{"checksum":""}'.ljust(1024))


def test_new_files_have_the_schema_that_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    create_ledger("new", storage=sqlite_storage(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        found = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")]
    assert sorted(found) == sorted(SCHEMA_1 + SCHEMA_2)
    header = path.read_bytes()[:100]
    assert header[:16] == b"SQLite format 3\0"
    assert header[16:20] == b"\x10\x00\x02\x02"
    assert header[60:64] == b"\0\0\0\x02"
    assert header[68:72] == b"NUCL"


def test_file_of_the_printed_version_1_is_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in SCHEMA_1:
            connection.execute(statement)
        connection.execute("INSERT INTO ledger_info VALUES ('old', 1, 1700000000000)")
        connection.execute(f"PRAGMA application_id = {0x4E55434C}")
        connection.execute("PRAGMA user_version = 1")
    with create_ledger("old", storage=sqlite_storage(path), accept_rollback=True) as ledger:
        ledger.append(Record("r", "s", {}), context=ALICE)
        assert ledger.verify().valid
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_printed_verifier_accepts_a_ledger(document: dict[str, Any], ledger_file: Path) -> None:
    assert document["verify"](ledger_file, SCHEMA_1 + SCHEMA_2) == []


def test_printed_reader_accepts_an_export(document: dict[str, Any], ledger_file: Path) -> None:
    lines = (ledger_file.parent / "export.jsonl").read_bytes().splitlines()
    ledger_id, head, rows, false_claims = document["read_export"](lines)
    assert document["chain_faults"](rows, ledger_id) == false_claims == []
    assert rows[-1][2].hex() == head
    with closing(sqlite3.connect(ledger_file)) as connection:
        assert rows == connection.execute(f"SELECT {document['COLUMNS']} FROM entries ORDER BY seq").fetchall()


def faults_of(document: dict[str, Any], lines: list[str], ledger_id: str) -> list[tuple[str, int]]:
    """Return what the printed code finds wrong with the entries of an export."""
    header = json.dumps({"ledger_id": ledger_id, "head": None})
    _, _, rows, false_claims = document["read_export"]([header, *lines])
    faults: list[tuple[str, int]] = document["chain_faults"](rows, ledger_id)
    return sorted({*faults, *false_claims})


def test_printed_code_accepts_the_golden_ledger(document: dict[str, Any]) -> None:
    golden = load("ledger.json")
    assert faults_of(document, [row["line"] for row in golden["entries"]], golden["ledger_id"]) == []


def test_printed_code_finds_what_the_golden_vectors_say(document: dict[str, Any]) -> None:
    tampered = load("tampered.json")
    compared = 0
    for case in tampered["cases"]:
        lines = [tampered["lines"][index] for index in case["chain"]]
        kinds = {kind for kind, _ in case["faults"]}
        if "malformed_entry" in kinds:
            # The printed code names fewer forms: what it does not name, it refuses to read or finds in another way.
            with suppress(ValueError):
                assert faults_of(document, lines, case["ledger_id"]) != [], case["name"]
        elif "head_mismatch" not in kinds:
            expected = sorted({(kind, seq) for kind, seq in case["faults"]})
            assert faults_of(document, lines, case["ledger_id"]) == expected, case["name"]
            compared += 1
    assert compared > 150


EDITS: list[tuple[str, Edit, list[Any]]] = [
    (
        "payload",
        lambda path: edit(path, """UPDATE entries SET payload = '{"n":7}' WHERE seq = 5"""),
        [("hash_mismatch", 5)],
    ),
    ("meta", lambda path: edit(path, "UPDATE entries SET meta = NULL WHERE seq = 5"), [("hash_mismatch", 5)]),
    (
        "payload in another form",
        lambda path: edit(path, """UPDATE entries SET payload = '{"n": 3}' WHERE seq = 5"""),
        [("malformed_entry", 5)],
    ),
    (
        "hash",
        lambda path: edit(path, "UPDATE entries SET hash = zeroblob(32) WHERE seq = 5"),
        [("hash_mismatch", 5), ("chain_link_broken", 6)],
    ),
    (
        "row",
        lambda path: edit(path, "DELETE FROM entries WHERE seq = 5"),
        [("sequence_gap", 6), ("chain_link_broken", 6)],
    ),
    (
        "erasure without a record",
        lambda path: edit(
            path,
            "UPDATE entries SET payload = NULL, salt = NULL, payload_hash = (SELECT hash FROM entries WHERE seq = 1) "
            "WHERE seq = 5",
        ),
        [("hash_mismatch", 5), ("unrecorded_redaction", 5)],
    ),
    (
        "end",
        lambda path: edit(path, "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)"),
        [("unrecorded_redaction", 2), "the chain lacks entry 25 of the anchor"],
    ),
    ("look-up table", lambda path: edit(path, "INSERT INTO hash_index VALUES (1, 2)"), ["hash_index"]),
    (
        "creation time",
        lambda path: edit(path, "UPDATE ledger_info SET created_at = 1"),
        ["the anchor is of another ledger"],
    ),
    (
        "anchor",
        damage_anchor,
        ["the anchor is damaged"],
    ),
]


@pytest.mark.parametrize(("edited", "faults"), [case[1:] for case in EDITS], ids=[case[0] for case in EDITS])
def test_printed_verifier_finds(document: dict[str, Any], ledger_file: Path, edited: Edit, faults: list[Any]) -> None:
    edited(ledger_file)
    assert document["verify"](ledger_file, SCHEMA_1 + SCHEMA_2) == faults


def test_printed_verifier_finds_another_schema(document: dict[str, Any], ledger_file: Path) -> None:
    with closing(sqlite3.connect(ledger_file)) as connection, connection:
        connection.execute("DROP TRIGGER entries_no_delete")
    assert document["verify"](ledger_file, SCHEMA_1 + SCHEMA_2) == ["the schema is another"]


def test_printed_replay_of_grants(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    bob, carol = (RequestContext.local(f"oid:onoal:user:{name}") for name in ("bob", "carol"))
    modules = [ModuleConfig(name, "1.0.0") for name in ("asset", "connect", "proof", "token")]
    access_config = AccessConfig(administrator=ALICE.oid)
    with create_ledger("grants", storage=sqlite_storage(path), access=access_config, modules=modules) as ledger:
        access = ledger.access
        assert access is not None
        ledger.append(Record("before", "assets-old", {}), context=bob)
        access.grant(AclGrant("notes", "reserved", bob.oid, "full"), context=ALICE)
        access.grant(AclGrant("notes", "*", carol.oid, "read"), context=ALICE)
        for name in ("reserved", "mine"):
            ledger.append(Record(name, "notes", {}), context=bob)
        access.grant(AclGrant("notes", "mine", carol.oid, "write", exp=4_000_000_000), context=bob)
        access.grant(AclGrant("notes", "mine", carol.oid, "read"), context=bob)
        access.revoke(AclGrant("notes", "mine", carol.oid, "write"), context=bob)
        assets = ledger.modules.get("asset")
        assets.register("a-1", owner_oid=bob.oid, issuer_oid=carol.oid, payload={}, context=bob)
        assets.transfer("a-1", to_oid=carol.oid, context=bob)
        assets.register("a-2", owner_oid=bob.oid, payload={}, context=carol)
        proofs = ledger.modules.get("proof")
        for name in ("p-1", "p-2"):
            proofs.issue(name, subject_oid=carol.oid, issuer_oid=bob.oid, type="t", context=bob)
        issued = ledger.get_by_id("p-1", stream="proofs", context=bob)
        assert issued is not None
        ledger.redact(issued.hash, reason="a request", context=ALICE)
        connect = ledger.modules.get("connect")
        app = "oid:onoal:app:calendar"
        connect.grant("c-1", subject_oid=carol.oid, app_oid=app, scopes=["x"], exp=4_000_000_000, context=carol)
        ledger.modules.get("token").create("POINTS", issuer_oid=bob.oid, decimals=0, context=bob)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT {document['COLUMNS']} FROM entries ORDER BY seq").fetchall()
        kinds = document["parse"](connection.execute("SELECT kinds FROM acl_projection").fetchone()[0])
        key = "resource_id, resource_kind, principal_oid, scope, source, granted_by"
        stored = connection.execute(f"SELECT {key}, exp, created_at, seq FROM acl_grants").fetchall()
    assert {row[4] for row in stored} == {"grant", "creator", "owner", "issuer", "subject", "app"}
    assert document["grants"](rows, kinds) == {row[:6]: row[6:] for row in stored}
    for row in rows:
        if row[5] == "acl_grants":
            said = document["parse"](row[7])
            kind, name = said["resource_kind"].encode(), said["resource_id"].encode()
            digest = document["derive"]("resource", len(kind).to_bytes(8, "little") + kind + name)
            assert row[4] == f"grants:{digest.hex()}"


def test_printed_look_up_tables(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with create_ledger("runs", storage=sqlite_storage(path)) as ledger:
        for batch in range(11):
            start = batch * 6_000
            records: list[dict[str, Any]] = [
                {"id": f"r-{start + n}", "stream": "s", "payload": [], "timestamp": 1} for n in range(6_000)
            ]
            ledger.append_batch(records, context=ALICE)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM hash_index").fetchone() == (RUN_ENTRIES,)
        assert document["index_faults"](connection) == []
    edit(path, "UPDATE id_index SET prefix = prefix + 1 WHERE seq = 1000")
    with closing(sqlite3.connect(path)) as connection:
        assert document["index_faults"](connection) == ["id_index"]


@pytest.mark.parametrize("ledger_id", ["short", "x" * 255, "\u00e9" * 127, '"' * 200])
def test_printed_anchor(document: dict[str, Any], tmp_path: Path, ledger_id: str) -> None:
    path = tmp_path / "ledger.db"
    create_ledger(ledger_id, storage=sqlite_storage(path)).close()
    anchors = [path.with_name("ledger.db.anchor").read_bytes()]
    with create_ledger(ledger_id, storage=sqlite_storage(path)) as ledger:
        entry = ledger.append(Record("r", "s", {}), context=ALICE)
        created_at = ledger.stats().created_at
    anchors.append(path.with_name("ledger.db.anchor").read_bytes())
    for data in anchors:
        assert len(data) == 1024
        assert not data[512:].strip()
        members = document["read_anchor"](data)
        assert document["anchor_faults"](members, ledger_id, created_at, {0: bytes.fromhex(entry.hash)}) == []
    assert document["anchor_faults"](members, ledger_id, created_at, {}) == ["the chain lacks entry 0 of the anchor"]
    for position in range(0, 300, 7):
        flipped = bytearray(anchors[-1])
        flipped[position] ^= 1
        assert_damaged(document, bytes(flipped))


def assert_damaged(document: dict[str, Any], data: bytes) -> None:
    """Assert that the printed reader does not take these bytes for an anchor."""
    try:
        members = document["read_anchor"](data)
    except (ValueError, KeyError):
        return
    assert members is None
