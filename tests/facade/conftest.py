"""Ledgers to work on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.facade.samples import LEDGER_ID, open_file

from nucleus import Ledger, create_ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty ledger in memory."""
    with create_ledger(LEDGER_ID) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger may be created."""
    return tmp_path / "ledger.db"


@pytest.fixture
def file_ledger(path: Path) -> Iterator[Ledger]:
    """An empty ledger in the file ``path``."""
    with open_file(path) as opened:
        yield opened
