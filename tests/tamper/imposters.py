"""Rows taken out of an index, or put into it, with SQLite's own hands: its B-tree opened as if it were a table's.

A row of the schema names the index's root page for a table, the table is edited, the row is taken away again. The pages
are sound afterwards, and the schema says what it said.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from tests.tamper.edit import Bench, Done, Edit, pick_tree
from tests.tamper.pages import EditError

Row = tuple[Any, ...]


class Imposter:
    """An index opened as a table."""

    def __init__(self, connection: sqlite3.Connection, columns: list[str]) -> None:
        self._connection = connection
        self.columns = columns
        (self.count,) = connection.execute("SELECT count(*) FROM imposter").fetchone()

    def row(self, position: int) -> Row:
        """Return one row, in the order of the keys."""
        row: Row = self._connection.execute("SELECT * FROM imposter LIMIT 1 OFFSET ?", (position,)).fetchone()
        return row

    def rows(self, position: int, count: int) -> list[Row]:
        """Return several rows that follow each other."""
        return self._connection.execute("SELECT * FROM imposter LIMIT ? OFFSET ?", (count, position)).fetchall()

    def delete(self, row: Row) -> None:
        """Take out one row."""
        same = " AND ".join(f"{column} IS ?" for column in self.columns)
        self._connection.execute(f"DELETE FROM imposter WHERE {same}", row)

    def insert(self, row: Row) -> None:
        """Put in one row."""
        self._connection.execute(f"INSERT INTO imposter VALUES ({', '.join('?' for _ in row)})", row)


def _edited(what: str, change: Callable[[Bench, Imposter], list[Row]]) -> Edit:
    """Return an edit of an index through an imposter; ``change`` returns the rows that it is about."""

    def edit(bench: Bench) -> Done:
        tree, pages = pick_tree(bench, indexes_only=True)
        columns = [f"c{n}" for n in range(len(pages[-1].fields(0)))]
        with bench.image.database(bench.path) as connection:
            (version,) = connection.execute("PRAGMA schema_version").fetchone()
            connection.execute("PRAGMA writable_schema = ON")
            key = ", ".join(columns)
            connection.execute(
                "INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES ('table', 'imposter', "
                "'imposter', ?, ?)",
                (
                    pages[0].number,
                    f"CREATE TABLE imposter({key}, PRIMARY KEY({key})) WITHOUT ROWID",
                ),
            )
            connection.execute(f"PRAGMA schema_version = {version + 1}")
            connection.execute("PRAGMA writable_schema = RESET")
            imposter = Imposter(connection, columns)
            if not imposter.count:
                raise EditError("an empty index")
            rows = change(bench, imposter)
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("DELETE FROM sqlite_schema WHERE name = 'imposter'")
            connection.execute(f"PRAGMA schema_version = {version}")
        near = frozenset(row[-1] for row in rows[:400] if isinstance(row[-1], int))
        return Done(f"{tree}: {what}, {rows[0]!r:.100}", near)

    return edit


def _one_out(bench: Bench, imposter: Imposter) -> list[Row]:
    row = imposter.row(bench.chance.randrange(imposter.count))
    imposter.delete(row)
    return [row]


def _last_out(_: Bench, imposter: Imposter) -> list[Row]:
    row = imposter.row(imposter.count - 1)
    imposter.delete(row)
    return [row]


def _many_out(bench: Bench, imposter: Imposter) -> list[Row]:
    count = bench.chance.choice([2, 10, 100])
    rows = imposter.rows(bench.chance.randrange(imposter.count), count)
    for row in rows:
        imposter.delete(row)
    return rows


def _all_out(_: Bench, imposter: Imposter) -> list[Row]:
    if imposter.count > 5_000:
        raise EditError("too many")
    rows = imposter.rows(0, imposter.count)
    for row in rows:
        imposter.delete(row)
    return rows


def _another_field(bench: Bench, imposter: Imposter) -> list[Row]:
    """One field of a row becomes what another row has there."""
    row, other = (imposter.row(bench.chance.randrange(imposter.count)) for _ in range(2))
    at = bench.chance.randrange(len(row))
    changed = (*row[:at], other[at], *row[at + 1 :])
    if changed == row:
        raise EditError("the same")
    imposter.delete(row)
    imposter.insert(changed)
    return [row, changed]


def _two_exchanged(bench: Bench, imposter: Imposter) -> list[Row]:
    """Two rows exchange their last fields: as many of everything as before."""
    row, other = (imposter.row(bench.chance.randrange(imposter.count)) for _ in range(2))
    if row[:-1] == other[:-1] or row[-1] == other[-1]:
        raise EditError("the same")
    imposter.delete(row)
    imposter.delete(other)
    rows = [(*row[:-1], other[-1]), (*other[:-1], row[-1])]
    for changed in rows:
        imposter.insert(changed)
    return rows


def _one_in(bench: Bench, imposter: Imposter) -> list[Row]:
    """A row more: of an entry that is in the index elsewhere, or of none."""
    row, other = (imposter.row(bench.chance.randrange(imposter.count)) for _ in range(2))
    last = bench.chance.choice([other[-1], 10**6, -1])
    added = (*row[:-1], last)
    imposter.insert(added)
    return [added]


def _for_another(bench: Bench, imposter: Imposter) -> list[Row]:
    """A row taken out and one of the same key put in: as many rows as before."""
    row = imposter.row(bench.chance.randrange(imposter.count))
    if not isinstance(row[-1], int):
        raise EditError("no seq")
    changed = (*row[:-1], row[-1] + bench.chance.choice([-1, 1, 1_000]))
    imposter.delete(row)
    imposter.insert(changed)
    return [row, changed]


EDITS: dict[str, Edit] = {
    "index row out": _edited("a row out", _one_out),
    "last index row out": _edited("the last row out", _last_out),
    "index rows out": _edited("rows out", _many_out),
    "all index rows out": _edited("all rows out", _all_out),
    "index row with another field": _edited("another field", _another_field),
    "index rows exchanged": _edited("last fields exchanged", _two_exchanged),
    "index row in": _edited("a row in", _one_in),
    "index row for another": _edited("a row for another", _for_another),
}
