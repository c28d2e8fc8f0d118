"""The table of grants in PostgreSQL: the same one as in SQLite, with identifiers that are compared byte for byte.

The oracle is SQLite with its own migration: the same rows must give the same answers to the same statements. The server
is the one that is installed with the tests; ``python -m tests.postgresql`` runs them with another, in databases that
compare by language.
"""

import json
import random
import re
import sqlite3
import string
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.storage.postgresql_builds import BUILD, Build, installed_build
from tests.storage.postgresql_server import PostgresqlServer

_RUST = Path(__file__).resolve().parents[2] / "rust"
_MIGRATIONS = _RUST / "nucleus-sqlite/src/migrations"
_POSTGRESQL = (_MIGRATIONS / "postgresql_0002.sql").read_text()
_SQLITE = (_MIGRATIONS / "sqlite_0002.sql").read_text()

_COLUMNS = "resource_kind, resource_id, principal_oid, scope, source, granted_by, exp, created_at, seq"
_KEY = "resource_id, resource_kind, principal_oid, scope, source, granted_by"
_IDENTIFIERS = ("resource_kind", "resource_id", "principal_oid", "granted_by")
_NOW_S = 1_800_000_000

# Parameters are $1, $2, ...: both dialects read them so.
_ALLOWS = (
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM acl_grants WHERE resource_kind = $1 AND resource_id IN ($2, '*') "
    "AND principal_oid = $3 AND scope IN ($4, 'full') AND (exp IS NULL OR exp > $5)) THEN 1 ELSE 0 END AS allowed"
)
_OF_PRINCIPAL = f"SELECT {_COLUMNS} FROM acl_grants WHERE principal_oid = $1 ORDER BY {_KEY}"
_ON_RESOURCE = f"SELECT {_COLUMNS} FROM acl_grants WHERE resource_kind = $1 AND resource_id = $2 ORDER BY {_KEY}"
_WHOLE_KINDS = (
    "SELECT resource_kind, scope FROM acl_grants WHERE principal_oid = $1 AND resource_id = '*' "
    f"AND scope <> 'write' AND (exp IS NULL OR exp > $2) ORDER BY {_KEY}"
)
_NEXT_KIND = (
    "SELECT resource_kind FROM acl_grants WHERE principal_oid = $1 AND scope = $2 AND resource_kind > $3 "
    "ORDER BY resource_kind LIMIT 1"
)
_EXPIRED = f"SELECT {_COLUMNS} FROM acl_grants WHERE exp <= $1 ORDER BY {_KEY}"
_PUT = (
    f"INSERT INTO acl_grants({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
    f"ON CONFLICT ({_KEY}) DO UPDATE SET exp = excluded.exp, created_at = excluded.created_at, seq = excluded.seq"
)
_END_ROLE = (
    "DELETE FROM acl_grants WHERE resource_kind = $1 AND resource_id = $2 AND principal_oid = $3 AND source = $4"
)
_REVOKE = "DELETE FROM acl_grants WHERE resource_kind = $1 AND resource_id = $2 AND principal_oid = $3 AND scope = $4"
_END_ALL = "DELETE FROM acl_grants WHERE resource_kind = $1 AND resource_id = $2"
_CLEAR_EXPIRED = "DELETE FROM acl_grants WHERE exp <= $1"
_ALL = f"SELECT {_COLUMNS} FROM acl_grants ORDER BY {_KEY}"

# An identifier is given as bytes, a word as a string.
Value = bytes | str | int | None


class Grant(NamedTuple):
    """A row of the table."""

    resource_kind: bytes = b"asset"
    resource_id: bytes = b"asset:1"
    principal_oid: bytes = b"oid:onoal:user:alice"
    scope: str = "read"
    source: str = "grant"
    granted_by: bytes = b"oid:onoal:user:root"
    exp: int | None = None
    created_at: int = _NOW_S * 1000
    seq: int = 0


def _literal(value: Value) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"'\\x{value.hex()}'"
        case str():
            return f"'{value}'"
    return str(value)


def _altered(column: str, value: Value) -> list[Value]:
    """Return a row that is like every other but for one column."""
    return [value if name == column else usual for name, usual in Grant()._asdict().items()]


def _put(grants: Iterable[Iterable[Value]]) -> str:
    """Return the statements that put these grants, for psql."""
    return "".join(_statement(_PUT, grant) + "\n" for grant in grants)


def _statement(sql: str, values: Iterable[Value]) -> str:
    """Return a statement with its parameters in place, for psql."""
    literals = [_literal(value) for value in values]
    return re.sub(r"\$(\d)", lambda found: literals[int(found[1]) - 1], sql) + ";"


def _copy(grants: Iterable[Grant]) -> str:
    """Return the command that loads these grants, for psql."""
    lines = ["\t".join(_literal(value).strip("'").replace("\\", "\\\\") for value in grant) for grant in grants]
    return f"COPY acl_grants({_COLUMNS}) FROM STDIN WITH (NULL 'NULL');\n" + "\n".join([*lines, "\\.", ""])


def _sqlite(grants: Iterable[Grant]) -> sqlite3.Connection:
    """Return a database in memory, as SQLite's migration makes it, with these grants."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.text_factory = bytes
    connection.executescript(_SQLITE)
    places = ", ".join("?" * len(Grant._fields))
    texts = ([value.decode() if isinstance(value, bytes) else value for value in grant] for grant in grants)
    connection.execute("BEGIN")
    connection.executemany(f"INSERT INTO acl_grants({_COLUMNS}) VALUES ({places})", texts)
    connection.execute("COMMIT")
    return connection


def _ask_sqlite(connection: sqlite3.Connection, sql: str, values: Iterable[Value]) -> list[str]:
    """Run a statement and return its rows as psql prints them: identifiers in hexadecimal."""
    texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    cursor = connection.execute(re.sub(r"\$(\d)", r"?\1", sql), texts)
    names = [column[0] for column in cursor.description or ()]
    return ["\t".join(_printed(name, value) for name, value in zip(names, row, strict=True)) for row in cursor]


def _printed(name: str, value: bytes | int | None) -> str:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}" if name in _IDENTIFIERS else value.decode()
    return "" if value is None else str(value)


@pytest.fixture(scope="module")
def build(request: pytest.FixtureRequest) -> Build:
    """The build of PostgreSQL to run."""
    named = request.config.stash.get(BUILD, None)
    return installed_build() if named is None else named


@pytest.fixture(scope="module")
def server(build: Build) -> Iterator[PostgresqlServer]:
    """A server for the tests of this file."""
    with PostgresqlServer(build) as running:
        yield running


class Databases:
    """Databases to work on, each with the migration applied."""

    def __init__(self, server: PostgresqlServer) -> None:
        self._server = server
        self._count = 0

    def migrated(self, options: str = "") -> str:
        """Create a database with the tables of grants and return its name."""
        self._count += 1
        name = self._server.create_database(f"ledger_{self._count}", options)
        self._server.psql(name, _POSTGRESQL, "--single-transaction")
        return name


@pytest.fixture(scope="module")
def databases(server: PostgresqlServer) -> Databases:
    """Makes databases."""
    return Databases(server)


@pytest.fixture(scope="module")
def ordered(server: PostgresqlServer, databases: Databases, build: Build) -> str:
    """A database whose own order is a language's where the build has one, that of the bytes where it has not."""
    name = databases.migrated(build.utf8)
    expected = "t\tt\n" if build.by_language else "f\tf\n"
    assert server.psql(name, "SELECT 'a'::text < 'B', 'é'::text < 'f';") == expected
    return name


@pytest.fixture(scope="module")
def grants() -> list[Grant]:
    """Rows of every kind, a few thousand, the same ones every time; no two with the same key."""
    rng = random.Random(20_261_120)
    kinds = [b"asset", b"Asset", b"proof", "caf\u00e9".encode(), "cafe\u0301".encode(), b"a\0b"]
    texts = ["asset:1", "ASSET:1", "asset:1 ", "\u212b", "\u00c5", "A\u030a", "a\0", "a", "\uffff", "\U0001f600", "*"]
    ids = [text.encode() for text in texts] + [b"asset:%d" % number for number in range(2, 40)]
    oids = [f"oid:onoal:user:{name}".encode() for name in ("alice", "Alice", "bob", "bob-", "bob_", "carol", "Z", "z")]
    found: dict[tuple[Value, ...], Grant] = {}
    while len(found) < 4_000:
        grant = Grant(
            rng.choice(kinds),
            b"*" if rng.random() < 0.02 else rng.choice(ids),
            rng.choice(oids),
            rng.choice(["read", "write", "full"]),
            rng.choice(["grant", "creator", "owner", "issuer", "subject", "app"]),
            rng.choice([*oids, b""]),
            rng.choice([None, _NOW_S - 1, _NOW_S, _NOW_S + 1, rng.randrange(-(2**63), 2**63)]),
            rng.randrange(1, 2**53),
            rng.randrange(500),
        )
        found[grant[:6]] = grant
    return list(found.values())


@pytest.fixture(scope="module")
def loaded(server: PostgresqlServer, ordered: str, grants: list[Grant]) -> str:
    """A database with the rows of ``grants``, not to be changed."""
    server.psql(ordered, _copy(grants) + "ANALYZE acl_grants;")
    return ordered


def test_both_dialects_declare_the_same_tables(server: PostgresqlServer, databases: Databases) -> None:
    name = databases.migrated()
    columns = server.psql(
        name,
        "SELECT table_name, column_name, data_type, collation_name, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY table_name, ordinal_position;",
    )
    found = [tuple(line.split("\t")) for line in columns.splitlines()]
    connection = _sqlite([])
    expected = []
    for table in ("acl_grants", "acl_projection"):
        for _, column, kind, required, _, key in connection.execute(f"PRAGMA table_info({table})"):
            text = ("bytea", "") if column.decode() in _IDENTIFIERS else ("text", "C")
            type_and_collation = ("bigint", "") if kind == b"INTEGER" else text
            expected.append((table, column.decode(), *type_and_collation, "NO" if required or key else "YES"))
    assert found == expected


def test_both_dialects_declare_the_same_keys_and_indexes(server: PostgresqlServer, databases: Databases) -> None:
    name = databases.migrated()
    indexes = server.psql(
        name,
        "SELECT indrelid::regclass, CASE WHEN indisprimary THEN 'key' ELSE indexrelid::regclass::text END, "
        "(SELECT string_agg(pg_get_indexdef(indexrelid, n, true), ', ' ORDER BY n) "
        " FROM generate_series(1, indnkeyatts) AS n), indpred IS NOT NULL, indisunique "
        "FROM pg_index WHERE indrelid::regclass::text IN ('acl_grants', 'acl_projection') ORDER BY 1, 2;",
    )
    connection = _sqlite([])
    # A key on the row id is no index in SQLite.
    expected = ["acl_projection\tkey\tid\tf\tt"]
    for _, index, unique, origin, partial in connection.execute("PRAGMA index_list(acl_grants)"):
        info = connection.execute("SELECT name FROM pragma_index_info(?)", (index.decode(),))
        names = ", ".join(column.decode() for (column,) in info)
        title = "key" if origin == b"pk" else index.decode()
        expected.append(f"acl_grants\t{title}\t{names}\t{'ft'[partial]}\t{'ft'[unique]}")
    assert sorted(indexes.splitlines()) == sorted(expected)
    assert len(expected) == 5


def test_the_migration_is_one_transaction(server: PostgresqlServer) -> None:
    name = server.create_database("half_way")
    message = server.refusal(name, _POSTGRESQL + "SELECT 1 / 0;", "--single-transaction")
    assert "division by zero" in message
    assert server.psql(name, "SELECT count(*) FROM pg_class WHERE relname LIKE 'acl%';") == "0\n"


def test_a_database_holds_several_ledgers(server: PostgresqlServer) -> None:
    name = server.create_database("several")
    for number in (1, 2):
        schema = f"CREATE SCHEMA ledger_{number}; SET search_path = ledger_{number};"
        rows = _put(Grant(seq=number + row, resource_id=b"%d" % row) for row in range(number))
        server.psql(name, schema + _POSTGRESQL + rows, "--single-transaction")
    counts = "SELECT (SELECT count(*) FROM ledger_1.acl_grants), (SELECT count(*) FROM ledger_2.acl_grants);"
    assert server.psql(name, counts) == "1\t2\n"


@pytest.mark.parametrize("column", _IDENTIFIERS)
@pytest.mark.parametrize("encoding", ["utf8", "latin1"])
def test_identifiers_are_equal_and_in_order_by_bytes(
    server: PostgresqlServer, databases: Databases, build: Build, encoding: str, column: str
) -> None:
    name = databases.migrated({"utf8": build.utf8, "latin1": build.latin1}[encoding])
    texts = ["a", "A", "a ", " a", "a\t", "a\0", "a\0b", "b", "B", "\u00e9", "e\u0301", "\u00c5", "A\u030a", "\u212b"]
    texts += ["ss", "\u00df", "i", "I", "\u0131", "\u0130", "\uff21", "\ufffd", "\U0001f600"]
    texts += ["a-b", "ab", "a_b", "10", "9"]
    identifiers = [text.encode() for text in texts]
    folded = {unicodedata.normalize("NFKC", text).casefold().strip(" \t") for text in texts}
    assert len(folded) < len(set(identifiers)) == len(texts)
    server.psql(name, _put(_altered(column, identifier) for identifier in identifiers))
    in_order = server.psql(name, f"SELECT encode({column}, 'hex') FROM acl_grants ORDER BY {column};")
    assert in_order.split() == [identifier.hex() for identifier in sorted(identifiers)]
    # Each is found by itself and by nothing else, through whatever index there is.
    questions = "".join(
        _statement(f"SELECT {column} FROM acl_grants WHERE {column} = $1", [identifier]) + "\n"
        for identifier in identifiers
    )
    found = server.psql(name, "SET enable_seqscan = off;\n" + questions)
    assert found.splitlines() == [f"\\x{identifier.hex()}" for identifier in identifiers]


def test_scopes_sources_and_granters_stand_side_by_side(server: PostgresqlServer, databases: Databases) -> None:
    name = databases.migrated()
    sides = [
        Grant(),
        Grant(scope="write"),
        Grant(scope="full"),
        Grant(source="creator"),
        Grant(granted_by=b"oid:onoal:user:bob"),
        Grant(granted_by=b""),
        Grant(principal_oid=b"oid:onoal:user:bob"),
        Grant(resource_id=b"*"),
        Grant(resource_kind=b"proof"),
    ]
    connection = _sqlite(sides)
    server.psql(name, _put(sides))
    for number, grant in enumerate(sides, start=1):
        later = grant._replace(exp=_NOW_S + number, created_at=number, seq=number)
        before = server.psql(name, _ALL + ";").splitlines()
        server.psql(name, _put([later]))
        _ask_sqlite(connection, _PUT, later)
        after = server.psql(name, _ALL + ";").splitlines()
        assert len(before) == len(after) == len(sides)
        assert len(set(after) - set(before)) == 1
        assert after == _ask_sqlite(connection, _ALL, [])
    again = f"INSERT INTO acl_grants({_COLUMNS}) SELECT {_COLUMNS} FROM acl_grants LIMIT 1;"
    assert "acl_grants_pkey" in server.refusal(name, again)


def _limit(file: str, name: str) -> int:
    found = re.search(rf"pub const {name}: usize = (\d+);", (_RUST / "nucleus-core/src" / file).read_text())
    assert found is not None, name
    return int(found[1])


def test_the_longest_identifiers_fit_the_keys(server: PostgresqlServer, databases: Databases) -> None:
    name = databases.migrated()
    stream, record_id = _limit("record.rs", "MAX_STREAM_BYTES"), _limit("record.rs", "MAX_ID_BYTES")
    oid = _limit("oid.rs", "MAX_OID_BYTES")
    rng = random.Random(7)

    def text(length: int) -> bytes:
        # Nothing to compress: keys are stored compressed where that helps.
        return "".join(rng.choices(string.printable[:64], k=length)).encode()

    longest = [
        Grant(text(stream), text(record_id), text(oid), scope, "subject", text(oid), 2**63 - 1, 2**63 - 1, 2**63 - 1)
        for scope in ("full", "write")
    ]
    server.psql(name, _put(longest))
    assert server.psql(name, _ALL + ";").splitlines() == _ask_sqlite(_sqlite(longest), _ALL, [])
    # The check can fail: a longer key is refused.
    assert "index row size" in server.refusal(name, _put([Grant(resource_id=text(record_id + 2_000))]))


def test_what_is_no_grant_is_refused(server: PostgresqlServer, databases: Databases) -> None:
    name = databases.migrated()
    for column in Grant._fields:
        row = _altered(column, None)
        if column == "exp":
            server.psql(name, _put([row]))
        else:
            assert f'null value in column "{column}"' in server.refusal(name, _put([row]))


def test_there_is_one_projection(server: PostgresqlServer, databases: Databases) -> None:
    name = databases.migrated()
    put = (
        "INSERT INTO acl_projection(id, covered_below, kinds) VALUES (0, $1, $2) "
        "ON CONFLICT (id) DO UPDATE SET covered_below = excluded.covered_below, kinds = excluded.kinds"
    )
    for covered_below in (0, 2**63 - 1):
        server.psql(name, _statement(put, [covered_below, '{"proofs":"proof"}']))
    assert server.psql(name, "TABLE acl_projection;") == f'0\t{2**63 - 1}\t{{"proofs":"proof"}}\n'
    for row in ("(0, 1, '{}')", "(1, 1, '{}')", "(NULL, 1, '{}')", "(0, NULL, '{}')", "(0, 1, NULL)"):
        assert "constraint" in server.refusal(name, f"INSERT INTO acl_projection VALUES {row};")


def _questions(grants: list[Grant]) -> list[tuple[str, tuple[Value, ...]]]:
    """Return statements with their parameters: about rows that exist and about near misses."""
    rng = random.Random(1)
    asked: list[tuple[str, tuple[Value, ...]]] = []
    for _ in range(1_200):
        given, other = rng.choice(grants), rng.choice(grants)
        principal_oid = rng.choice([given.principal_oid, given.principal_oid.swapcase(), b"oid:onoal:user:nobody"])
        resource_id = rng.choice([given.resource_id, other.resource_id, given.resource_id + b" ", b"elsewhere", b"*"])
        at_s = rng.choice([_NOW_S - 1, _NOW_S, _NOW_S + 1, 2**62])
        scope = rng.choice(["read", "write", "full"])
        asked.append((_ALLOWS, (given.resource_kind, resource_id, principal_oid, scope, at_s)))
        asked.append((_NEXT_KIND, (principal_oid, scope, rng.choice([b"", given.resource_kind]))))
    for principal_oid in sorted({grant.principal_oid for grant in grants}):
        asked += [(_OF_PRINCIPAL, (principal_oid,)), (_WHOLE_KINDS, (principal_oid, _NOW_S))]
    for kind, resource_id in sorted({grant[:2] for grant in grants}):
        asked.append((_ON_RESOURCE, (kind, resource_id)))
    asked += [(_EXPIRED, (at_s,)) for at_s in (-(2**63), _NOW_S - 1, _NOW_S, 2**63 - 1)]
    return asked


def _ask_postgresql(server: PostgresqlServer, name: str, asked: list[tuple[str, tuple[Value, ...]]]) -> list[list[str]]:
    """Run statements and return the rows of each."""
    script = "".join(f"{_statement(sql, values)}\n\\qecho =\n" for sql, values in asked)
    answers = ("\n" + server.psql(name, script)).split("\n=")
    assert answers.pop() == "\n"
    return [answer.strip("\n").splitlines() for answer in answers]


def test_the_same_rows_give_the_same_answers(server: PostgresqlServer, loaded: str, grants: list[Grant]) -> None:
    asked = _questions(grants)
    connection = _sqlite(grants)
    answers = _ask_postgresql(server, loaded, asked)
    for (sql, values), answer in zip(asked, answers, strict=True):
        assert answer == _ask_sqlite(connection, sql, values), (sql, values)
    decisions = [answer for (sql, _), answer in zip(asked, answers, strict=True) if sql == _ALLOWS]
    assert min(decisions.count(["0"]), decisions.count(["1"])) > 100
    assert sum(len(answer) for answer in answers) > 10_000


def test_the_same_steps_leave_the_same_rows(
    server: PostgresqlServer, databases: Databases, build: Build, grants: list[Grant]
) -> None:
    name = databases.migrated(build.utf8)
    server.psql(name, _copy(grants))
    connection = _sqlite(grants)
    rng = random.Random(2)
    steps: list[tuple[str, tuple[Value, ...]]] = []
    for number, grant in enumerate(rng.sample(grants, 600)):
        kind, resource_id, principal_oid = grant[:3]
        resource_id = rng.choice([resource_id, resource_id.swapcase()])
        steps += [
            rng.choice(
                [
                    (_PUT, tuple(grant._replace(exp=number, seq=number))),
                    (_PUT, tuple(grant._replace(granted_by=b"oid:onoal:user:%d" % number))),
                    (_END_ROLE, (kind, resource_id, principal_oid, grant.source)),
                    (_REVOKE, (kind, resource_id, principal_oid, grant.scope)),
                    (_END_ALL, (kind, resource_id)),
                ]
            )
        ]
    steps.append((_CLEAR_EXPIRED, (_NOW_S,)))
    for sql, values in steps:
        _ask_sqlite(connection, sql, values)
    *_, left = _ask_postgresql(server, name, [*steps, (_ALL, ())])
    assert left == _ask_sqlite(connection, _ALL, [])
    assert 0 < len(left) < len(grants)


def _plan(server: PostgresqlServer, name: str, sql: str, values: Iterable[Value]) -> tuple[set[str], set[str]]:
    """Return the kinds of steps of a statement's plan, and the indexes that it uses."""
    script = "SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN (FORMAT JSON) " + _statement(sql, values)
    steps, indexes = set(), set()
    pending = [plan["Plan"] for plan in json.loads(server.psql(name, script))]
    while pending:
        step = pending.pop()
        steps.add(step["Node Type"])
        indexes |= {step["Index Name"]} if "Index Name" in step else set()
        pending += step.get("Plans", [])
    return steps, indexes


@pytest.mark.parametrize(
    ("sql", "values", "fitting"),
    [
        (
            _ALLOWS,
            (b"asset", b"asset:1", b"oid:onoal:user:bob", "read", _NOW_S),
            {"acl_grants_pkey", "acl_grants_principal"},
        ),
        (_OF_PRINCIPAL, (b"oid:onoal:user:bob",), {"acl_grants_principal"}),
        (_NEXT_KIND, (b"oid:onoal:user:bob", "read", b"asset"), {"acl_grants_principal"}),
        (_WHOLE_KINDS, (b"oid:onoal:user:bob", _NOW_S), {"acl_grants_whole_kind"}),
        (_ON_RESOURCE, (b"asset", b"asset:1"), {"acl_grants_pkey"}),
        (_EXPIRED, (-(2**62),), {"acl_grants_exp"}),
        (_CLEAR_EXPIRED, (-(2**62),), {"acl_grants_exp"}),
    ],
    ids=["allows", "of_principal", "next_kind", "whole_kinds", "on_resource", "expired", "clear_expired"],
)
def test_questions_go_through_an_index(
    server: PostgresqlServer, loaded: str, sql: str, values: tuple[Value, ...], fitting: set[str]
) -> None:
    steps, indexes = _plan(server, loaded, sql, values)
    assert "Seq Scan" not in steps
    assert indexes
    assert indexes <= fitting


def test_grants_on_a_resource_come_in_the_order_of_the_key(server: PostgresqlServer, loaded: str) -> None:
    steps, _ = _plan(server, loaded, _ON_RESOURCE, (b"asset", b"asset:1"))
    assert "Sort" not in steps
