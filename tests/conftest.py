"""The storages that suites run over, and the one place where their ledgers are opened."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from nucleus import Ledger, StorageConfig, create_ledger, in_memory_storage, sqlite_storage

STORAGES: dict[str, Callable[[Path], StorageConfig]] = {
    "memory": lambda folder: in_memory_storage(),
    "sqlite": lambda folder: sqlite_storage(folder / "ledger.db", durability="normal"),
}
"""A new storage of each sort, of which nothing is left when the folder is gone."""

on_one_storage = pytest.mark.parametrize("storage", ["memory"], indirect=True)
"""For a test that takes long, or that is not about what is kept: it runs on the quickest storage alone."""


class OpenLedger(Protocol):
    """Opens the one ledger of a test's storage with the options of :func:`nucleus.create_ledger`."""

    def __call__(self, id: str, **options: Any) -> Ledger: ...


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StorageConfig:
    """A storage with nothing in it, one sort after the other."""
    return STORAGES[request.param](tmp_path_factory.mktemp("storage"))


@pytest.fixture
def open_in_storage(storage: StorageConfig) -> Iterator[OpenLedger]:
    """Opens the ledger of a test; it is closed when the test ends."""
    with ExitStack() as opened:

        def open_ledger(id: str, **options: Any) -> Ledger:
            return opened.enter_context(create_ledger(id, storage=storage, **options))

        yield open_ledger
