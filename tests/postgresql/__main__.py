"""The tests of what PostgreSQL will hold, with a build of PostgreSQL that knows the orders of languages.

The build that is installed with the tests has no ICU: it compares all text byte for byte, as the tables must in every
database. This command runs the same tests in databases that compare by language::

    python -m tests.postgresql --server /usr/lib/postgresql/15/bin
"""

import argparse
import sys
from pathlib import Path

import pytest
from tests.storage.postgresql_builds import BUILD, Build, build_with_icu

_TESTS = Path(__file__).resolve().parents[1] / "storage/test_postgresql_migration.py"


class BuildPlugin:
    """Names the build to run."""

    def __init__(self, build: Build) -> None:
        self._build = build

    def pytest_configure(self, config: pytest.Config) -> None:
        """Leave the build where the tests look for it."""
        config.stash[BUILD] = self._build


def main() -> int:
    """Run the tests; arguments that are not this command's go to pytest."""
    parser = argparse.ArgumentParser(prog="python -m tests.postgresql", description=__doc__)
    parser.add_argument("--server", type=Path, required=True, help="directory with initdb, postgres and psql; with ICU")
    arguments, others = parser.parse_known_args()
    return pytest.main([str(_TESTS), *others], plugins=[BuildPlugin(build_with_icu(arguments.server))])


if __name__ == "__main__":
    sys.exit(main())
