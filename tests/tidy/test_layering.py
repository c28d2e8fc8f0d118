"""Dependencies point one way, and no file grows past what one reads at a sitting."""

import re
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_CRATES: dict[str, set[str]] = {
    "nucleus-core": set(),
    "nucleus-engine": {"nucleus-core"},
    "nucleus-conformance": {"nucleus-core", "nucleus-engine"},
    "nucleus-sqlite": {"nucleus-core", "nucleus-engine"},
    "nucleus-python": {"nucleus-core", "nucleus-engine", "nucleus-sqlite"},
}
# What only the tests of a crate may use.
_FOR_TESTS: dict[str, set[str]] = {"nucleus-sqlite": {"nucleus-conformance"}}


@pytest.mark.parametrize("crate", _CRATES)
def test_crates_depend_downwards_only(crate: str) -> None:
    manifest = tomllib.loads((_ROOT / "rust" / crate / "Cargo.toml").read_text())
    names = {name for table in ("dependencies", "build-dependencies") for name in manifest.get(table, {})}
    for_tests = set(manifest.get("dev-dependencies", {}))
    assert {name for name in names if name.startswith("nucleus-")} == _CRATES[crate]
    assert {name for name in for_tests if name.startswith("nucleus-")} == _FOR_TESTS.get(crate, set())
    names |= for_tests
    assert ("pyo3" in names) == (crate == "nucleus-python")
    assert ("rusqlite" in names) == (crate == "nucleus-sqlite")


def test_python_neither_hashes_nor_opens_databases() -> None:
    forbidden = re.compile(r"^\s*(?:import|from)\s+(sqlite3|apsw|hashlib|blake3)\b", re.MULTILINE)
    for path in (_ROOT / "python").rglob("*.py"):
        if "auth" in path.parts:
            continue  # keys and sessions have files of their own
        found = forbidden.search(path.read_text())
        assert found is None, f"{path}: {found.group(0) if found else ''}"


def test_no_file_is_oversized() -> None:
    for pattern in ("rust/*/src/**/*.rs", "python/**/*.py", "tests/**/*.py"):
        for path in _ROOT.glob(pattern):
            assert len(path.read_text().splitlines()) <= 900, path


def test_unsafe_code_is_where_it_is_explained() -> None:
    allowed = {"lanes.rs", "lock_guard.rs", "open.rs"}
    for path in _ROOT.glob("rust/*/src/**/*.rs"):
        if re.search(r"\bunsafe\b\s*(\{|fn|impl|extern)", path.read_text()):
            assert path.name in allowed, path
