"""Options and files of ``pytest benches``."""

from pathlib import Path

import pytest
from benches.data import Datasets


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of ``python -m benches`` that choose how much work is done, and where."""
    group = parser.getgroup("nucleus benches")
    group.addoption("--quick", action="store_true", help="100,000 entries instead of a million")
    group.addoption("--data", type=Path, help="keep the ledgers here and use them again")


@pytest.fixture(scope="session")
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    """The ledgers and tables that the benchmarks work on."""
    return Datasets(request.config.getoption("--data") or tmp_path_factory.mktemp("data"), print)
