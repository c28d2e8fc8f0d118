"""Remembering used tokens in a file, for services of several processes."""

from __future__ import annotations

import os

from nucleus.auth.sqlite_file import SqliteFile

# What is forgotten is no longer told from what was never seen: nothing that ends as early is accepted any more.
_FORGET = """
INSERT INTO forgotten_tokens SELECT 1, max(kept_until) FROM used_tokens WHERE kept_until <= ? HAVING count(*) > 0
ON CONFLICT DO UPDATE SET kept_until = max(kept_until, excluded.kept_until)
"""


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
            connection.execute(_FORGET, (now,))
            connection.execute("DELETE FROM used_tokens WHERE kept_until <= ?", (now,))
            if connection.execute("SELECT 1 FROM forgotten_tokens WHERE kept_until >= ?", (kept_until,)).fetchone():
                return False
            added = connection.execute(
                "INSERT INTO used_tokens VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (issuer, jti, kept_until)
            )
            return added.rowcount == 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()
