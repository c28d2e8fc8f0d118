"""Where a ledger is kept: descriptions that :func:`nucleus.create_ledger` opens."""

import os
from dataclasses import dataclass
from typing import Literal, Never

from nucleus._core import BUSY_TIMEOUT_MS
from nucleus.errors import ConfigError

DATABASE_VARIABLE = "NUCLEUS_DATABASE"
"""Environment variable that :func:`auto_storage` reads."""

ANCHOR_SUFFIX = ".anchor"
"""Behind the name of a ledger's file, that of its anchor."""

COMPANION_SUFFIXES = ("-wal", "-shm", ANCHOR_SUFFIX)
"""The files that belong to a ledger's file, by what stands behind its name."""

_MAX_BUSY_TIMEOUT_MS = 2**31 - 1
_POSTGRES_SCHEMES = ("postgres://", "postgresql://")


@dataclass(frozen=True, slots=True)
class InMemoryStorage:
    """A ledger in memory, gone when it is closed."""


@dataclass(frozen=True, slots=True)
class SqliteStorage:
    """A ledger in an SQLite file; see :func:`sqlite_storage` for the fields and what is refused."""

    path: str
    durability: Literal["full", "normal"] = "full"
    busy_timeout_ms: int = BUSY_TIMEOUT_MS
    read_only: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise ConfigError(f"the path of a ledger must be a non-empty string, not {self.path!r}")
        if self.durability not in {"full", "normal"}:
            raise ConfigError(f'durability must be "full" or "normal", not {self.durability!r}')
        if not 0 <= self.busy_timeout_ms <= _MAX_BUSY_TIMEOUT_MS:
            raise ConfigError(f"busy_timeout_ms must be 0 to {_MAX_BUSY_TIMEOUT_MS}, not {self.busy_timeout_ms}")


StorageConfig = InMemoryStorage | SqliteStorage
"""What the helpers of this module answer."""


def in_memory_storage() -> InMemoryStorage:
    """Keep the ledger in memory; it is gone when it is closed."""
    return InMemoryStorage()


def sqlite_storage(
    path: str | os.PathLike[str],
    *,
    durability: Literal["full", "normal"] = "full",
    busy_timeout_ms: int = BUSY_TIMEOUT_MS,
    read_only: bool = False,
) -> SqliteStorage:
    """Keep the ledger in an SQLite file on a local disk.

    Beside the file ``ledger.db`` there are ``ledger.db.anchor`` and, while it is open, ``ledger.db-wal`` and
    ``ledger.db-shm``: they belong together.

    Args:
        path: the database file; it and its directories are created when they are missing.
        durability: ``"full"``: an acknowledged append survives a power cut. ``"normal"``: it survives the death of the
            process, but a power cut may take the newest appends.
        busy_timeout_ms: how long to wait for another process that is writing, in milliseconds.
        read_only: change nothing; the file must exist.

    Raises:
        ConfigError: an argument is out of its bounds.
    """
    return SqliteStorage(os.fspath(path), durability, busy_timeout_ms, read_only)


def auto_storage(path: str | os.PathLike[str] | None = None) -> StorageConfig:
    """Choose the storage from what is given, with the defaults of each.

    In this order: the file ``path``; the file that the environment variable ``NUCLEUS_DATABASE`` names; memory.

    Raises:
        ConfigError: what is given is not a path, or is the URL of a PostgreSQL database.
    """
    given = path if path is not None else os.environ.get(DATABASE_VARIABLE) or None
    if given is None:
        return in_memory_storage()
    if os.fspath(given).startswith(_POSTGRES_SCHEMES):
        return postgres_storage(os.fspath(given))
    return sqlite_storage(given)


def postgres_storage(url: str) -> Never:
    """Refuse: keeping a ledger in PostgreSQL is not part of this release.

    Raises:
        ConfigError: always.
    """
    # The URL may hold a password, so the message does not repeat it.
    raise ConfigError(
        "PostgreSQL storage is not part of this release of Nucleus; "
        "keep the ledger in a file with sqlite_storage(path), or in memory with in_memory_storage()"
    )
