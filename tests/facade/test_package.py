"""The package as a whole: its names, its version, its documentation, its first example."""

import doctest
import importlib
import importlib.metadata
import inspect
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import nucleus

ROOT = Path(__file__).parents[2]

CONTRACT = [
    "AsyncLedger", "ChainEntry", "Ledger", "ModuleConfig", "QueryFilters", "QueryPage", "Record", "RequestContext",
    "VerificationReport", "auto_storage", "canonicalize", "create_ledger", "in_memory_storage", "postgres_storage",
    "sqlite_storage", "verify_chain",
]  # fmt: skip


def test_names_of_the_contract() -> None:
    assert set(CONTRACT) <= set(nucleus.__all__)


def test_all_names_are_there() -> None:
    for name in nucleus.__all__:
        assert getattr(nucleus, name) is not None
    assert len(nucleus.__all__) == len(set(nucleus.__all__))


def test_version() -> None:
    assert nucleus.__version__ == importlib.metadata.version("nucleus-ledger")


def test_package_is_typed() -> None:
    assert (Path(inspect.getfile(nucleus)).parent / "py.typed").exists()


def test_everything_public_is_documented() -> None:
    """What is compiled is documented in its stub."""
    undocumented = []
    for name in nucleus.__all__:
        value = getattr(nucleus, name)
        if not inspect.isfunction(value) and not (inspect.isclass(value) and value.__module__ != "nucleus._core"):
            continue
        members = {f"{name}.{key}": member for key, member in vars(value).items() if not key.startswith("_")}
        public = {name: value} | {key: each for key, each in members.items() if callable(each) or _is_property(each)}
        undocumented += [key for key, each in public.items() if not inspect.getdoc(each)]
    assert undocumented == []


def _is_property(member: object) -> bool:
    return isinstance(member, property | classmethod | staticmethod)


def test_example_of_the_package() -> None:
    results = doctest.testmod(nucleus)
    assert results.attempted > 0
    assert results.failed == 0


def test_debug_build_warns_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nucleus._core, "BUILD_PROFILE", "debug")
    with pytest.warns(RuntimeWarning, match="without optimisation"):
        importlib.reload(nucleus)
    monkeypatch.setattr(nucleus._core, "BUILD_PROFILE", "release")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(nucleus)


def test_there_is_no_way_to_register_a_module() -> None:
    for value in (nucleus, nucleus.Ledger, nucleus.AsyncLedger):
        assert [name for name in dir(value) if "register" in name.lower() and "Already" not in name] == []


def test_quickstart(tmp_path: Path) -> None:
    script = ROOT / "examples" / "quickstart.py"
    outputs = [
        subprocess.run(
            [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for _ in range(2)
    ]
    assert outputs[0].splitlines()[-2:] == ["r-1 at seq 0: {'n': 1}", "1 entries, valid: True"]
    assert outputs[1].splitlines()[-1] == "2 entries, valid: True"
    with nucleus.create_ledger(storage=nucleus.sqlite_storage(tmp_path / "ledger.db")) as ledger:
        assert ledger.id == "my-ledger"
        assert len(ledger) == 2
