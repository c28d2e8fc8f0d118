"""``nucleus append``."""

import getpass
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.cli.ledgers import (
    LEDGER_ID,
    UNKNOWN_HASH,
    entries_of,
    error_of,
    json_error_of,
    json_lines,
    open_file,
    record,
    run,
    run_json,
)

from nucleus.cli import main
from nucleus.cli.options import local_oid

NEW = ("--id", LEDGER_ID)


def test_standard_input(path: Path) -> None:
    result = run("append", path, *NEW, stdin=json_lines(record(0), record(1), record(2)))
    entries = entries_of(path)
    assert [entry.record.payload for entry in entries] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert "3 records" in result.stdout
    assert entries[-1].hash in result.stdout
    assert result.stderr == ""


def test_file(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "records.jsonl"
    source.write_text(json_lines(record(0) | {"timestamp": 5, "meta": {"why": "ü"}}))
    answer = run_json("append", path, source, *NEW)
    (entry,) = entries_of(path)
    assert answer == {"appended": 1, "head": {"seq": 0, "hash": entry.hash}, "id": LEDGER_ID}
    assert entry.record.timestamp == 5
    assert (entry.record.meta or {})["why"] == "ü"


def test_existing_ledger_needs_no_id(filled: Path) -> None:
    assert run_json("append", filled, "-", stdin=json_lines(record(7)))["head"]["seq"] == 30
    assert run_json("append", filled, *NEW, stdin=json_lines(record(8)))["head"]["seq"] == 31


def test_new_ledger_needs_an_id(path: Path) -> None:
    result = run("append", path, stdin=json_lines(record(0)), exit_code=2)
    assert "--id" in result.stderr
    assert not path.exists()


def test_other_id_is_refused(filled: Path) -> None:
    assert "another" in error_of("append", filled, "--id", "another", stdin=json_lines(record(0)))
    assert len(entries_of(filled)) == 30


@pytest.mark.parametrize("stdin", ["", "\n", " \r\n\n"])
def test_nothing_to_append(path: Path, stdin: str) -> None:
    assert run_json("append", path, *NEW, stdin=stdin) == {"appended": 0, "head": None, "id": LEDGER_ID}
    assert entries_of(path) == []
    assert "0 records" in run("append", path).stdout


def test_form_of_the_lines(path: Path) -> None:
    text = json_lines(record(0)).replace("\n", "\r\n") + "\n  \n" + json.dumps(record(1))
    assert run_json("append", path, *NEW, stdin=text)["appended"] == 2


@pytest.mark.parametrize(("batch_size", "kept"), [(1, 5), (2, 4), (5, 5), (6, 0), (100, 0)], ids=str)
def test_bad_line_refuses_its_batch_and_what_follows(path: Path, batch_size: int, kept: int) -> None:
    text = json_lines(*map(record, range(5))) + "{bad}\n" + json_lines(record(6), record(7))
    result = run("append", path, *NEW, "--batch-size", str(batch_size), stdin=text, exit_code=1)
    first, second = result.stderr.splitlines()
    assert first.startswith("error: ")
    assert f"before: {kept}" in first
    assert second.startswith("  line 6: $")
    assert ([entry.record.payload["n"] for entry in entries_of(path)] if path.exists() else []) == list(range(kept))


def test_bad_first_batch_creates_no_ledger(path: Path) -> None:
    run("append", path, *NEW, stdin="junk\n", exit_code=1)
    assert list(path.parent.iterdir()) == []


BAD: dict[str, Any] = {
    "no JSON": "junk",
    "no object": "[]",
    "half an object": '{"id": "r"',
    "no id": json.dumps({"stream": "s", "payload": {}}),
    "unknown member": json.dumps(record(0) | {"extra": 1}),
    "scalar payload": json.dumps(record(0) | {"payload": 1}),
    "two values": "{} {}",
    "duplicate key": '{"id": "r", "id": "r", "stream": "s", "payload": {}}',
    "not a number": '{"id": "r", "stream": "s", "payload": {"x": NaN}}',
    "large integer": '{"id": "r", "stream": "s", "payload": {"x": 9007199254740993}}',
    "lone surrogate": '{"id": "r", "stream": "s", "payload": {"x": "\\ud800"}}',
    "invalid UTF-8": b'{"id": "\xff", "stream": "s", "payload": {}}',
    "stream of the engine": json.dumps(record(0) | {"stream": "redactions"}),
    "other requester": json.dumps(record(0) | {"meta": {"requester_oid": "oid:onoal:user:mallory"}}),
    "zero timestamp": json.dumps(record(0) | {"timestamp": 0}),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(record(0)).encode(),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
def test_bad_lines_are_named(filled: Path, bad: str | bytes) -> None:
    good = json.dumps(record(1)).encode()
    text = b"\n".join([good, b"", good, bad if isinstance(bad, bytes) else bad.encode(), good])
    result = run("append", filled, stdin=text, exit_code=1)
    assert next(line for line in result.stderr.splitlines() if line.startswith("  line ")).startswith("  line 4: $")
    error = json_error_of("append", filled, stdin=text)
    assert error["type"] == "InvalidRecordError"
    assert [line["line"] for line in error["lines"]] == [4]
    assert error["appended"] == 0
    assert len(entries_of(filled)) == 30


def test_all_bad_lines_of_a_batch_are_reported(path: Path) -> None:
    lines = [json.dumps(record(n)) if n % 2 else "junk" for n in range(100)]
    error = json_error_of("append", path, *NEW, stdin="\n".join(lines))
    assert [line["line"] for line in error["lines"]] == list(range(1, 101, 2))
    result = run("append", path, *NEW, stdin="\n".join(lines), exit_code=1)
    shown = result.stderr.splitlines()[1:]
    assert [line.split(":")[0] for line in shown] == [f"  line {number}" for number in range(1, 101, 2)]


def test_input_that_is_not_there(path: Path, tmp_path: Path) -> None:
    assert "missing.jsonl" in error_of("append", path, tmp_path / "missing.jsonl", *NEW)
    assert str(tmp_path) in error_of("append", path, tmp_path, *NEW)
    assert not path.exists()


def test_line_that_is_too_long(path: Path) -> None:
    """Nothing of such a line is kept in memory beyond the limit, and nothing of its batch in the ledger."""
    text = json_lines(record(0)) + "x" * (70 * 1024 * 1024)
    assert "line 2 is longer" in error_of("append", path, *NEW, stdin=text)
    assert not path.exists()


def test_record_that_is_too_large(path: Path) -> None:
    """It is too long to share a batch, so the line before it is kept."""
    error = json_error_of("append", path, *NEW, stdin=json_lines(record(0), record(1, x="x" * 17_000_000)))
    assert [line["line"] for line in error["lines"]] == [2]
    assert error["appended"] == len(entries_of(path)) == 1


def test_large_records_make_smaller_batches(path: Path) -> None:
    text = json_lines(*(record(n, x="x" * 6_000_000) for n in range(6)))
    assert run_json("append", path, *NEW, stdin=text)["appended"] == 6


@pytest.mark.parametrize("size", ["0", "-1", "1000001", "x"])
def test_batch_size_out_of_bounds(path: Path, size: str) -> None:
    run("append", path, *NEW, "--batch-size", size, exit_code=2)


def _requesters(path: Path) -> list[str]:
    return [(entry.record.meta or {})["requester_oid"] for entry in entries_of(path)]


def test_requester(path: Path) -> None:
    run("append", path, *NEW, stdin=json_lines(record(0)))
    run("append", path, "--as", "oid:onoal:user:carol", stdin=json_lines(record(1)))
    result = CliRunner().invoke(
        main, ["append", str(path)], input=json_lines(record(2)), env={"NUCLEUS_OID": "oid:onoal:user:dave"}
    )
    assert result.exit_code == 0
    assert _requesters(path) == [local_oid(), "oid:onoal:user:carol", "oid:onoal:user:dave"]


@pytest.mark.parametrize("oid", ["alice", "oid:onoal:user:", "oid:Onoal:user:alice"])
def test_malformed_requester(path: Path, oid: str) -> None:
    result = run("append", path, *NEW, "--as", oid, stdin=json_lines(record(0)), exit_code=2)
    assert "OID" in result.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("login", "oid"),
    [
        ("alice", "oid:local:user:alice"),
        ("DOMAIN\\Bob", "oid:local:user:DOMAIN-Bob"),
        ("jürgen müller", "oid:local:user:j-rgen-m-ller"),
        ("a.b_c-d+e=f/g@h", "oid:local:user:a.b_c-d+e=f/g@h"),
        ("x:y", "oid:local:user:x-y"),
        ("n" * 300, "oid:local:user:" + "n" * 200),
    ],
)
def test_oid_of_a_login(path: Path, monkeypatch: pytest.MonkeyPatch, login: str, oid: str) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: login)
    run("append", path, *NEW, stdin=json_lines(record(0)))
    assert _requesters(path) == [oid]


@pytest.mark.parametrize("error", [OSError, KeyError])
def test_user_without_a_name(path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def nameless() -> str:
        raise error("no such user")

    monkeypatch.setattr(getpass, "getuser", nameless)
    run("append", path, *NEW, stdin=json_lines(record(0)))
    assert _requesters(path) == [f"oid:local:user:{os.getuid()}"]


def test_rolled_back_ledger(filled: Path, tmp_path: Path) -> None:
    older = filled.read_bytes()
    run("append", filled, stdin=json_lines(record(0)))
    filled.write_bytes(older)
    error = json_error_of("append", filled, stdin=json_lines(record(1)))
    assert error["type"] == "IntegrityError"
    assert error["report"]["counts"] == {"head_mismatch": 1}
    assert run_json("append", filled, "--accept-rollback", stdin=json_lines(record(1)))["head"]["seq"] == 30
    run("append", filled, stdin=json_lines(record(2)))


def test_tampered_ledger_is_not_appended_to(filled: Path) -> None:
    content = filled.read_bytes()
    filled.write_bytes(content.replace(b"number 17", b"number 71"))
    assert "seq 17" in error_of("append", filled, stdin=json_lines(record(0)))
    filled.write_bytes(content)
    assert len(entries_of(filled)) == 30


def test_head_in_the_answer_is_the_ledgers(filled: Path) -> None:
    answer = run_json("append", filled, stdin=json_lines(record(0)))
    with open_file(filled) as ledger:
        assert ledger.head() == (answer["head"]["seq"], answer["head"]["hash"])
        assert ledger.verify(expected_head=answer["head"]["hash"]).valid
    assert answer["head"]["hash"] != UNKNOWN_HASH
