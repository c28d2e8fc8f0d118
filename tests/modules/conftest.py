"""Ledgers with all built-in modules."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import OpenLedger

from nucleus import Ledger, ModuleConfig, RequestContext, create_ledger, sqlite_storage
from nucleus._core import BUILT_IN_IDS

ALICE = RequestContext.local("oid:onoal:user:alice")
BOB = RequestContext.local("oid:onoal:user:bob")
CAROL = RequestContext.local("oid:onoal:user:carol")
ISSUER = RequestContext.local("oid:onoal:org:issuer")

BUILT_IN = tuple(ModuleConfig(name, "1.0.0") for name in BUILT_IN_IDS)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def reopen(database: Path) -> Iterator[Callable[[], Ledger]]:
    """Open the one ledger of a test, closing it first where it is open."""
    opened: list[Ledger] = []

    def open_again() -> Ledger:
        for ledger in opened:
            ledger.close()
        opened.append(create_ledger("modules", storage=sqlite_storage(database, durability="normal"), modules=BUILT_IN))
        return opened[-1]

    yield open_again
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_in_storage: OpenLedger) -> Ledger:
    """An empty ledger, in one storage after the other."""
    return open_in_storage("modules", modules=BUILT_IN)
