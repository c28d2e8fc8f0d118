"""Edits SQLite files as a stranger would: Python's own SQLite library, in a process of its own.

Reads one JSON command a line from standard input and answers one JSON line each, until the input ends:

- ``{"path", "edit": [sql, ...], "lax": bool}``: run statements with the triggers out of the way. Afterwards triggers
  and tables are declared as before, byte for byte. With ``lax`` the tables are meanwhile declared without types and
  constraints, so that any value can be stored in any column. Answers ``{"changes": n}``.
- ``{"path", "script": [sql, ...]}``: run statements and nothing else, with a writable schema.
- ``{"path", "reindex": name, "as": sql}``: fill an index with what another definition says, and put its own back.
- ``{"path", "query": sql}``: answers ``{"rows": [...]}``, blobs as ``{"blob": hex}``.

An SQL error is answered as ``{"error": message}``.
"""

import json
import re
import sqlite3
import sys
from typing import Any
from urllib.parse import quote

Command = dict[str, Any]


def connect(path: str) -> sqlite3.Connection:
    """Open an existing file without the module's own transaction control."""
    connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True, isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    connection.execute("PRAGMA synchronous=OFF")
    return connection


def declare(connection: sqlite3.Connection, name: str, sql: str) -> None:
    """Replace the declaration of a table or an index without touching its content."""
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, name))
    connection.execute("PRAGMA writable_schema=RESET")


def without_constraints(sql: str) -> str:
    """Return a table's declaration with its columns only, and as much of a primary key as its pages need."""
    sql = sql.replace(") STRICT, WITHOUT ROWID", ") WITHOUT ROWID").replace(") STRICT", ")")
    sql = sql.replace("seq INTEGER PRIMARY KEY", "seq @ PRIMARY KEY").replace("KEY(prefix, seq)", "KEY(prefix)")
    sql = re.sub(r" (INTEGER|TEXT|BLOB)( NOT NULL)?", "", sql)
    return sql.replace("seq @ PRIMARY KEY", "seq INTEGER PRIMARY KEY")


def edit(connection: sqlite3.Connection, statements: list[str], *, lax: bool) -> Command:
    """Run statements with the triggers dropped and, where asked, the tables' constraints lifted."""
    schema = "SELECT name, sql FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL ORDER BY rowid"
    triggers = connection.execute(schema, ("trigger",)).fetchall()
    tables = connection.execute(schema, ("table",)).fetchall() if lax else []
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for name, sql in tables:
        declare(connection, name, without_constraints(sql))
    before = connection.total_changes
    for statement in statements:
        connection.execute(statement)
    changes = connection.total_changes - before
    for name, sql in tables:
        declare(connection, name, sql)
    for _, sql in triggers:
        connection.execute(sql)
    return {"changes": changes}


def script(connection: sqlite3.Connection, statements: list[str]) -> Command:
    """Run statements that may edit the schema itself."""
    connection.execute("PRAGMA writable_schema=ON")
    for statement in statements:
        connection.execute(statement)
    return {}


def reindex(connection: sqlite3.Connection, name: str, false_sql: str) -> Command:
    """Give an index the content of another definition under its own."""
    (true_sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    declare(connection, name, false_sql)
    connection.execute(f"REINDEX {name}")
    declare(connection, name, true_sql)
    return {}


def query(connection: sqlite3.Connection, sql: str) -> Command:
    """Return the rows of a query in a form that JSON can hold."""
    rows = connection.execute(sql).fetchall()
    return {"rows": [[{"blob": v.hex()} if isinstance(v, bytes) else v for v in row] for row in rows]}


def run(command: Command) -> Command:
    """Run one command on a connection of its own, closed before the answer."""
    connection = connect(command["path"])
    try:
        if "edit" in command:
            return edit(connection, command["edit"], lax=command["lax"])
        if "script" in command:
            return script(connection, command["script"])
        if "reindex" in command:
            return reindex(connection, command["reindex"], command["as"])
        return query(connection, command["query"])
    except sqlite3.Error as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()


def main() -> None:
    """Answer commands until the input ends."""
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
