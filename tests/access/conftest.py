"""Principals, and ledgers with access control and all built-in modules."""

from pathlib import Path
from typing import Literal

import pytest
from tests.conftest import OpenLedger

from nucleus import Ledger, ModuleConfig, RequestContext, create_ledger, in_memory_storage, sqlite_storage
from nucleus._core import BUILT_IN_IDS
from nucleus.access import AccessConfig, LedgerAccess

ADMIN = RequestContext.local("oid:onoal:org:festival")
ALICE = RequestContext.local("oid:onoal:user:alice")
BOB = RequestContext.local("oid:onoal:user:bob")
CAROL = RequestContext.local("oid:onoal:user:carol")
# Identifiers compare byte for byte: these are not Alice.
UPPER_ALICE = RequestContext.local("oid:onoal:user:ALICE")
ALICE_DOT = RequestContext.local("oid:onoal:user:alice.")
ISSUER = RequestContext.local("oid:onoal:org:issuer")
APP = RequestContext.local("oid:onoal:app:kiosk")
STRANGER = RequestContext.local("oid:onoal:user:stranger")

BUILT_IN = tuple(ModuleConfig(name, "1.0.0") for name in BUILT_IN_IDS)


def open_ledger(path: Path | None = None, *, creation: Literal["anyone", "granted"] = "anyone") -> Ledger:
    """Open a ledger with access control: in the file ``path``, or in memory."""
    storage = in_memory_storage() if path is None else sqlite_storage(path, durability="normal")
    access = AccessConfig(administrator=ADMIN.oid, creation=creation)
    return create_ledger("access", storage=storage, modules=BUILT_IN, access=access)


def access_of(ledger: Ledger) -> LedgerAccess:
    """Return the ledger's access control, which is on."""
    return ledger.access


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(open_in_storage: OpenLedger) -> Ledger:
    """An empty ledger, in one storage after the other."""
    return open_in_storage("access", modules=BUILT_IN, access=AccessConfig(administrator=ADMIN.oid))
