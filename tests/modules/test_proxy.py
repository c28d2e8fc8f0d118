"""What Python sees of the modules: a list, handles, nothing that registers."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import nucleus
from nucleus import ConfigError, Ledger, Module, ModuleConfig, UnknownModuleError, create_ledger
from nucleus._core import BUILT_IN_IDS
from nucleus.modules import Assets, ConnectGrants, Proofs, Tokens
from nucleus.modules.handles import HANDLES


def test_the_list_is_the_configuration_s(ledger: Ledger) -> None:
    modules = ledger.modules
    assert modules.list() == list(modules) == ["proof", "asset", "token", "connect"]
    assert len(modules) == 4
    assert "asset" in modules
    assert "audit" not in modules
    assert 1 not in modules
    assert repr(modules).endswith(": proof, asset, token, connect>")


def test_every_built_in_module_has_a_handle() -> None:
    assert set(HANDLES) == set(BUILT_IN_IDS)


def test_handles_are_typed_and_made_anew(ledger: Ledger) -> None:
    for name, expected in (("proof", Proofs), ("asset", Assets), ("token", Tokens), ("connect", ConnectGrants)):
        assert type(ledger.modules.get(name)) is expected
        assert ledger.modules.get(name) is not ledger.modules.get(name)


def test_info_says_where_a_module_is_in_its_life(ledger: Ledger) -> None:
    info = ledger.modules.info("asset")
    assert (info.id, info.version, info.state) == ("asset", "1.0.0", "started")
    assert (info.streams, info.resource_kind) == (("assets",), "asset")
    assert (info.failures, info.last_failure) == (0, None)
    assert info.registered_at > 1_700_000_000_000
    assert info == ledger.modules.info("asset")
    ledger.close()
    assert ledger.modules.info("asset").state == "stopped"


def test_an_unknown_id_is_named(ledger: Ledger) -> None:
    for call in (ledger.modules.get, ledger.modules.info):
        with pytest.raises(UnknownModuleError, match="no module `audit`") as unknown:
            call("audit")
        assert unknown.value.module_id == "audit"
        assert isinstance(unknown.value, KeyError)


def test_a_ledger_without_modules_has_an_empty_list() -> None:
    with create_ledger("t") as ledger:
        assert len(ledger.modules) == 0
        with pytest.raises(UnknownModuleError, match="none"):
            ledger.modules.get("proof")


def test_a_python_module_is_its_own_handle() -> None:
    class Mine(Module):
        resource_kind = "thing"
        streams = ("things",)

    with create_ledger("t", modules=[ModuleConfig("mine", "7", implementation=Mine)]) as ledger:
        assert isinstance(ledger.modules.get("mine"), Mine)
        info = ledger.modules.info("mine")
        assert (info.version, info.streams, info.resource_kind) == ("7", ("things",), "thing")


def test_a_python_module_is_found_by_its_class(ledger: Ledger) -> None:
    class Mine(Module):
        pass

    class Narrower(Mine):
        pass

    modules = [ModuleConfig("mine", "1", implementation=Mine), ModuleConfig("other", "1", implementation=Narrower)]
    with create_ledger("t", modules=modules[:1]) as one:
        assert one.modules.get(Mine) is one.modules.get("mine")
        with pytest.raises(UnknownModuleError, match=r"no module of class Narrower \(it runs: mine\)"):
            one.modules.get(Narrower)
    with create_ledger("t", modules=modules) as both:
        assert both.modules.get(Narrower) is both.modules.get("other")
        with pytest.raises(ConfigError, match="mine, other are all a Mine"):
            both.modules.get(Mine)
    with pytest.raises(UnknownModuleError):
        ledger.modules.get(Mine)


# An asset is registered in a ledger: that is what the word means to its users.
ALLOWED = {"nucleus.modules.asset.Assets.register", "nucleus.ModuleInfo.registered_at"}
SUSPICIOUS = ("register", "registry", "cache", "service_map", "services", "add_module", "load_module", "unload")


def public_names() -> set[str]:
    """Return every public name of the package: modules, what they hold, and the members of their classes.

    Authentication has a registry of its own: of token parsers, one for each application.
    """
    packages = ["nucleus", *(found.name for found in pkgutil.walk_packages(nucleus.__path__, "nucleus."))]
    names = set()
    for package in packages:
        if package.startswith(("nucleus.auth", "nucleus.__main__")) or "._" in package.replace("._core", ""):
            continue
        module = importlib.import_module(package)
        for name, value in vars(module).items():
            if name.startswith("_") or inspect.ismodule(value):
                continue
            names.add(f"{package}.{name}")
            if inspect.isclass(value) and value.__module__.startswith("nucleus"):
                names.update(f"{package}.{name}.{member}" for member in dir(value) if not member.startswith("_"))
    return names


def test_nothing_in_the_public_api_registers_or_keeps_modules() -> None:
    names = public_names()
    assert {"nucleus.Ledger.modules", "nucleus.modules.Modules.get", "nucleus._core.Engine.modules"} <= names
    allowed_endings = {name.rsplit(".", 2)[-2] + "." + name.rsplit(".", 1)[-1] for name in ALLOWED}
    found = {
        name
        for name in names
        if any(word in name.rsplit(".", 1)[-1].lower() for word in SUSPICIOUS)
        and ".".join(name.rsplit(".", 2)[-2:]) not in allowed_endings
        and not name.endswith("ModuleAlreadyRegisteredError")
    }
    assert found == set()


def test_a_ledger_keeps_no_module_on_the_python_side(ledger: Ledger) -> None:
    ledger.modules.get("asset")
    assert set(vars(ledger)) == {"_backend"}
    assert set(vars(ledger.modules)) == {"_backend"}
    assert set(vars(ledger.modules.get("asset"))) == {"_backend"}


def test_types_from_a_user_s_file(tmp_path: Path) -> None:
    program = tmp_path / "user.py"
    program.write_text(
        textwrap.dedent("""
        from typing import Any, assert_type
        from nucleus import ChainEntry, Ledger, Module, RequestContext
        from nucleus.modules import Asset, Assets, ConnectGrants, ListResult, Proofs, Tokens

        class Mine(Module):
            def answer(self) -> int:
                return 42

        def use(ledger: Ledger, me: RequestContext) -> None:
            assert_type(ledger.modules.get(Mine), Mine)
            assert_type(ledger.modules.get(Mine).answer(), int)
            assert_type(ledger.modules.get("proof"), Proofs)
            assert_type(ledger.modules.get("asset"), Assets)
            assert_type(ledger.modules.get("token"), Tokens)
            assert_type(ledger.modules.get("connect"), ConnectGrants)
            assert_type(ledger.modules.get("audit"), Any)
            assert_type(ledger.modules.get("asset").list(context=me), ListResult[Asset])
            assert_type(ledger.modules.get("asset").transfer("a", to_oid="b", context=me), ChainEntry)
            assert_type(ledger.modules.get("token").balance("T", "a", context=me), int)
    """)
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


WRONG = """
from nucleus import Ledger, Module
from nucleus.modules import Assets

class Mine(Module):
    pass

def use(ledger: Ledger) -> None:
    ledger.modules.get(Mine).question()
    ledger.modules.get(Assets)
    ledger.modules.get(int)
    ledger.modules.get("asset").question()
"""


def test_types_find_what_is_wrong_in_a_user_s_file(tmp_path: Path) -> None:
    program = tmp_path / "user.py"
    program.write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    lines = {int(line.split(":")[1]) for line in checked.stdout.splitlines() if ": error:" in line}
    assert lines == {9, 10, 11, 12}, checked.stdout + checked.stderr
