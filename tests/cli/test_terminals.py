"""Real processes: terminals, pipes, exit codes, and what records could do to a terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from tests.cli.ledgers import ALICE, LEDGER_ID, TIMEOUT_S, entries_of, fill, open_file, run, run_json, start

from nucleus import NucleusError, Record
from nucleus.cli import main

HOSTILE = "\x1b[31m\x1b]0;title\x07\x9b2J\x7f\u202e\u2028\r\n\x00\t🏴\u200d"


@pytest.fixture
def hostile(path: Path) -> Path:
    """A ledger in which everything that a caller chooses is hostile to terminals."""
    with open_file(path) as ledger:
        records = [Record(f"id {HOSTILE}", f"stream {HOSTILE}", {f"key {HOSTILE}": HOSTILE}, meta={"m": HOSTILE})]
        ledger.append_batch([*records, Record("[bold]id[/bold]", ":smile:", {"x": "[red]"})], ALICE)
    return path


def _read_terminal(reader: int) -> bytes:
    """Return everything that is written to a terminal, which is read while the command runs: its buffer is small."""
    written = b""
    # An error is how Linux says that the other end is closed.
    with suppress(OSError):
        while chunk := os.read(reader, 65_536):
            written += chunk
    os.close(reader)
    return written


def _on_terminal(*arguments: str | Path, columns: int = 200, **options: Any) -> tuple[int, str]:
    """Run a command whose standard output is a terminal; return its exit code and what it wrote there."""
    reader, writer = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "LINES": "50", "TERM": "xterm"}
    process = start(*arguments, **({"stdout": writer, "env": environment} | options))
    os.close(writer)
    written = _read_terminal(reader)
    process.communicate(timeout=TIMEOUT_S)
    return process.returncode, written.decode().replace("\r\n", "\n")


def _assert_harmless(text: str) -> None:
    assert [char for char in text if char != "\n" and not char.isprintable()] == []


COMMANDS = [["log"], ["query"], ["show", "--seq", "0"], ["stats"], ["verify"], ["export"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_records_cannot_steer_a_terminal(hostile: Path, command: list[str]) -> None:
    exit_code, text = _on_terminal(command[0], hostile, *command[1:])
    assert exit_code == 0
    assert text
    _assert_harmless(text)


@pytest.mark.parametrize("command", [*COMMANDS[:5], ["show", "--seq", "0", "--json"], ["log", "--json"]])
def test_records_cannot_steer_a_terminal_through_a_pipe(hostile: Path, command: list[str]) -> None:
    _assert_harmless(run(command[0], hostile, *command[1:]).stdout)


def test_hostile_text_is_still_told(hostile: Path) -> None:
    text = run("log", hostile).stdout
    assert "\\x1b[31m" in text
    assert "[bold]id[/bold]" in text
    assert ":smile:" in text
    assert run_json("show", hostile, "--seq", "0")["record"]["payload"] == {f"key {HOSTILE}": HOSTILE}


def test_errors_about_hostile_text(hostile: Path) -> None:
    hostile.write_bytes(hostile.read_bytes().replace(b"[red]", b"[rad]").replace(b"title", b"tutle"))
    for exit_code, arguments in (
        (1, ("verify", hostile)),
        (1, ("log", hostile)),
        (1, ("show", hostile, "--id", HOSTILE)),
        (1, ("log", f"no{HOSTILE[:9]}")),
        (2, ("query", hostile, "--field", f"x={HOSTILE}")),
        (2, ("query", hostile, "--field", HOSTILE)),
        (2, ("query", hostile, "--since", HOSTILE)),
        (2, ("append", hostile, "--as", HOSTILE)),
    ):
        result = run(*arguments, exit_code=exit_code)
        _assert_harmless(result.stdout + result.stderr)
    bad = json.dumps({"id": HOSTILE, "stream": HOSTILE, "payload": {}, HOSTILE: 1})
    _assert_harmless(run("append", hostile, "--id", HOSTILE, stdin=bad, exit_code=1).stderr)


def test_export_to_a_terminal_says_the_same(hostile: Path, tmp_path: Path) -> None:
    _, text = _on_terminal("export", hostile)
    run("import", "-", tmp_path / "copy.db", stdin=text)
    assert entries_of(tmp_path / "copy.db") == entries_of(hostile)


@pytest.mark.parametrize("columns", [120, 160])
def test_one_line_for_each_entry_on_a_terminal(path: Path, columns: int) -> None:
    with open_file(path) as ledger:
        ledger.append_batch([Record(f"r-{n}", "notes", {"text": "漢字 text " * 40}) for n in range(5)], ALICE)
    _, text = _on_terminal("log", path, columns=columns)
    assert len(text.splitlines()) == 6
    assert all(len(line) <= columns for line in text.splitlines())
    assert all(line.endswith("…") for line in text.splitlines()[1:])
    assert "漢字 text " * 40 in run("log", path).stdout


def test_progress_is_for_terminals(path: Path, tmp_path: Path) -> None:
    fill(path, 5_000)
    shown_to, piped_to = tmp_path / "shown", tmp_path / "piped"
    commands: list[tuple[list[str | Path], list[str | Path]]] = [
        (["verify", path], ["verify", path]),
        (["export", path, "-o", shown_to], ["export", path, "-o", piped_to]),
        (["backup", path, shown_to.with_suffix(".db")], ["backup", path, piped_to.with_suffix(".db")]),
    ]
    for shown, piped in commands:
        reader, writer = pty.openpty()
        process = start(*shown, stderr=writer, stdout=subprocess.DEVNULL)
        os.close(writer)
        written = _read_terminal(reader)
        assert process.wait(TIMEOUT_S) == 0
        assert b"%" in written
        assert start(*piped).communicate(timeout=TIMEOUT_S)[1] == b""


@pytest.mark.parametrize("command", [["log"], ["export"], ["stats"], ["show", "--seq", "0"], ["log", "--json"]])
def test_reader_that_has_gone(path: Path, command: list[str]) -> None:
    fill(path, 3_000)
    reader, writer = os.pipe()
    os.close(reader)
    process = start(command[0], path, *command[1:], stdout=writer)
    os.close(writer)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert errors == b""
    assert process.returncode == 1


def test_exit_codes_of_processes(path: Path) -> None:
    fill(path, 10)
    for arguments, exit_code in (
        (["verify", path], 0),
        (["verify", path, "--expected-length", "9"], 1),
        (["verify", path.with_name("missing.db")], 1),
        (["verify"], 2),
        (["verify", path, "--unknown"], 2),
        (["unknown"], 2),
        (["--help"], 0),
        (["--version"], 0),
    ):
        with start(*arguments) as process:
            output, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == exit_code, (arguments, output, errors)
        assert b"Traceback" not in errors


def test_standard_input_of_a_process(path: Path) -> None:
    lines = b"".join(json.dumps({"id": "r", "stream": "s", "payload": {"n": n}}).encode() + b"\n" for n in range(2_500))
    with start("append", path, "--id", LEDGER_ID, stdin=subprocess.PIPE) as process:
        output, errors = process.communicate(lines, timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (0, b"")
    assert b"2,500 records" in output
    assert [entry.record.payload["n"] for entry in entries_of(path)] == list(range(2_500))


def _length(path: Path) -> int:
    """Return how many entries a ledger has that another process may just be creating."""
    try:
        return len(entries_of(path))
    except NucleusError:
        return 0


def test_batches_are_durable_while_input_still_comes(path: Path) -> None:
    """What is killed in the middle has kept the batches before, and nothing of the one it was reading."""
    with start("append", path, "--id", LEDGER_ID, "--batch-size", "10", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        line = json.dumps({"id": "r", "stream": "s", "payload": {}}).encode() + b"\n"
        process.stdin.write(line * 35)
        process.stdin.flush()
        deadline = time.monotonic() + TIMEOUT_S
        while _length(path) < 30:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT_S)
    assert len(entries_of(path)) == 30


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_terminal_without_unicode(path: Path, encoding: str) -> None:
    with open_file(path) as ledger:
        ledger.append(Record("é漢", "s", {"text": "é漢😀"}), ALICE)
    for command in ("log", "show", "stats"):
        arguments = ["--id", "é漢"] if command == "show" else []
        environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        with start(command, path, *arguments, env=environment) as process:
            _, errors = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, errors) == (0, b"")


def test_file_names_that_are_not_unicode(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/l\xff\x1b.db"
    with start("verify", os.fsdecode(name)) as process:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert output == b""
    assert errors.startswith(b"error: ")
    _assert_harmless(errors.decode())


def _commands(group: click.Group, *names: str) -> Iterator[list[str]]:
    """Yield the names of every command and group, those in groups behind the name of theirs."""
    for name, command in group.commands.items():
        yield [*names, name]
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)


def test_every_command_explains_itself() -> None:
    commands = list(_commands(main))
    assert ["access", "explain"] in commands
    for names in commands:
        text = run(*names, "--help").stdout
        assert text.startswith(f"Usage: main {' '.join(names)}")
        assert "--json" in text


def test_module_is_the_command(path: Path) -> None:
    fill(path, 3)
    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "nucleus", "verify", path, "--json"], capture_output=True, check=True
    ).stdout
    assert json.loads(output) == run_json("verify", path)
