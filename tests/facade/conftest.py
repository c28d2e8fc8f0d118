"""Ledgers to work on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import OpenLedger
from tests.facade.samples import LEDGER_ID, open_file

from nucleus import Ledger


@pytest.fixture
def ledger(open_in_storage: OpenLedger) -> Ledger:
    """An empty ledger, in one storage after the other."""
    return open_in_storage(LEDGER_ID)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger may be created."""
    return tmp_path / "ledger.db"


@pytest.fixture
def file_ledger(path: Path) -> Iterator[Ledger]:
    """An empty ledger in the file ``path``."""
    with open_file(path) as opened:
        yield opened
