"""API keys in a SQLite file of their own."""

from __future__ import annotations

import os
from dataclasses import astuple

from nucleus.auth.api_key_store import ApiKey
from nucleus.auth.bounded_set import BoundedSet
from nucleus.auth.sqlite_file import MAX_ENDED, SqliteFile
from nucleus.errors import ConflictError

_INSERT = "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"


class SqliteApiKeyStore:
    """Keeps keys in a SQLite file, which may be shared with the other stores of this package and by processes.

    Raises:
        ConfigError, SchemaVersionError, DatabaseError: see :class:`~nucleus.auth.sqlite_file.SqliteFile`.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = SqliteFile(path)
        # Keys that were found expired while the file could not be written.
        self._ended = BoundedSet(MAX_ENDED)

    def add(self, key: ApiKey) -> None:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.add`."""
        with self._file.transaction() as connection:
            if connection.execute(_INSERT, astuple(key)).rowcount != 1:
                raise ConflictError(f"there is an API key {key.id} already")

    def get(self, id: str) -> ApiKey | None:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.get`."""
        rows = self._file.query("SELECT * FROM api_keys WHERE id = ?", (id,))
        if not rows:
            return None
        key = ApiKey(**dict(rows[0]))
        return key.ended() if key.id in self._ended else key

    def list(self, oid: str | None = None) -> list[ApiKey]:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.list`."""
        rows = self._file.query("SELECT * FROM api_keys WHERE ?1 IS NULL OR oid = ?1 ORDER BY created_at, id", (oid,))
        return [ApiKey(**dict(row)) for row in rows]

    def replace(self, before: ApiKey, after: ApiKey, *successors: ApiKey) -> bool:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.replace`."""
        with self._file.transaction() as connection:
            replaced = connection.execute(
                "UPDATE api_keys SET expires_at = ?, replaced_by = ?, mac = ? WHERE id = ? AND mac IS ? AND digest = ?",
                (after.expires_at, after.replaced_by, after.mac, before.id, before.mac, before.digest),
            )
            if replaced.rowcount != 1:
                return False
            connection.executemany(_INSERT, map(astuple, successors))
            return True

    def revoke(self, id: str, revoked_at: int) -> bool:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.revoke`."""
        with self._file.transaction() as connection:
            revoked = connection.execute(
                "UPDATE api_keys SET revoked_at = ?, digest = x'', mac = NULL WHERE id = ? AND revoked_at IS NULL",
                (revoked_at, id),
            )
            return revoked.rowcount == 1

    def end(self, id: str) -> None:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.end`."""
        self._ended.add(id)
        self._file.note("UPDATE api_keys SET digest = x'', mac = NULL WHERE id = ? AND digest <> x''", (id,))

    def touch(self, id: str, used_at: int) -> None:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.touch`."""
        self._file.note(
            "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?", (used_at, id)
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
