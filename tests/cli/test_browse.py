"""``nucleus log``, ``show`` and ``query``."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.ledgers import (
    ALICE,
    LEDGER_ID,
    UNKNOWN_HASH,
    entries_of,
    error_of,
    json_error_of,
    open_file,
    run,
    run_json,
)

from nucleus import ChainEntry, Record


def _documents(entries: list[ChainEntry]) -> list[Any]:
    return [json.loads(entry.to_json()) for entry in entries]


def _seqs(answer: Any) -> list[int]:
    return [entry["seq"] for entry in answer["entries"]]


def test_log_for_programs(filled: Path) -> None:
    entries = entries_of(filled)
    answer = run_json("log", filled)
    assert answer["entries"] == _documents(entries[::-1][:20])
    assert (answer["has_more"], bool(answer["next_cursor"])) == (True, True)
    assert _seqs(run_json("log", filled, "-n", "3")) == [29, 28, 27]
    assert _seqs(run_json("log", filled, "--reverse", "--limit", "2")) == [0, 1]
    assert _seqs(run_json("log", filled, "--stream", "odd", "-n", "2")) == [29, 27]
    everything = run_json("log", filled, "-n", "10000")
    assert (len(everything["entries"]), everything["has_more"], everything["next_cursor"]) == (30, False, None)


def test_log_for_people(filled: Path) -> None:
    heading, first, *_ = lines = run("log", filled, "-n", "5").stdout.splitlines()
    assert heading.split() == ["seq", "time", "stream", "id", "requester", "payload"]
    assert len(lines) == 6
    assert first.split()[0] == "29"
    assert "2023-11-14 22:13:49.000Z" in first
    assert ALICE.oid in first
    assert '"text": "number 29"' in first
    assert [line.rstrip() for line in lines] == lines


@pytest.mark.parametrize("limit", ["0", "10001", "x"])
def test_limit_out_of_bounds(filled: Path, limit: str) -> None:
    run("log", filled, "-n", limit, exit_code=2)


def test_show(filled: Path) -> None:
    entries = entries_of(filled)
    for entry in (entries[0], entries[29]):
        assert run_json("show", filled, entry.hash) == json.loads(entry.to_json())
        assert run_json("show", filled, "--seq", str(entry.seq)) == json.loads(entry.to_json())
    assert run_json("show", filled, "--id", "r-3")["seq"] == 28
    assert _seqs(run_json("show", filled, "--id", "r-3", "--history")) == [3, 8, 13, 18, 23, 28]


def test_show_for_people(filled: Path) -> None:
    entry = entries_of(filled)[7]
    text = run("show", filled, entry.hash).stdout
    shown = [entry.hash, entry.prev_hash, entry.payload_hash, (entry.salt or b"").hex(), "odd", "r-2", ALICE.oid]
    for value in (*shown, "1700000007000 (2023-11-14 22:13:27.000Z)", '    "text": "number 7"'):
        assert value is not None
        assert value in text
    assert run("show", filled, "--id", "r-2", "--history").stdout.count("payload_hash") == 6


def test_show_a_record_id_that_looks_like_a_hash(path: Path) -> None:
    with open_file(path) as ledger:
        ledger.append(Record(UNKNOWN_HASH, "notes", {"n": 1}), ALICE)
    assert run_json("show", path, "--id", UNKNOWN_HASH)["record"]["id"] == UNKNOWN_HASH
    assert "no entry" in error_of("show", path, UNKNOWN_HASH)


@pytest.mark.parametrize(
    "what", [(UNKNOWN_HASH,), ("--id", "unknown"), ("--seq", "30"), ("--id", "unknown", "--history")]
)
def test_show_what_is_not_there(filled: Path, what: tuple[str, ...]) -> None:
    assert "no entry" in error_of("show", filled, *what)
    assert json_error_of("show", filled, *what)["type"] == "NotFound"


@pytest.mark.parametrize(
    "what",
    [
        (),
        ("r-1",),
        (UNKNOWN_HASH.upper(),),
        (UNKNOWN_HASH, "--seq", "1"),
        (UNKNOWN_HASH, "--id", "r-1"),
        (UNKNOWN_HASH, "--history"),
        ("--id", "r-1", "--seq", "1"),
        ("--history",),
        ("--seq", "1", "--history"),
        ("--seq", "-1"),
    ],
)
def test_show_without_saying_what(filled: Path, what: tuple[str, ...]) -> None:
    run("show", filled, *what, exit_code=2)


QUERIES: list[tuple[list[str], list[int]]] = [
    (["--stream", "odd"], list(range(1, 30, 2))),
    (["--id", "r-4"], [4, 9, 14, 19, 24, 29]),
    (["--stream", "even", "--id", "r-4"], [4, 14, 24]),
    (["--since", "1700000025000"], [25, 26, 27, 28, 29]),
    (["--until", "1700000003000"], [0, 1, 2]),
    (["--since", "2023-11-14T22:13:45Z"], [25, 26, 27, 28, 29]),
    (["--since", "2023-11-14T23:13:45+01:00"], [25, 26, 27, 28, 29]),
    (["--since", "2023-11-14 22:13:45"], [25, 26, 27, 28, 29]),
    (["--until", "2023-11-14T22:13:20.001"], [0]),
    (["--since", "2023-11-15"], []),
    (["--field", "n=7"], [7]),
    (["--field", "n=7.0"], [7]),
    (["--field", 'n="7"'], []),
    (["--field", 'n="seven"'], []),
    (["--field", 'text="number 7"'], [7]),
    (["--field", "n=7", "--field", 'text="number 7"'], [7]),
    (["--field", "n=7", "--field", 'text="number 8"'], []),
    (["--field", "absent=null"], []),
    (["--order", "desc", "--id", "r-0"], [25, 20, 15, 10, 5, 0]),
    (["--offset", "28"], [28, 29]),
    (["--limit", "2"], [0, 1]),
]


@pytest.mark.parametrize(("options", "seqs"), QUERIES, ids=lambda value: " ".join(map(str, value)))
def test_query(filled: Path, options: list[str], seqs: list[int]) -> None:
    assert _seqs(run_json("query", filled, *options)) == seqs
    people = run("query", filled, *options).stdout.splitlines()
    assert [int(line.split()[0]) for line in people[1:]] == seqs


@pytest.mark.parametrize("value", ["NaN", "{", "x=y", "", "paid", "9007199254740993", "-Infinity", '{"a":1,"a":1}'])
def test_field_that_is_no_json(filled: Path, value: str) -> None:
    result = run("query", filled, "--field", f"x={value}", exit_code=2)
    assert "not JSON" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("value", ["true", "1", "null", "[]", '{"a":1}', '"1"', "false", "0", "1.5"])
def test_field_with_json(path: Path, value: str) -> None:
    values: list[Any] = [True, 1, None, [], {"a": 1}, "1", False, 0, 1.5, "true", "null"]
    with open_file(path) as ledger:
        ledger.append_batch([Record("a", "s", {"x": each}) for each in values], ALICE)
    (seq,) = _seqs(run_json("query", path, "--field", f"x={value}"))
    assert json.dumps(values[seq]) == json.dumps(json.loads(value))


def test_pages(filled: Path) -> None:
    found: list[int] = []
    cursor: list[str] = []
    while True:
        answer = run_json("query", filled, "--limit", "7", "--stream", "odd", *cursor)
        found += _seqs(answer)
        if not answer["has_more"]:
            break
        cursor = ["--cursor", answer["next_cursor"]]
    assert found == list(range(1, 30, 2))
    result = run("query", filled, "--limit", "7")
    cursor = result.stderr.split()[-2:]
    assert _seqs(run_json("query", filled, "--limit", "2", *cursor)) == [7, 8]


def test_total(filled: Path) -> None:
    answer = run_json("query", filled, "--total", "--stream", "odd", "--limit", "2")
    assert (answer["total"], len(answer["entries"])) == (15, 2)
    assert "total" not in run_json("query", filled)
    assert "matching: 15 entries" in run("query", filled, "--total", "--stream", "odd").stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "yesterday"],
        ["--since", "12345678901234567"],
        ["--until", "2023-13-01"],
        ["--field", "n"],
        ["--field", "n=1", "--field", "n=2"],
        ["--order", "up"],
        ["--offset", "-1"],
        ["--limit", "0"],
        ["--unknown"],
    ],
    ids=" ".join,
)
def test_query_that_cannot_be_read(filled: Path, options: list[str]) -> None:
    result = run("query", filled, *options, exit_code=2)
    assert options[0] in result.stderr


def test_cursor_of_no_query(filled: Path) -> None:
    assert "cursor" in error_of("query", filled, "--cursor", "nonsense")


def test_timestamp_beyond_the_calendar(path: Path) -> None:
    with open_file(path) as ledger:
        ledger.append(Record("r", "s", {}, 2**53 - 1), ALICE)
    assert f"{2**53 - 1} ms" in run("log", path).stdout
    assert f"{2**53 - 1} ms" in run("show", path, "--id", "r").stdout


def test_redacted_entry(filled: Path) -> None:
    with open_file(filled) as ledger:
        ledger.redact(entries_of(filled)[7].hash, "reason", ALICE)
    assert "(redacted)" in run("query", filled, "--id", "r-2").stdout
    assert "(redacted)" in run("show", filled, "--seq", "7").stdout
    document = run_json("show", filled, "--seq", "7")
    assert (document["redacted"], document["salt"], document["record"]["payload"]) == (True, None, None)


def test_tampered_ledger_can_be_looked_at_on_demand(filled: Path) -> None:
    filled.write_bytes(filled.read_bytes().replace(b"number 17", b"number 71"))
    for command in (["log"], ["query"], ["show", "--id", "r-2"], ["stats"]):
        command.insert(1, str(filled))
        error = json_error_of(*command)
        assert error["type"] == "IntegrityError"
        assert [fault["seq"] for fault in error["report"]["errors"]] == [17]
    assert _seqs(run_json("log", filled, "--no-verify", "-n", "11")) == list(range(29, 18, -1))
    assert _seqs(run_json("query", filled, "--no-verify", "-n", "16")) == list(range(16))
    assert run_json("show", filled, "--seq", "16", "--no-verify")["seq"] == 16
    assert run_json("stats", filled, "--no-verify")["entries"] == 30


def test_tampered_entry_is_never_shown(filled: Path) -> None:
    """What its hash does not vouch for is not passed off as an entry, whatever was verified before."""
    filled.write_bytes(filled.read_bytes().replace(b"number 17", b"number 71"))
    for command in (["log"], ["query", "-n", "18"], ["show", "--seq", "17"]):
        error = json_error_of(command[0], filled, *command[1:], "--no-verify")
        assert error["type"] == "IntegrityError"
        assert [fault["seq"] for fault in error["report"]["errors"]] == [17]


def test_restored_copy_can_be_looked_at_on_demand(filled: Path) -> None:
    older = filled.read_bytes()
    with open_file(filled) as ledger:
        ledger.append(Record("r", "s", {}), ALICE)
    anchor = filled.with_name(filled.name + ".anchor")
    anchored = anchor.read_bytes()
    filled.write_bytes(older)
    for command in (["log"], ["query"], ["show", "--id", "r-2"], ["stats"]):
        command.insert(1, str(filled))
        error_of(*command)
        run(*command, "--accept-rollback")
    assert anchor.read_bytes() == anchored, "a command that reads has rewritten the anchor"


def test_ledger_is_known_by_its_file(filled: Path) -> None:
    assert run_json("stats", filled)["id"] == LEDGER_ID
