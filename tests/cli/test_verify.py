"""``nucleus verify`` and ``nucleus stats``."""

from pathlib import Path

import pytest
from tests.cli.ledgers import (
    ALICE,
    LEDGER_ID,
    UNKNOWN_HASH,
    change_byte,
    entries_of,
    error_of,
    json_error_of,
    open_file,
    run,
    run_json,
)

from nucleus import Record


def test_valid_ledger(filled: Path) -> None:
    head = entries_of(filled)[-1].hash
    for options, end_checked_by, end in (
        ([], "anchor", "its end agrees with the anchor file"),
        (["--deep"], "anchor", "its end agrees with the anchor file"),
        (["--expected-head", head], "expected_head", "its head is the expected one"),
        (["--expected-length", "30"], "expected_length", "its length is the expected one"),
        (["--expected-length", "30", "--expected-head", head], "expected_head", "its head is the expected one"),
    ):
        assert run("verify", filled, *options).stdout == f"valid: 30 entries, head {head}; {end}\n"
        assert run_json("verify", filled, *options) == {
            "valid": True,
            "entries_checked": 30,
            "head_hash": head,
            "errors": [],
            "counts": {},
            "timestamp_regressions": 0,
            "end_checked_by": end_checked_by,
        }


def test_empty_ledger(path: Path) -> None:
    open_file(path).close()
    assert run("verify", path).stdout == "valid: 0 entries, head -; its end agrees with the anchor file\n"
    run("verify", path, "--expected-length", "0")
    run("verify", path, "--expected-length", "1", exit_code=1)


def test_changed_payload(filled: Path) -> None:
    change_byte(filled, b"number 17", b"number 71")
    for options in ([], ["--deep"]):
        result = run("verify", filled, *options, exit_code=1)
        assert result.stdout.startswith("NOT VALID: 1 hash_mismatch, in 30 entries\n")
        assert "hash_mismatch at seq 17, record r-2\n" in result.stdout
        report = run_json("verify", filled, *options, exit_code=1)
        assert (report["valid"], report["counts"]) == (False, {"hash_mismatch": 1})
        ((fault),) = report["errors"]
        assert (fault["kind"], fault["seq"], fault["record_id"]) == ("hash_mismatch", 17, "r-2")
        assert fault["expected"] != fault["actual"]
        assert fault["actual"] in result.stdout


@pytest.mark.parametrize("options", [["--expected-head", UNKNOWN_HASH], ["--expected-length", "29"]])
def test_what_is_known_from_elsewhere(filled: Path, options: list[str]) -> None:
    assert run_json("verify", filled, *options, exit_code=1)["counts"] == {"head_mismatch": 1}
    assert "head_mismatch" in run("verify", filled, *options, exit_code=1).stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--expected-head", "abc"],
        ["--expected-head", UNKNOWN_HASH.upper()],
        ["--expected-length", "-1"],
        ["--expected-length", "x"],
    ],
    ids=" ".join,
)
def test_expectation_that_cannot_be_read(filled: Path, options: list[str]) -> None:
    run("verify", filled, *options, exit_code=2)


def test_shorter_than_its_anchor_and_tampered_with(filled: Path) -> None:
    """Everything that is wrong is in one report, whatever is found first."""
    older = filled.read_bytes()
    with open_file(filled) as ledger:
        ledger.append(Record("r", "s", {}), ALICE)
    filled.write_bytes(older.replace(b"number 17", b"number 71"))
    report = run_json("verify", filled, exit_code=1)
    assert report["counts"] == {"hash_mismatch": 1, "head_mismatch": 1}
    text = run("verify", filled, exit_code=1).stdout
    assert "hash_mismatch at seq 17" in text
    assert "head_mismatch at seq 30" in text


def test_many_faults_are_counted_and_some_shown(path: Path) -> None:
    with open_file(path) as ledger:
        ledger.append_batch([Record(f"r-{n}", "s", {"text": "before"}) for n in range(2_000)], ALICE)
    path.write_bytes(path.read_bytes().replace(b'{"text":"before"}', b'{"text":"beyond"}'))
    text = run("verify", path, exit_code=1).stdout
    assert text.startswith("NOT VALID: 2,000 hash_mismatch, in 2,000 entries\n")
    assert text.count("hash_mismatch at seq") == 1_000
    assert "and 1,000 more" in text
    report = run_json("verify", path, exit_code=1)
    assert (len(report["errors"]), report["counts"]) == (1_000, {"hash_mismatch": 2_000})


def test_timestamps_that_run_backwards_are_information(path: Path) -> None:
    with open_file(path) as ledger:
        ledger.append_batch([Record("r", "s", {}, timestamp) for timestamp in (5, 4, 6, 3)], ALICE)
    assert "2 entries" in run("verify", path).stdout.splitlines()[1]
    assert run_json("verify", path)["timestamp_regressions"] == 2


def test_verification_writes_nothing(filled: Path) -> None:
    filled.chmod(0o400)
    anchor = filled.with_name(filled.name + ".anchor")
    before = (filled.read_bytes(), filled.stat().st_mtime_ns, anchor.read_bytes(), anchor.stat().st_mtime_ns)
    run("verify", filled, "--deep")
    assert (filled.read_bytes(), filled.stat().st_mtime_ns, anchor.read_bytes(), anchor.stat().st_mtime_ns) == before


def test_stats(filled: Path) -> None:
    with open_file(filled) as ledger:
        expected = ledger.stats()
        recording = ledger.redact(entries_of(filled)[3].hash, "reason", ALICE)
    answer = run_json("stats", filled)
    assert answer["id"] == LEDGER_ID
    assert answer["head"] == {"seq": 30, "hash": recording.hash}
    assert (answer["entries"], answer["redacted"]) == (31, 1)
    assert answer["streams"] == {"even": 15, "odd": 15, "redactions": 1}
    assert answer["created_at"] == expected.created_at
    assert answer["first_timestamp"] == 1_700_000_000_000
    assert answer["database_bytes"] == filled.stat().st_size
    text = run("stats", filled).stdout
    for line in (f"id {LEDGER_ID}", "entries 31", "redacted 1", "stream even 15 entries", "stream redactions 1 entry"):
        assert line in [" ".join(shown.split()) for shown in text.splitlines()]
    assert recording.hash in text


def test_stats_of_an_empty_ledger(path: Path) -> None:
    open_file(path).close()
    assert run_json("stats", path)["head"] is None
    assert "entries          0" in run("stats", path).stdout


COMMANDS = [
    ["verify"],
    ["stats"],
    ["log"],
    ["query"],
    ["show", "--id", "r-1"],
    ["export"],
    ["backup", "copy.db"],
    ["redact", UNKNOWN_HASH, "--reason", "reason", "--yes"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_file_that_is_no_ledger(path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.chdir(path.parent)
    arguments = [command[0], str(path), *command[1:]]
    assert "ledger.db" in error_of(*arguments)
    assert json_error_of(*arguments)["message"]
    assert list(path.parent.iterdir()) == [], "a command that reads has created a file"
    path.write_bytes(b"no database at all" * 1_000)
    assert json_error_of(*arguments)["type"] == "DatabaseError"
    assert "ledger.db" in error_of(*arguments)
    path.write_bytes(b"")
    error_of(*arguments)
    assert path.read_bytes() == b""
    assert [file.name for file in path.parent.iterdir()] == ["ledger.db"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_directory_is_no_ledger(tmp_path: Path, command: list[str]) -> None:
    error_of(command[0], str(tmp_path), *command[1:])
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_opened_is_reported(filled: Path) -> None:
    """Where opening finds a fault already, the command still ends in a report or one line, never in a traceback."""
    anchor = filled.with_name(filled.name + ".anchor")
    anchor.write_bytes(anchor.read_bytes().replace(b'"seq":29', b'"seq":28'))
    result = run("verify", filled, exit_code=1)
    assert "head_mismatch" in result.stdout
    report = run_json("verify", filled, exit_code=1)
    assert report["counts"] == {"head_mismatch": 1}
