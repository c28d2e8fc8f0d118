"""Descriptions of where a ledger is kept."""

import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.facade.samples import ALICE, LEDGER_ID, note

from nucleus import (
    ConfigError,
    InMemoryStorage,
    SqliteStorage,
    auto_storage,
    create_ledger,
    in_memory_storage,
    postgres_storage,
    sqlite_storage,
)


@pytest.fixture(autouse=True)
def _no_database_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUCLEUS_DATABASE", raising=False)


def test_defaults() -> None:
    storage = sqlite_storage("ledger.db")
    assert storage == SqliteStorage("ledger.db", durability="full", busy_timeout_ms=30_000, read_only=False)


def test_options() -> None:
    storage = sqlite_storage("ledger.db", durability="normal", busy_timeout_ms=5, read_only=True)
    assert (storage.durability, storage.busy_timeout_ms, storage.read_only) == ("normal", 5, True)


def test_path_objects() -> None:
    assert sqlite_storage(Path("a") / "ledger.db") == sqlite_storage(os.path.join("a", "ledger.db"))  # noqa: PTH118


@pytest.mark.parametrize("storage", [in_memory_storage(), sqlite_storage("ledger.db")])
def test_descriptions_are_frozen_values(storage: Any) -> None:
    assert pickle.loads(pickle.dumps(storage)) == storage
    assert hash(storage) == hash(dataclasses.replace(storage))
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        storage.path = "other.db"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("",), {}),
        ((b"ledger.db",), {}),
        (("ledger.db",), {"durability": "off"}),
        (("ledger.db",), {"durability": None}),
        (("ledger.db",), {"busy_timeout_ms": -1}),
        (("ledger.db",), {"busy_timeout_ms": 2**31}),
    ],
)
def test_refusals(arguments: Any, options: Any) -> None:
    with pytest.raises(ConfigError):
        sqlite_storage(*arguments, **options)


def test_automatic_choice_is_memory_without_anything_given() -> None:
    assert auto_storage() == InMemoryStorage()


def test_automatic_choice_of_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert auto_storage("ledger.db") == sqlite_storage("ledger.db")
    monkeypatch.setenv("NUCLEUS_DATABASE", "other.db")
    assert auto_storage("ledger.db") == sqlite_storage("ledger.db")
    assert auto_storage(Path("ledger.db")) == sqlite_storage("ledger.db")


def test_automatic_choice_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUCLEUS_DATABASE", "other.db")
    assert auto_storage() == sqlite_storage("other.db")
    monkeypatch.setenv("NUCLEUS_DATABASE", "")
    assert auto_storage() == in_memory_storage()


def test_automatic_choice_refuses_an_empty_path() -> None:
    with pytest.raises(ConfigError):
        auto_storage("")


URL = "postgresql://ledger:hunter2@db.example/ledger"


def test_postgres_is_refused_without_repeating_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUCLEUS_DATABASE", URL.replace("postgresql", "postgres"))
    choices: list[Callable[[], object]] = [lambda: postgres_storage(URL), lambda: auto_storage(URL), auto_storage]
    for choose in choices:
        with pytest.raises(ConfigError, match="not part of this release") as caught:
            choose()
        assert "sqlite_storage" in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_options_reach_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with create_ledger(LEDGER_ID, storage=sqlite_storage(path, durability="normal")) as ledger:
        ledger.append(note(1), ALICE)
        assert ledger.path == str(path)
        assert ledger.has_storage()
    with create_ledger(storage=sqlite_storage(path, read_only=True)) as ledger:
        assert ledger.id == LEDGER_ID
        with pytest.raises(ConfigError):
            ledger.append(note(2), ALICE)
        assert len(ledger) == 1


def test_memory_has_no_storage() -> None:
    for storage in (None, in_memory_storage()):
        with create_ledger(LEDGER_ID, storage=storage) as ledger:
            assert not ledger.has_storage()
            assert ledger.path is None
