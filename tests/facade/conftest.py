"""Ledgers to work on."""

from pathlib import Path

import pytest
from tests.conftest import OpenLedger
from tests.facade.samples import LEDGER_ID

from nucleus import Ledger


@pytest.fixture
def ledger(open_in_storage: OpenLedger) -> Ledger:
    """An empty ledger, in one storage after the other."""
    return open_in_storage(LEDGER_ID)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger may be created."""
    return tmp_path / "ledger.db"
