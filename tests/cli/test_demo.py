"""``nucleus demo``."""

import json
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from tests.cli.ledgers import TIMEOUT_S, entries_of, error_of, run, run_json, start

from nucleus.cli.distributions import take_inventory


def _declared() -> list[tuple[str, str]]:
    return sorted(
        (distribution.metadata["Name"], str(file))
        for distribution in distributions()
        for file in distribution.files or ()
    )


def test_every_declared_file_is_recorded(tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    answer = run_json("demo", "--keep", directory)
    entries = entries_of(directory / "ledger.db")
    payloads = [entry.record.payload for entry in entries]
    recorded = sorted((payload["distribution"], payload["path"]) for payload in payloads)
    assert len(_declared()) >= 1_000
    assert recorded == _declared()
    assert answer["records"] == len(entries)
    assert answer["head"] == {"seq": len(entries) - 1, "hash": entries[-1].hash}
    assert answer["append_seconds"] > 0
    assert answer["verify_seconds"] > 0
    (click,) = [each for each in payloads if each["distribution"] == "click" and each["path"] == "click/core.py"]
    assert click["size"] > 10_000
    assert click["digest"].startswith("sha256=")


def test_changed_byte_is_found_where_it_was_changed(tmp_path: Path) -> None:
    answer = run_json("demo", "--keep", tmp_path)
    change, report = answer["change"], answer["report"]
    original, tampered = (tmp_path / "ledger.db").read_bytes(), (tmp_path / "tampered.db").read_bytes()
    assert len(original) == len(tampered)
    assert [n for n, (a, b) in enumerate(zip(original, tampered, strict=True)) if a != b] == [change["offset"]]
    assert (chr(original[change["offset"]]), chr(tampered[change["offset"]])) == (change["before"], change["after"])
    assert report["counts"] == {"hash_mismatch": 1}
    ((fault),) = report["errors"]
    assert (fault["kind"], fault["seq"]) == ("hash_mismatch", change["seq"])
    assert fault["record_id"] == change["record_id"] == entries_of(tmp_path / "ledger.db")[change["seq"]].record.id
    run("verify", tmp_path / "ledger.db", "--deep")
    assert f"hash_mismatch at seq {change['seq']:,}" in run("verify", tmp_path / "tampered.db", exit_code=1).stdout


def test_for_people(tmp_path: Path) -> None:
    text = run("demo", "--keep", tmp_path).stdout
    for said in ("records a second", "valid after", "hash_mismatch at seq", "refused", str(tmp_path / "tampered.db")):
        assert said in text


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with start("demo", cwd=tmp_path, env={"TMPDIR": str(tmp_path), "PYTHONPATH": _import_path()}) as process:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (0, b"")
    assert b"hash_mismatch" in output
    assert list(tmp_path.iterdir()) == []


def _import_path() -> str:
    return ":".join(path for path in sys.path if path)


def test_kept_ledgers_are_not_overwritten(tmp_path: Path) -> None:
    run("demo", "--keep", tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert "ledger.db" in error_of("demo", "--keep", tmp_path).replace("error: ", "")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


class _Distribution:
    """A distribution that declares what a test wants."""

    version = "1.0"

    def __init__(self, name: str, files: Any) -> None:
        self.metadata = {"Name": name}
        self._files = files

    @property
    def files(self) -> Any:
        if isinstance(self._files, Exception):
            raise self._files
        return self._files


class _File:
    hash = None
    size = None

    def __init__(self, path: str) -> None:
        self._path = path

    def __str__(self) -> str:
        return self._path


def _install(monkeypatch: pytest.MonkeyPatch, *installed: _Distribution) -> None:
    monkeypatch.setattr("nucleus.cli.distributions.distributions", lambda: list(installed))


THOUSAND = [f"module_{n}.py" for n in range(1_000)]
"""As many files as make an environment large enough for the demonstration."""


def _files(paths: list[str]) -> list[_File]:
    return [_File(path) for path in paths]


def test_environment_that_is_just_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _Distribution("all", _files(THOUSAND)))
    answer = run_json("demo")
    assert (answer["records"], answer["distributions"]) == (1_000, 1)
    assert answer["report"]["errors"][0]["record_id"] == "all==1.0/module_500.py"


@pytest.mark.parametrize("paths", [[], ["only.py"], THOUSAND[1:]], ids=len)
def test_environment_with_little_installed(monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> None:
    """The standard library comes with what is there."""
    _install(monkeypatch, _Distribution("empty", None), _Distribution("few", _files(paths)))
    answer = run_json("demo")
    assert answer["records"] > len(paths) + 100
    assert answer["distributions"] == 1 + bool(paths)
    assert answer["report"]["counts"] == {"hash_mismatch": 1}
    records = take_inventory().records
    assert [record.payload["path"] for record in records[: len(paths)]] == paths
    (module,) = [record.payload for record in records if record.payload["path"] == "json/__init__.py"]
    assert (module["distribution"], module["size"]) == ("python", Path(json.__file__).stat().st_size)


def test_damaged_declarations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    good = _Distribution("good", _files(THOUSAND))
    _install(monkeypatch, _Distribution("bad", ValueError("RECORD")), good, _Distribution("gone", OSError("RECORD")))
    inventory = take_inventory()
    assert [record.id for record in inventory.records] == [f"good==1.0/{path}" for path in THOUSAND]
    assert {record.stream for record in inventory.records} == {"files"}
    assert (inventory.sources, inventory.unreadable) == (1, 2)
    assert "2 distributions do not say" in run("demo").stdout


def test_path_that_is_too_long_for_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "漢" * 2_000
    _install(monkeypatch, _Distribution("all", _files([long, *THOUSAND])))
    record = take_inventory().records[0]
    assert record.payload["path"] == long
    assert 1_020 < len(record.id.encode()) <= 1_024
    assert run_json("demo")["records"] == 1_001


def test_files_that_cannot_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The byte to change is looked for where the place in the chain is certain."""
    twins = _files(["twin.py"] * 500)
    _install(monkeypatch, _Distribution("twins", [*twins, _File("42"), _File("single.py"), *twins]))
    answer = run_json("demo")
    assert answer["change"]["record_id"] == "twins==1.0/single.py"
    assert answer["report"]["errors"][0]["seq"] == answer["change"]["seq"] == 501
    _install(monkeypatch, _Distribution("twins", twins + twins))
    assert "told from all others" in run("demo", exit_code=1).stderr


def test_paths_with_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _Distribution("odd", _files([f"a{n}\x1b[31m\x9b.py" for n in range(1_000)])))
    text = run("demo").stdout
    assert "\\x1b[31m" in text
    assert [char for char in text if char != "\n" and not char.isprintable()] == []


def test_command_of_the_package() -> None:
    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "nucleus", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert output.startswith("Usage: nucleus ")
