"""The ledgers of a soak, and how they are opened."""

from pathlib import Path

from nucleus import Ledger, RequestContext, create_ledger, sqlite_storage
from nucleus.access import AccessConfig

ALICE = RequestContext.local("oid:onoal:user:alice")
BOB = RequestContext.local("oid:onoal:user:bob")
ADMINISTRATOR = RequestContext.local("oid:onoal:org:soak")

BUSY_TIMEOUT_MS = 10_000
"""Longer than a stopped worker may hold the lock, see ``conductor``."""


def open_soaked(path: Path, *, access: bool = False, read_only: bool = False) -> Ledger:
    """Open a ledger of the soak, or a copy of one, and verify it."""
    return create_ledger(
        "soak",
        storage=sqlite_storage(path, read_only=read_only, busy_timeout_ms=BUSY_TIMEOUT_MS),
        access=AccessConfig(ADMINISTRATOR.oid) if access else None,
    )
