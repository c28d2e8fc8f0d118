"""Sessions in a SQLite file of their own."""

from __future__ import annotations

import json
import os
import sqlite3

from nucleus.auth.bounded_set import BoundedSet
from nucleus.auth.session_store import Session
from nucleus.auth.sqlite_file import MAX_ENDED, SqliteFile

_INSERT = "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteSessionStore:
    """Keeps sessions in a SQLite file, which may be shared with the other stores of this package and by processes.

    Raises:
        ConfigError, SchemaVersionError, DatabaseError: see :class:`~nucleus.auth.sqlite_file.SqliteFile`.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = SqliteFile(path)
        # Sessions that were found to be over while the file could not be written.
        self._ended = BoundedSet(MAX_ENDED)

    def add(self, session: Session) -> None:
        """See :meth:`~nucleus.auth.session_store.SessionStore.add`."""
        with self._file.transaction() as connection:
            connection.execute(_INSERT, _row(session))

    def get(self, digest: bytes) -> Session | None:
        """See :meth:`~nucleus.auth.session_store.SessionStore.get`."""
        rows = self._file.query("SELECT * FROM sessions WHERE digest = ?", (digest,))
        return _session(rows[0]) if rows and digest not in self._ended else None

    def touch(self, session: Session) -> None:
        """See :meth:`~nucleus.auth.session_store.SessionStore.touch`."""
        self._file.note(
            "UPDATE sessions SET last_seen_at = ?1, mac = ?2 WHERE digest = ?3 AND last_seen_at < ?1",
            (session.last_seen_at, session.mac, session.digest),
        )

    def end(self, digest: bytes) -> None:
        """See :meth:`~nucleus.auth.session_store.SessionStore.end`."""
        self._ended.add(digest)
        self._file.note("DELETE FROM sessions WHERE digest = ?", (digest,))

    def replace(self, digest: bytes, session: Session) -> bool:
        """See :meth:`~nucleus.auth.session_store.SessionStore.replace`."""
        with self._file.transaction() as connection:
            found = connection.execute("DELETE FROM sessions WHERE digest = ?", (digest,)).rowcount == 1
            if found:
                connection.execute(_INSERT, _row(session))
            return found

    def remove(self, digest: bytes) -> bool:
        """See :meth:`~nucleus.auth.session_store.SessionStore.remove`."""
        with self._file.transaction() as connection:
            return connection.execute("DELETE FROM sessions WHERE digest = ?", (digest,)).rowcount == 1

    def remove_all(self, oid: str) -> int:
        """See :meth:`~nucleus.auth.session_store.SessionStore.remove_all`."""
        with self._file.transaction() as connection:
            return connection.execute("DELETE FROM sessions WHERE oid = ?", (oid,)).rowcount

    def purge(self, now: int) -> int:
        """See :meth:`~nucleus.auth.session_store.SessionStore.purge`."""
        with self._file.transaction() as connection:
            return connection.execute(
                "DELETE FROM sessions WHERE expires_at <= ?1 OR last_seen_at + idle_timeout_s <= ?1", (now,)
            ).rowcount

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _row(session: Session) -> tuple[object, ...]:
    return (
        session.digest,
        session.oid,
        session.role,
        json.dumps(dict(session.claims), allow_nan=False),
        session.created_at,
        session.expires_at,
        session.idle_timeout_s,
        session.last_seen_at,
        session.mac,
    )


def _session(row: sqlite3.Row) -> Session:
    return Session(**{**dict(row), "claims": json.loads(row["claims"])})
