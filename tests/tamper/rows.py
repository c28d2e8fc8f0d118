"""Edits of rows and of the schema by somebody who knows the format: triggers out of the way, hashes made right."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.reference.chain import recompute_hash
from tests.storage.chains import COLUMNS
from tests.tamper.bases import ADMIN, ISSUER, LAST_SECOND, LEDGER_ID, person
from tests.tamper.edit import Bench, Done, Edit, pick
from tests.tamper.pages import EditError

from nucleus import canonicalize


@contextmanager
def _unguarded(bench: Bench) -> Iterator[sqlite3.Connection]:
    """Open the files without their triggers, and put these back."""
    with bench.image.database(bench.path) as connection:
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        yield connection
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute(f"PRAGMA schema_version = {version}")


def _statement(*statements: str, near: frozenset[int] = frozenset()) -> Edit:
    """Return an edit by fixed statements; at least one of them must change a row."""

    def edit(bench: Bench) -> Done:
        with _unguarded(bench) as connection:
            before = connection.total_changes
            for statement in statements:
                connection.execute(statement)
            if connection.total_changes == before:
                raise EditError("no row has changed")
        return Done("; ".join(statements), near)

    return edit


# Rows of entries.


def _row(connection: sqlite3.Connection, seq: int) -> dict[str, Any]:
    row = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM entries WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        raise EditError("no such row")
    return dict(zip(COLUMNS, row, strict=True))


def _update(connection: sqlite3.Connection, seq: int, **values: Any) -> None:
    assignments = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE entries SET {assignments} WHERE seq = ?", (*values.values(), seq))


def _hash(row: dict[str, Any]) -> bytes:
    """Return the hash that a row's own content gives."""
    record = {"id": row["record_id"], "stream": row["stream"], "timestamp": row["timestamp"]}
    if row["meta"] is not None:
        record["meta"] = json.loads(row["meta"])
    record["payload"] = None if row["payload"] is None else json.loads(row["payload"])
    entry = {
        "record": record,
        "seq": row["seq"],
        "redacted": row["payload"] is None,
        "prev_hash": None if row["prev_hash"] is None else row["prev_hash"].hex(),
        "payload_hash": None if row["payload_hash"] is None else row["payload_hash"].hex(),
        "salt": None if row["salt"] is None else row["salt"].hex(),
    }
    return bytes.fromhex(recompute_hash(entry, LEDGER_ID))


def _other_content(bench: Bench, row: dict[str, Any]) -> dict[str, Any]:
    """Return other values for some columns of a row."""
    changes: list[dict[str, Any]] = [
        {"stream": "streams"},
        {"record_id": row["record_id"] + "x"},
        {"timestamp": row["timestamp"] + 1},
        {"meta": None},
        {"meta": canonicalize({"requester_oid": ISSUER.oid}).decode()},
    ]
    if row["payload"] is not None:
        payload = json.loads(row["payload"])
        changes += [{"payload": canonicalize(payload | {"n": -5}).decode()}] * 4
        if "owner_oid" in payload:
            changes += [{"payload": canonicalize(payload | {"owner_oid": ISSUER.oid}).decode()}] * 4
    change: dict[str, Any] = pick(bench, changes)
    return change


def forge_row(bench: Bench) -> Done:
    """Change a row, with or without its hash."""
    seq, rehash = _any_seq(bench), bench.chance.random() < 0.7
    with _unguarded(bench) as connection:
        row = _row(connection, seq)
        change = _other_content(bench, row)
        if rehash:
            change["hash"] = _hash(row | change)
        _update(connection, seq, **change)
    return Done(f"{sorted(change)} of entry {seq} changed", frozenset({seq, seq + 1}))


def forge_from_here_on(bench: Bench) -> Done:
    """Change a row and link all that follow anew; the anchor knows what the end was."""
    length = len(bench.base.entries)
    seq = bench.chance.randrange(max(0, length - 300), length)
    with _unguarded(bench) as connection:
        before: bytes | None = None
        for following in range(seq, length):
            row = _row(connection, following)
            change = _other_content(bench, row) if following == seq else {"prev_hash": before}
            before = change["hash"] = _hash(row | change)
            _update(connection, following, **change)
    return Done(f"entry {seq} changed, and all from there on linked anew", frozenset({seq}))


def exchange_rows(bench: Bench) -> Done:
    """Exchange two rows' contents, and leave their seqs."""
    one, other = bench.chance.sample(range(len(bench.base.entries)), 2)
    with _unguarded(bench) as connection:
        left, right = _row(connection, one), _row(connection, other)
        columns = pick(bench, [COLUMNS[1:], ("payload", "salt", "payload_hash"), ("record_id",), ("stream",)])
        _update(connection, one, **{name: right[name] for name in columns})
        _update(connection, other, **{name: left[name] for name in columns})
    return Done(f"{columns} of entries {one} and {other} exchanged", frozenset({one, other}))


def drop_row(bench: Bench) -> Done:
    """Take a row out, or all from one on."""
    seq = _any_seq(bench)
    how = pick(bench, ["=", ">="])
    with _unguarded(bench) as connection:
        connection.execute(f"DELETE FROM entries WHERE seq {how} {seq}")
    return Done(f"entries with seq {how} {seq} out", frozenset({seq}))


def stray_row(bench: Bench) -> Done:
    """Put in a row that does not continue the chain."""
    length = len(bench.base.entries)
    seq = _any_seq(bench)
    at = pick(bench, [-1, length + 1, length + 1_000, 2**53, -(2**63)])
    with _unguarded(bench) as connection:
        row = _row(connection, seq) | {"seq": at}
        if at > 0:
            row["hash"] = _hash(row) if at < 2**53 else row["hash"]
        connection.execute(f"INSERT INTO entries VALUES ({', '.join('?' for _ in COLUMNS)})", list(row.values()))
    return Done(f"entry {seq} again, as {at}", frozenset({seq}))


def cut_and_forget(bench: Bench) -> Done:
    """Take the end of the chain out, and the anchor away."""
    length = len(bench.base.entries)
    seq = length - bench.chance.choice([1, 2, 10, 100])
    with _unguarded(bench) as connection:
        for table in ("entries", "hash_index", "id_index", "acl_grants"):
            connection.execute(f"DELETE FROM {table} WHERE seq >= {seq}")
        connection.execute(f"UPDATE acl_projection SET covered_below = min(covered_below, {seq})")
    bench.image.anchor = None
    return Done(f"everything from entry {seq} on out, and the anchor removed", frozenset({seq}))


def restore_erased(bench: Bench) -> Done:
    """Put an erased payload back from an old copy."""
    seq = pick(bench, sorted(bench.base.erased))
    payload, salt = bench.base.erased[seq]
    with _unguarded(bench) as connection:
        _update(connection, seq, payload=payload, salt=salt, payload_hash=None)
    return Done(f"payload of entry {seq} restored", frozenset({seq}))


def erase(bench: Bench) -> Done:
    """Erase a payload and record it nowhere."""
    seq = _any_seq(bench)
    entry = bench.base.entries[seq]
    with _unguarded(bench) as connection:
        _update(connection, seq, payload=None, salt=None, payload_hash=bytes.fromhex(entry.payload_hash))
    return Done(f"payload of entry {seq} erased", frozenset({seq}))


def _any_seq(bench: Bench) -> int:
    return bench.chance.randrange(len(bench.base.entries))


# Rows of what is derived.


def lookup_rows(bench: Bench) -> Done:
    """Change rows of the look-up indexes; both in the same way, as a run that was never written would look."""
    table, chance = pick(bench, ["hash_index", "id_index"]), bench.chance
    seq = _any_seq(bench)
    most = len(bench.base.entries)
    statement = pick(
        bench,
        [
            f"DELETE FROM {table} WHERE seq = {seq}",
            f"DELETE FROM {table} WHERE seq BETWEEN {seq} AND {seq + chance.choice([1, 50, 5_000])}",
            f"DELETE FROM {table} WHERE seq >= {seq}",
            f"DELETE FROM {table}",
            f"UPDATE {table} SET prefix = prefix + 1 WHERE seq = {seq}",
            f"UPDATE {table} SET seq = {chance.randrange(most)} WHERE seq = {seq}",
            f"INSERT INTO {table} VALUES ({chance.randrange(-(2**63), 2**63)}, {seq})",
            f"INSERT INTO {table} SELECT prefix, {chance.randrange(most + 50)} FROM {table} WHERE seq = {seq}",
        ],
    )
    return _statement(statement, near=frozenset({seq}))(bench)


def grant_rows(bench: Bench) -> Done:
    """Plant, take away or change grants."""
    chance = bench.chance
    with _unguarded(bench) as connection:
        rows = connection.execute("SELECT * FROM acl_grants").fetchall()
        row = list(pick(bench, rows))
        names = [name for _, name, *_ in connection.execute("PRAGMA table_info(acl_grants)")]
        same = "resource_id = ? AND resource_kind = ? AND principal_oid = ? AND scope = ? AND source = ?"
        key = [row[1], row[0], row[2], row[3], row[4]]
        seq, what = row[8], chance.choice(["out", "in", "changed", "changed"])
        if what == "out":
            connection.execute(f"DELETE FROM acl_grants WHERE {same}", key)
        else:
            at = chance.randrange(len(names))
            values: list[Any] = [
                chance.choice(["notes", "asset", "lists"]),
                chance.choice(["*", "n-1", "n-2", "a-5"]),
                chance.choice([person(n).oid for n in range(7)] + [ISSUER.oid, ADMIN.oid]),
                chance.choice(["read", "write", "full"]),
                chance.choice(["grant", "creator", "owner", "issuer"]),
                chance.choice([person(0).oid, ADMIN.oid]),
                chance.choice([None, 1, LAST_SECOND, LAST_SECOND - 1]),
                row[7] + 1,
                _any_seq(bench),
            ]
            if values[at] == row[at]:
                raise EditError("the same value")
            if what == "changed":
                connection.execute(f"UPDATE acl_grants SET {names[at]} = ? WHERE {same}", [values[at], *key])
            else:
                row[at] = values[at]
                connection.execute(f"INSERT INTO acl_grants VALUES ({', '.join('?' for _ in row)})", row)
            what = f"{what}: {names[at]} = {values[at]!r:.60}"
    return Done(f"grant of entry {seq} {what}", frozenset({seq}))


def revoked_again(bench: Bench) -> Done:
    """Put a creator's revoked grant back, and hide the entry that revoked it from the index over streams."""
    revoked = [
        (entry, payload)
        for entry in bench.base.entries
        if entry.record.stream == "acl_grants" and (payload := entry.record.payload)["action"] == "revoke"
    ]
    entry, payload = pick(bench, revoked)
    creation = next(
        (e for e in bench.base.entries if e.record.id == payload["resource_id"] and e.record.stream == "notes"), None
    )
    if creation is None or creation.record.meta is None:
        raise EditError("nobody created it")
    meta = creation.record.meta
    with _unguarded(bench) as connection:
        connection.execute(
            "INSERT INTO acl_grants VALUES (?, ?, ?, 'full', 'creator', ?, NULL, ?, ?)",
            (
                payload["resource_kind"],
                payload["resource_id"],
                meta["requester_oid"],
                meta["requester_oid"],
                meta["recorded_at"],
                creation.seq,
            ),
        )
        columns = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'entries_stream'")]
        false_sql = f"{columns[0]} WHERE seq <> {entry.seq}"
        _refill(connection, "entries_stream", false_sql)
    return Done(f"the revocation {entry.seq} hidden and undone", frozenset({entry.seq, creation.seq}))


def projection_rows(bench: Bench) -> Done:
    """Change what is said of the table of grants, sometimes with a grant planted as well."""
    length = len(bench.base.entries)
    statement = pick(
        bench,
        [
            "DELETE FROM acl_projection",
            f"UPDATE acl_projection SET covered_below = {bench.chance.randrange(length)}",
            "UPDATE acl_projection SET covered_below = -5",
            f"UPDATE acl_projection SET covered_below = {length + 5}",
            "UPDATE acl_projection SET kinds = '{}'",
            "UPDATE acl_projection SET kinds = replace(kinds, 'asset', 'notes')",
            "INSERT OR REPLACE INTO acl_projection VALUES (0, 0, '{}')",
        ],
    )
    plant = (
        "INSERT INTO acl_grants VALUES ('notes', 'n-1" + "~" * 40 + f"', '{person(999).oid}', 'full', 'grant', "
        f"'{ADMIN.oid}', NULL, 1, {_any_seq(bench)})"
    )
    statements = [statement] + ([plant] if bench.chance.random() < 0.4 else [])
    return _statement(*statements)(bench)


def information(bench: Bench) -> Done:
    """Change the one row about the ledger."""
    statement = pick(
        bench,
        [
            "UPDATE ledger_info SET created_at = created_at + 1",
            "UPDATE ledger_info SET id = 'other'",
            "UPDATE ledger_info SET format = 2",
            "DELETE FROM ledger_info",
            "INSERT INTO ledger_info SELECT * FROM ledger_info",
            "INSERT INTO ledger_info VALUES ('other', 1, 1)",
        ],
    )
    return _statement(statement)(bench)


# The schema, and indexes that do not hold what it says.


def _refill(connection: sqlite3.Connection, name: str, false_sql: str) -> None:
    """Fill an index by another definition, and let the schema say what it said."""
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    connection.execute(f'DROP INDEX "{name}"')
    connection.execute(false_sql)
    _say(connection, name, sql)


def _say(connection: sqlite3.Connection, name: str, sql: str) -> None:
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, name))
    connection.execute("PRAGMA writable_schema = RESET")


def false_index(bench: Bench) -> Done:
    """Fill an index of entries, or a field index, by another definition than it has."""
    with _unguarded(bench) as connection:
        names = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'entries' AND sql IS NOT NULL"
        name, sql = pick(bench, connection.execute(names).fetchall())
        seq = _any_seq(bench)
        also = " AND " if " WHERE " in sql else " WHERE "
        false_sql = pick(
            bench,
            [
                f"{sql}{also}seq <> {seq}",
                f"{sql}{also}seq < {seq}",
                f"{sql}{also}seq > {len(bench.base.entries)}",
                f'CREATE INDEX "{name}" ON entries(record_id)',
                sql.replace("(stream)", "(stream || 'x')").replace("(timestamp)", "(timestamp + 1)"),
            ],
        )
        if false_sql == sql:
            raise EditError("the same definition")
        _refill(connection, name, false_sql)
    return Done(f"{name} filled as by {false_sql[:200]}", frozenset({seq}))


def rogue_index(bench: Bench) -> Done:
    """Plant an index over a payload member as a module would declare it, with other content or none."""
    stream = pick(
        bench, sorted({entry.record.stream for entry in bench.base.entries if "=" not in entry.record.stream})
    )
    inside = [entry for entry in bench.base.entries if entry.record.stream == stream and not entry.redacted]
    member = pick(bench, sorted(pick(bench, inside).record.payload))
    name = f"field:{stream}:{member}"
    true_sql = f"CREATE INDEX \"{name}\" ON entries(payload -> '$.{member}') WHERE stream = '{stream}'"
    false_sql = pick(
        bench,
        [
            true_sql.replace(f"stream = '{stream}'", "stream = 'nonsense'"),
            true_sql + f" AND seq < {_any_seq(bench)}",
            true_sql.replace("(payload -> ", "('7' || payload -> "),
            true_sql,
        ],
    )
    with _unguarded(bench) as connection:
        connection.execute(false_sql)
        _say(connection, name, true_sql)
    near = frozenset(entry.seq for entry in inside if member in entry.record.payload)
    return Done(f"{name} planted as {false_sql}", near)


def schema(bench: Bench) -> Done:
    """Change the schema itself."""
    chance = bench.chance
    with bench.image.database(bench.path) as connection:
        objects = connection.execute("SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        name, kind, sql = pick(bench, objects)
        triggers = [named for named, what, _ in objects if what == "trigger"]
        statement = pick(
            bench,
            [
                f'DROP TRIGGER "{pick(bench, triggers)}"',
                f'DROP INDEX "{pick(bench, ["entries_stream", "entries_timestamp", "acl_grants_principal"])}"',
                "CREATE TABLE extra(x)",
                "CREATE INDEX extra ON entries(seq, stream)",
                "CREATE VIEW extra AS SELECT 1",
                "CREATE TRIGGER extra AFTER INSERT ON entries BEGIN DELETE FROM id_index WHERE seq = NEW.seq; END",
                "DROP VIEW ledger",
                "ANALYZE",
                "PRAGMA user_version = 1",
                "ALTER TABLE entries ADD COLUMN extra",
                "say",
                "say",
                "root",
            ],
        )
        if statement == "say":
            spoilt = pick(
                bench,
                [
                    sql + " ",
                    sql.replace("NOT NULL", "", 1),
                    sql.replace("ABORT", "IGNORE", 1),
                    sql.replace("BEFORE", "AFTER", 1),
                    sql.replace("stream", "record_id", 1),
                    sql.replace("INDEX", "UNIQUE INDEX", 1),
                    "",
                    None,
                ],
            )
            if spoilt == sql:
                raise EditError("the same text")
            _say(connection, name, spoilt)
            statement = f"{kind} {name} says {spoilt!r:.80}"
        elif statement == "root":
            connection.execute("PRAGMA writable_schema = ON")
            root = chance.randint(0, bench.image.page_count + 1)
            connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (root, name))
            statement = f"{name} at page {root}"
        else:
            connection.execute(statement)
    return Done(f"schema: {statement}")


def exchanged_roots(bench: Bench) -> Done:
    """Let the schema name the root page of one index for another."""
    with bench.image.database(bench.path) as connection:
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        rows = connection.execute("SELECT rowid, name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall()
        (one, name, root), (other, other_name, other_root) = bench.chance.sample(rows, 2)
        connection.execute("PRAGMA writable_schema = ON")
        for rowid, page in ((one, other_root), (other, root)):
            connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE rowid = ?", (page, rowid))
        connection.execute(f"PRAGMA schema_version = {version}")
    return Done(f"schema: {name} and {other_name} with each other's root")


EDITS: dict[str, Edit] = {
    "entry forged": forge_row,
    "entries forged from one on": forge_from_here_on,
    "entries exchanged": exchange_rows,
    "entry out": drop_row,
    "entry astray": stray_row,
    "end cut, anchor removed": cut_and_forget,
    "erased payload restored": restore_erased,
    "payload erased": erase,
    "look-up rows": lookup_rows,
    "grant rows": grant_rows,
    "revocation undone": revoked_again,
    "projection rows": projection_rows,
    "ledger information": information,
    "index filled otherwise": false_index,
    "field index planted": rogue_index,
    "schema edited": schema,
    "schema names other roots": exchanged_roots,
}
