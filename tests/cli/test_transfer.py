"""``nucleus export``, ``import``, ``backup`` and ``redact``."""

import json
from pathlib import Path

import pytest
from tests.cli.ledgers import (
    ALICE,
    LEDGER_ID,
    UNKNOWN_HASH,
    entries_of,
    error_of,
    fill,
    json_error_of,
    json_lines,
    open_file,
    record,
    run,
    run_json,
)
from tests.reference.chain import verify_chain
from tests.reference.reading import parse

from nucleus import Record


def test_export_to_standard_output(filled: Path) -> None:
    entries = entries_of(filled)
    result = run("export", filled)
    header, *lines = result.stdout_bytes.splitlines()
    assert lines == [entry.to_json().encode() for entry in entries]
    assert parse(header)["head"] == entries[-1].hash
    assert verify_chain([parse(line) for line in lines], LEDGER_ID, expected_head=entries[-1].hash) == []
    assert run("export", filled, "-o", "-").stdout_bytes == result.stdout_bytes
    assert result.stderr == ""


def test_export_to_a_file(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "export.jsonl"
    assert "30 entries" in run("export", filled, "-o", target).stdout
    assert target.read_bytes() == run("export", filled).stdout_bytes
    assert "export.jsonl" in error_of("export", filled, "-o", target)
    target.unlink()
    assert run_json("export", filled, "--output", target) == {"entries": 30}


def test_export_into_a_missing_directory(filled: Path, tmp_path: Path) -> None:
    assert "missing" in error_of("export", filled, "-o", tmp_path / "missing" / "export.jsonl")


def test_tampered_ledger_is_not_exported(filled: Path, tmp_path: Path) -> None:
    filled.write_bytes(filled.read_bytes().replace(b"number 17", b"number 71"))
    target = tmp_path / "export.jsonl"
    error_of("export", filled, "-o", target)
    assert not target.exists()
    error_of("export", filled, "-o", target, "--no-verify")
    assert not target.exists()


@pytest.mark.parametrize("by", ["file", "standard input"])
def test_round_trip(path: Path, tmp_path: Path, by: str) -> None:
    fill(path, 2_345)
    with open_file(path) as ledger:
        ledger.redact(entries_of(path)[5].hash, "reason", ALICE)
    source, copy = tmp_path / "export.jsonl", tmp_path / "copy.db"
    run("export", path, "-o", source)
    if by == "file":
        answer = run_json("import", source, copy)
    else:
        answer = run_json("import", "-", copy, stdin=source.read_bytes())
    entries = entries_of(path)
    assert answer == {"entries": 2_346, "head": entries[-1].hash, "id": LEDGER_ID}
    assert entries_of(copy) == entries
    assert run("verify", copy, "--deep", "--expected-head", entries[-1].hash).exit_code == 0
    assert run("export", copy).stdout.splitlines()[1:] == source.read_text().splitlines()[1:]
    assert run_json("append", copy, stdin=json_lines(record(0)))["head"]["seq"] == 2_346


def test_import_for_people(filled: Path, tmp_path: Path) -> None:
    text = run("import", "-", tmp_path / "copy.db", stdin=run("export", filled).stdout_bytes).stdout
    assert "30 entries" in text
    assert LEDGER_ID in text
    assert entries_of(filled)[-1].hash in text


def test_import_of_a_changed_export_leaves_nothing(filled: Path, tmp_path: Path) -> None:
    exported = run("export", filled).stdout
    directory = tmp_path / "imported"
    directory.mkdir()
    changed = exported.replace("number 17", "number 71")
    assert changed != exported
    error = json_error_of("import", "-", directory / "copy.db", stdin=changed)
    assert error["type"] == "IntegrityError"
    assert "17" in error["message"]
    lines = exported.splitlines()
    assert "line 6:" in error_of(
        "import", "-", directory / "copy.db", stdin="\n".join([*lines[:5], "junk", *lines[5:]])
    )
    assert json_error_of("import", "-", directory / "copy.db", stdin="\n".join(lines[:-1]))["type"] == "IntegrityError"
    assert list(directory.iterdir()) == []


def test_import_overwrites_nothing(filled: Path) -> None:
    exported = run("export", filled).stdout_bytes
    before = filled.read_bytes()
    error_of("import", "-", filled, stdin=exported)
    assert filled.read_bytes() == before


def test_import_of_a_missing_file(tmp_path: Path) -> None:
    assert "missing.jsonl" in error_of("import", tmp_path / "missing.jsonl", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_backup(filled: Path, tmp_path: Path) -> None:
    entries = entries_of(filled)
    copy = tmp_path / "copy.db"
    assert "30 entries" in run("backup", filled, copy).stdout
    assert entries_of(copy) == entries
    before = copy.read_bytes()
    assert "copy.db" in error_of("backup", filled, copy)
    assert copy.read_bytes() == before
    assert run_json("backup", filled, tmp_path / "second.db") == {
        "entries": 30,
        "head": {"seq": 29, "hash": entries[-1].hash},
    }


def test_backup_of_an_empty_ledger(path: Path, tmp_path: Path) -> None:
    open_file(path).close()
    assert run_json("backup", path, tmp_path / "copy.db") == {"entries": 0, "head": None}
    assert "empty" in run("backup", path, tmp_path / "second.db").stdout


def test_backup_while_the_ledger_is_written_to(filled: Path, tmp_path: Path) -> None:
    with open_file(filled) as ledger:
        entry = ledger.append(Record("r", "s", {}), ALICE)
        run("backup", filled, tmp_path / "copy.db")
        ledger.append(Record("r", "s", {}), ALICE)
    assert entries_of(tmp_path / "copy.db")[-1] == entry


def test_tampered_ledger_is_not_backed_up(filled: Path, tmp_path: Path) -> None:
    filled.write_bytes(filled.read_bytes().replace(b"number 17", b"number 71"))
    assert "17" in error_of("backup", filled, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy*"))


def test_redact(filled: Path) -> None:
    entry = entries_of(filled)[17]
    arguments = ("redact", filled, entry.hash, "--reason", "GDPR Art. 17 request 42", "--as", ALICE.oid)
    document = run_json(*arguments, "--yes")
    assert document["record"]["payload"] == {"hash": entry.hash, "reason": "GDPR Art. 17 request 42", "seq": 17}
    assert document["record"]["meta"]["requester_oid"] == ALICE.oid
    assert entries_of(filled)[17].redacted
    assert b"number 17" not in filled.read_bytes()
    assert "at seq 30" in run(*arguments, "--yes").stdout
    assert len(entries_of(filled)) == 31
    run("verify", filled, "--deep")


@pytest.mark.parametrize(("answer", "erased"), [("y\n", True), ("n\n", False), ("", False), ("\n", False)])
def test_redact_asks(filled: Path, answer: str, erased: bool) -> None:
    entry = entries_of(filled)[17]
    result = run(
        "redact", filled, entry.hash, "--reason", "reason", "--json", stdin=answer, exit_code=0 if erased else 1
    )
    assert "cannot be brought back" in result.stderr
    assert bool(result.stdout and json.loads(result.stdout)) == erased
    assert entries_of(filled)[17].redacted == erased


def test_redact_what_is_not_there(filled: Path) -> None:
    assert UNKNOWN_HASH in error_of("redact", filled, UNKNOWN_HASH, "--reason", "reason", "--yes")
    assert len(entries_of(filled)) == 30


def test_redact_that_cannot_be_read(filled: Path) -> None:
    run("redact", filled, "abc", "--reason", "reason", "--yes", exit_code=2)
    run("redact", filled, UNKNOWN_HASH, "--yes", exit_code=2)
