"""Ledgers to work on, each test with a copy of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.storage.ledgers import copy_ledger
from tests.storage.samples import build_indexed, build_sample
from tests.storage.stranger import Stranger


@pytest.fixture(scope="session")
def stranger() -> Iterator[Stranger]:
    """Another process with another SQLite library."""
    with Stranger() as running:
        yield running


@pytest.fixture(scope="session")
def sample_template(tmp_path_factory: pytest.TempPathFactory, stranger: Stranger) -> Path:
    """The sample ledger, closed; not to be changed."""
    path = tmp_path_factory.mktemp("sample") / "ledger.db"
    build_sample(path, stranger)
    return path


@pytest.fixture
def sample(sample_template: Path, tmp_path: Path) -> Path:
    """A closed ledger with a row of every kind, see ``samples``."""
    return copy_ledger(sample_template, tmp_path / "sample")


@pytest.fixture(scope="session")
def indexed_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a whole index run, closed; not to be changed."""
    path = tmp_path_factory.mktemp("indexed") / "ledger.db"
    build_indexed(path)
    return path


@pytest.fixture
def indexed(indexed_template: Path, tmp_path: Path) -> Path:
    """A closed ledger whose first 65,536 entries are in the look-up indexes and some more are not."""
    return copy_ledger(indexed_template, tmp_path / "indexed")
