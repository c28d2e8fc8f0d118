"""The file that keys, sessions and used tokens are kept in: SQLite, through Python's own module.

Never the ledger's file: that is the compiled core's alone. Any file that is not one of ours is refused, untouched.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nucleus.auth.private_files import check_private, create_file, make_directories
from nucleus.errors import ConfigError, DatabaseError, SchemaVersionError

APPLICATION_ID = 0x4E75_4175
SCHEMA_VERSION = 2
MAX_ENDED = 10_000
"""How many keys or sessions a process remembers as ended while the file cannot be written."""
_BUSY_TIMEOUT_S = 10.0
_log = logging.getLogger("nucleus.auth")
_FORGOTTEN_TOKENS = """CREATE TABLE forgotten_tokens (
    one INTEGER PRIMARY KEY CHECK (one = 1), kept_until INTEGER NOT NULL
) STRICT;"""
_SCHEMA = f"""
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY, oid TEXT NOT NULL, role TEXT, claims TEXT NOT NULL, created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, idle_timeout_s INTEGER, last_seen_at INTEGER NOT NULL,
    mac BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_oid ON sessions (oid);
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY, digest BLOB NOT NULL, oid TEXT NOT NULL, role TEXT, name TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER, replaced_by TEXT,
    mac BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_oid ON api_keys (oid);
CREATE TABLE used_tokens (
    issuer TEXT NOT NULL, jti TEXT NOT NULL, kept_until INTEGER NOT NULL, PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_tokens_by_time ON used_tokens (kept_until);
{_FORGOTTEN_TOKENS}
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""
# Rows of version 1 carry no seal. Sessions end: their bearers log in again. API keys wait until each is adopted.
_UPGRADE = f"""
DELETE FROM sessions;
ALTER TABLE sessions ADD COLUMN mac BLOB;
ALTER TABLE api_keys ADD COLUMN mac BLOB;
{_FORGOTTEN_TOKENS}
PRAGMA user_version = {SCHEMA_VERSION};
"""


class SqliteFile:
    """One open file, created where there is none; for any thread of the process that opened it.

    A forked child is refused: SQLite's own record of the locks that are held does not survive a fork, and a child that
    trusted it could lose what it commits, a revocation perhaps. Servers that fork open their stores in each worker.
    Several stores may share a file, each with an object of its own. The file and the directories that are made for it
    are its owner's alone, whatever the umask. It is read through one connection and written through another, so that
    nobody who asks waits for whoever writes.

    Raises:
        ConfigError: the file is something else, such as a ledger, or is not this user's alone.
        SchemaVersionError: a newer version wrote it.
        DatabaseError: it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._pid = os.getpid()
        # Each lock is held for one use of its connection; whoever takes both takes the writer's first.
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = self._open("FULL")
        self._reader: sqlite3.Connection | None = self._open("NORMAL")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block in one write transaction: all of it is committed, or none.

        Raises:
            DatabaseError: the database reports an error, the file has been closed, or this is a forked child.
        """
        self._check_process()
        with self._write_lock:
            connection = self._opened(self._writer)
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    _roll_back(connection)
                    raise
            except sqlite3.Error as error:
                raise DatabaseError(f"{self._path}: {error}") from None

    def note(self, sql: str, parameters: tuple[object, ...]) -> bool:
        """Write one statement where that is possible at once; False, and nothing done, where it is not.

        For what decides nothing, such as when a key was used last: no lock is waited for, no disk, and a file that is
        full or may not be written is no error. It is durable once something else is committed.

        Raises:
            DatabaseError: the file has been closed, or this is a forked child.
        """
        self._check_process()
        with self._read_lock:
            connection = self._opened(self._reader)
            try:
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(sql, parameters)
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                _log.info("%s could not be written right now: %s", self._path, error)
                _roll_back(connection)
                return False
            finally:
                connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1_000:.0f}")
            return True

    def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of a SELECT.

        Raises:
            DatabaseError: the database reports an error, the file has been closed, or this is a forked child.
        """
        self._check_process()
        with self._read_lock:
            try:
                return self._opened(self._reader).execute(sql, parameters).fetchall()
            except sqlite3.Error as error:
                raise DatabaseError(f"{self._path}: {error}") from None

    def close(self) -> None:
        """Close the file; closing twice is fine, and in a forked child nothing is done: it is the parent's."""
        if os.getpid() != self._pid:
            return
        with self._write_lock, self._read_lock:
            # The reader first: the last one to close empties the log, and is to wait for the disk.
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None

    def _check_process(self) -> None:
        """Refuse a forked child, before any lock: it may have inherited one that nobody in it holds."""
        if os.getpid() != self._pid:
            raise DatabaseError(f"{self._path} was opened before this process was forked: open it in the child")

    def _opened(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise DatabaseError(f"{self._path} has been closed")
        return connection

    def _open(self, synchronous: str) -> sqlite3.Connection:
        try:
            make_directories(self._path.parent)
            create_file(self._path)
            check_private(self._path, "the file of keys and sessions")
            self._check_is_ours()
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection, synchronous)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(f"{self._path} cannot be opened: {error}") from None
        return connection

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

    def _prepare(self, connection: sqlite3.Connection, synchronous: str) -> None:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA secure_delete = ON")  # a revoked key's hash is gone from its page
        # Read before any lock is taken: opening a finished file need not wait for whoever writes to it.
        version = self._version(connection)
        if version < SCHEMA_VERSION:
            self._bring_up_to_date(connection)
        elif version > SCHEMA_VERSION:
            raise SchemaVersionError(
                f"{self._path} was written by a newer version: schema {version}, this one knows {SCHEMA_VERSION}",
                found=version,
                supported=SCHEMA_VERSION,
            )

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been first.
            script = {0: _SCHEMA, 1: _UPGRADE}.get(self._version(connection), "")
            for statement in script.split(";"):
                connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that is open; some errors have ended it already."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
