"""API keys in a SQLite file of their own."""

from __future__ import annotations

import os
from dataclasses import astuple

from nucleus.auth.api_key_store import ApiKey
from nucleus.auth.sqlite_file import SqliteFile
from nucleus.errors import ConflictError

_INSERT = "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"


class SqliteApiKeyStore:
    """Keeps keys in a SQLite file, which may be shared with the other stores of this package and by processes.

    Raises:
        ConfigError, SchemaVersionError, DatabaseError: see :class:`~nucleus.auth.sqlite_file.SqliteFile`.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = SqliteFile(path)

    def add(self, key: ApiKey) -> None:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.add`."""
        with self._file.transaction() as connection:
            if connection.execute(_INSERT, astuple(key)).rowcount != 1:
                raise ConflictError(f"there is an API key {key.id} already")

    def get(self, id: str) -> ApiKey | None:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.get`."""
        rows = self._file.query("SELECT * FROM api_keys WHERE id = ?", (id,))
        return ApiKey(**dict(rows[0])) if rows else None

    def list(self, oid: str | None = None) -> list[ApiKey]:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.list`."""
        rows = self._file.query("SELECT * FROM api_keys WHERE ?1 IS NULL OR oid = ?1 ORDER BY created_at, id", (oid,))
        return [ApiKey(**dict(row)) for row in rows]

    def replace(self, id: str, successor: ApiKey, *, ends_at: int) -> bool:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.replace`."""
        with self._file.transaction() as connection:
            replaced = connection.execute(
                "UPDATE api_keys SET expires_at = min(coalesce(expires_at, ?1), ?1), replaced_by = ?2 WHERE id = ?3"
                " AND replaced_by IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?4)",
                (ends_at, successor.id, id, successor.created_at),
            )
            if replaced.rowcount != 1:
                return False
            connection.execute(_INSERT, astuple(successor))
            return True

    def revoke(self, id: str, revoked_at: int) -> bool:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.revoke`."""
        with self._file.transaction() as connection:
            return (
                connection.execute(
                    "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (revoked_at, id)
                ).rowcount
                == 1
            )

    def touch(self, id: str, used_at: int) -> None:
        """See :meth:`~nucleus.auth.api_key_store.ApiKeyStore.touch`."""
        with self._file.transaction() as connection:
            connection.execute(
                "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?", (used_at, id)
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
