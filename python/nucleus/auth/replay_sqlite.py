"""Remembering used tokens in a file, for services of several processes."""

from __future__ import annotations

import os

from nucleus.auth.sqlite_file import SqliteFile


class SqliteReplayCache:
    """Remembers in a SQLite file, which may be shared with the other stores of this package.

    Raises:
        ConfigError, SchemaVersionError, DatabaseError: see :class:`~nucleus.auth.sqlite_file.SqliteFile`.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = SqliteFile(path)

    def first_use(self, issuer: str, jti: str, kept_until: int, *, now: int) -> bool:
        """See :meth:`~nucleus.auth.replay.ReplayCache.first_use`."""
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM used_tokens WHERE kept_until <= ?", (now,))
            added = connection.execute(
                "INSERT INTO used_tokens VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (issuer, jti, kept_until)
            )
            return added.rowcount == 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()
