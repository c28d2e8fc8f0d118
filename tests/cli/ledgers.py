"""Running commands, and ledgers to run them on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from nucleus import ChainEntry, Ledger, Record, RequestContext, create_ledger, sqlite_storage
from nucleus.cli import main

LEDGER_ID = "cli-tests"
ALICE = RequestContext.local("oid:onoal:user:alice")
UNKNOWN_HASH = "ab" * 32
TIMEOUT_S = 120


def run(*arguments: str | Path, stdin: str | bytes = "", exit_code: int = 0) -> Result:
    """Run a command in this process; it must end with the exit code."""
    result = CliRunner().invoke(
        main,
        [str(argument) for argument in arguments],
        input=stdin,
        env={"NUCLEUS_OID": "", "NUCLEUS_ADMINISTRATOR": ""},
    )
    assert result.exit_code == exit_code, (result.exit_code, result.output, result.exception)
    # A command ends by its exit code; any other exception would be a traceback.
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def run_json(*arguments: str | Path, stdin: str | bytes = "", exit_code: int = 0) -> Any:
    """Run a command with ``--json``; return the document it prints, which must be in ASCII."""
    result = run(*arguments, "--json", stdin=stdin, exit_code=exit_code)
    assert result.stdout.isascii()
    return json.loads(result.stdout)


def error_of(*arguments: str | Path, stdin: str | bytes = "") -> str:
    """Run a command that must be refused; return its one line on standard error."""
    result = run(*arguments, stdin=stdin, exit_code=1)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def json_error_of(*arguments: str | Path, stdin: str | bytes = "") -> dict[str, Any]:
    """Run a command with ``--json`` that must be refused; return the error it reports to programs."""
    result = run(*arguments, "--json", stdin=stdin, exit_code=1)
    assert result.stderr.startswith("error: ")
    assert result.stdout.isascii()
    document = json.loads(result.stdout)
    assert document.keys() == {"error"}
    assert document["error"].keys() >= {"type", "message"}
    return dict(document["error"])


def start(*arguments: str | Path, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a command as a process of its own, with its output in pipes unless told otherwise."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "nucleus", *map(str, arguments)], **(pipes | options)
    )


def open_file(path: Path) -> Ledger:
    """Open the ledger of these tests."""
    return create_ledger(LEDGER_ID, storage=sqlite_storage(path))


def entries_of(path: Path) -> list[ChainEntry]:
    """Return all entries of a ledger file."""
    with create_ledger(storage=sqlite_storage(path, read_only=True)) as ledger:
        return list(ledger.entries(ALICE))


def fill(path: Path, count: int) -> None:
    """Append records to a ledger: streams ``even`` and ``odd``, ids ``r-0`` to ``r-4`` in turn."""
    records = [
        Record(f"r-{n % 5}", "odd" if n % 2 else "even", {"n": n, "text": f"number {n}"}, 1_700_000_000_000 + n * 1_000)
        for n in range(count)
    ]
    with open_file(path) as ledger:
        ledger.append_batch(records, ALICE)


def change_byte(path: Path, before: bytes, after: bytes) -> None:
    """Change bytes that stand exactly once in a file."""
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


def json_lines(*documents: Any) -> str:
    """Return documents as JSON Lines."""
    return "".join(f"{json.dumps(document)}\n" for document in documents)


def record(n: int, **payload: Any) -> dict[str, Any]:
    """Return a record as ``nucleus append`` takes it."""
    return {"id": f"r-{n}", "stream": "notes", "payload": {"n": n} | payload}
