"""Ledger files to run commands on."""

from pathlib import Path

import pytest
from tests.cli.ledgers import fill


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger may be created."""
    return tmp_path / "ledger.db"


@pytest.fixture
def filled(path: Path) -> Path:
    """A ledger with 30 entries."""
    fill(path, 30)
    return path
