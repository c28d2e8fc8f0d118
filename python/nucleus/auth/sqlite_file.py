"""The file that keys, sessions and used tokens are kept in: SQLite, through Python's own module.

Never the ledger's file: that is the compiled core's alone. Any file that is not one of ours is refused, untouched.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from nucleus.errors import ConfigError, DatabaseError, SchemaVersionError

APPLICATION_ID = 0x4E75_4175
SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 10.0
_SCHEMA = f"""
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY, oid TEXT NOT NULL, role TEXT, claims TEXT NOT NULL, created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, idle_timeout_s INTEGER, last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_oid ON sessions (oid);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY, digest BLOB NOT NULL, oid TEXT NOT NULL, role TEXT, name TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, replaced_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_oid ON api_keys (oid);
CREATE TABLE used_tokens (
    issuer TEXT NOT NULL, jti TEXT NOT NULL, kept_until INTEGER NOT NULL, PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_tokens_by_time ON used_tokens (kept_until);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


class SqliteFile:
    """One open file, created where there is none; for any thread of the process that opened it.

    A forked child is refused: SQLite's own record of the locks that are held does not survive a fork, and a child that
    trusted it could lose what it commits, a revocation perhaps. Servers that fork open their stores in each worker.
    Several stores may share a file, each with an object of its own. Its mode at creation is 0600.

    Raises:
        ConfigError: the file is something else, such as a ledger.
        SchemaVersionError: a newer version wrote it.
        DatabaseError: it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        # Held for each transaction.
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = self._open()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block in one write transaction: all of it is committed, or none.

        Raises:
            DatabaseError: the database reports an error, the file has been closed, or this is a forked child.
        """
        with self._locked() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise DatabaseError(f"{self._path}: {error}") from None

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of a SELECT.

        Raises:
            DatabaseError: the database reports an error, the file has been closed, or this is a forked child.
        """
        with self._locked() as connection:
            try:
                return connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise DatabaseError(f"{self._path}: {error}") from None

    def close(self) -> None:
        """Close the file; closing twice is fine, and in a forked child nothing is done: it is the parent's."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        """Hold the lock. The process is compared first: a child may have inherited a lock that nobody in it holds."""
        if os.getpid() != self._pid:
            raise DatabaseError(f"{self._path} was opened before this process was forked: open it in the child")
        with self._lock:
            if self._connection is None:
                raise DatabaseError(f"{self._path} has been closed")
            yield self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            self._create_private()
            self._check_is_ours()
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(f"{self._path} cannot be opened: {error}") from None
        return connection

    def _create_private(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _check_is_ours(self) -> None:
        """Refuse any other file. A read-only connection leaves it as it is.

        Not by reading the file's header: closing a descriptor of our own would drop the locks of every other
        connection that this process has on the file.
        """
        with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            try:
                application_id = connection.execute("PRAGMA application_id").fetchone()[0]
                objects = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            except sqlite3.DatabaseError:
                application_id, objects = None, None
        if application_id != APPLICATION_ID and (application_id, objects) != (0, 0):
            raise ConfigError(
                f"{self._path} is not a file of keys and sessions (perhaps a ledger): give them a file of their own"
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Read before any lock is taken: opening a finished file need not wait for whoever writes to it.
        version = self._version(connection)
        if version == 0:
            self._create_schema(connection)
        elif version > SCHEMA_VERSION:
            raise SchemaVersionError(
                f"{self._path} was written by a newer version: schema {version}, this one knows {SCHEMA_VERSION}",
                found=version,
                supported=SCHEMA_VERSION,
            )

    def _create_schema(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been first.
            if self._version(connection) == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
