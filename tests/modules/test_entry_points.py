"""Modules that installed distributions offer: found when the configuration names them, and only then."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.modules.conftest import ALICE

from nucleus import Module, ModuleConfig, ModuleError, UnknownModuleError, create_ledger

GOOD = """
from nucleus import Module

class Stamp(Module):
    version = "3.1"
"""

Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lay out a distribution with one module file and its entry points on ``sys.path``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def lay_out(distribution: str, source: str, offers: str) -> None:
        (tmp_path / f"{distribution}.py").write_text(source)
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[nucleus.modules]\n{offers}\n")
        names.append(distribution)

    yield lay_out
    for name in names:
        sys.modules.pop(name, None)


def test_an_offered_module_is_found_by_its_id(install: Install) -> None:
    install("nucleus_stamp_offer", GOOD, "stamp = nucleus_stamp_offer:Stamp")
    with create_ledger("t", modules=[ModuleConfig("stamp", "3.1", {"k": 1})]) as ledger:
        module = ledger.modules.get("stamp")
        assert isinstance(module, Module)
        assert module.config == {"k": 1}
        ledger.append({"id": "r", "stream": "notes", "payload": {}}, context=ALICE)
    with pytest.raises(ModuleError, match="no version 4"):
        create_ledger("t", modules=[ModuleConfig("stamp", "4", {})])


def test_what_is_not_named_is_not_imported(install: Install) -> None:
    install("nucleus_broken_offer", "raise RuntimeError('imported')", "broken = nucleus_broken_offer:Broken")
    create_ledger("t", modules=[ModuleConfig("proof", "1.0.0")]).close()
    assert "nucleus_broken_offer" not in sys.modules
    with pytest.raises(ModuleError, match="could not be loaded from nucleus_broken_offer") as failure:
        create_ledger("t", modules=[ModuleConfig("broken", "1")])
    assert failure.value.module_id == "broken"
    assert isinstance(failure.value.__cause__, RuntimeError)


def test_a_missing_class_is_named(install: Install) -> None:
    install("nucleus_empty_offer", "", "empty = nucleus_empty_offer:Nothing")
    with pytest.raises(ModuleError, match="could not be loaded"):
        create_ledger("t", modules=[ModuleConfig("empty", "1")])


def test_a_built_in_module_is_not_replaced(install: Install) -> None:
    install("nucleus_shadow_offer", GOOD, "proof = nucleus_shadow_offer:Stamp")
    with create_ledger("t", modules=[ModuleConfig("proof", "1.0.0")]) as ledger:
        assert type(ledger.modules.get("proof")).__name__ == "Proofs"
    assert "nucleus_shadow_offer" not in sys.modules


def test_two_offers_of_one_id_are_refused(install: Install) -> None:
    install("nucleus_first_offer", GOOD, "twice = nucleus_first_offer:Stamp")
    install("nucleus_second_offer", GOOD, "twice = nucleus_second_offer:Stamp")
    with pytest.raises(ModuleError, match=r"nucleus_first_offer and nucleus_second_offer|nucleus-first-offer"):
        create_ledger("t", modules=[ModuleConfig("twice", "3.1")])


def test_an_id_that_nobody_offers_is_unknown() -> None:
    with pytest.raises(UnknownModuleError, match="no installed distribution offers it"):
        create_ledger("t", modules=[ModuleConfig("nobody", "1")])
