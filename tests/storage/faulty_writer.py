"""Appends to ledgers while the k-th file operation fails, for every k. Run with ``failing_io.c`` preloaded.

``python -m tests.storage.faulty_writer TEMPLATE DIRECTORY FAULT``: FAULT is a JSON object, see :class:`Fault`. For
every k the template is copied to ``DIRECTORY/k`` and a child works on the copy; its account is one JSON line on
standard output. The last line is that of the first k that was never reached.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from tests.storage.ledgers import ALICE, copy_ledger, note, open_ledger

from nucleus import ChainEntry, CommitInDoubtError, Ledger, StorageError

CASE_TIMEOUT_S = 60.0
MOST_OPERATIONS = 400

# The kinds of file operations, as failing_io.c numbers them.
WRITE, SYNC, TRUNCATE, READ, OPEN = 1, 2, 4, 8, 16

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What is made to fail, where, how, and during which part of the work."""

    kinds: int
    paths: str
    errno: int
    sticky: bool = False
    short: bool = False
    during: Literal["open", "append", "close"] = "append"
    step: int = 1


class FailingIo:
    """The preloaded library."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)

    def arm(self, fault: Fault, k: int) -> None:
        """Let the k-th operation fail."""
        paths = fault.paths.encode()
        self._library.failing_io_arm(fault.kinds, paths, k, fault.sticky, fault.errno, fault.short)

    def disarm(self) -> int:
        """Let nothing fail any more; return how many operations failed."""
        return int(self._library.failing_io_disarm())


def attempt(ids: list[str], work: Callable[[], list[ChainEntry]]) -> Outcome:
    """Append and tell how it went."""
    try:
        entries = work()
    except StorageError as error:
        doubt = isinstance(error, CommitInDoubtError)
        return {"ids": ids, "outcome": "in doubt" if doubt else "failed", "error": repr(error)}
    except BaseException as error:
        # A panic is no Exception; it must not pass for an ordinary failure.
        return {"ids": ids, "outcome": "crashed", "error": repr(error)}
    return {"ids": ids, "outcome": "acknowledged", "hashes": [entry.hash for entry in entries]}


def append(ledger: Ledger, *numbers: int) -> Outcome:
    """Append one record, or several as a batch."""
    ids = [f"r-{number}" for number in numbers]
    records = [note(number, filler="x" * 600) for number in numbers]
    if len(records) == 1:
        return attempt(ids, lambda: [ledger.append(records[0], context=ALICE)])
    return attempt(ids, lambda: ledger.append_batch(records, context=ALICE))


def look_up(ledger: Ledger, ids: list[str]) -> dict[str, str]:
    """Tell what the ledger says about records whose append was not acknowledged."""
    answers = {}
    for record_id in ids:
        try:
            answers[record_id] = "absent" if ledger.get_by_id(record_id, context=ALICE) is None else "present"
        except StorageError:
            answers[record_id] = "unknown"
    return answers


def work(path: Path, fault: Fault, k: int) -> Outcome:
    """Open, append and close with the fault armed in one of the three; return the account."""
    io = FailingIo()
    account: Outcome = {"k": k, "appends": [], "answers": {}, "after": []}
    if fault.during == "open":
        io.arm(fault, k)
    try:
        ledger = open_ledger(path)
    except StorageError as error:
        return account | {"failures": io.disarm(), "open": repr(error)}
    if fault.during == "open":
        account["failures"] = io.disarm()
    if fault.during == "append":
        io.arm(fault, k)
    account["appends"] = [
        append(ledger, 100),
        append(ledger, 101),
        append(ledger, *range(102, 107)),
        append(ledger, 107),
    ]
    if fault.during == "append":
        account["failures"] = io.disarm()
    missing = [outcome["ids"] for outcome in account["appends"] if outcome["outcome"] != "acknowledged"]
    account["answers"] = look_up(ledger, list(chain.from_iterable(missing)))
    account["after"] = [append(ledger, 200), append(ledger, 201, 202)]
    if fault.during == "close":
        io.arm(fault, k)
    account["close"] = attempt([], lambda: ledger.close() or [])  # type: ignore[func-returns-value]
    if fault.during == "close":
        account["failures"] = io.disarm()
    return account


def run_case(template: Path, directory: Path, fault: Fault, k: int) -> Outcome:
    """Work on a copy of the template in a child of its own; return its account."""
    path = copy_ledger(template, directory)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(work(path, fault, k)).encode())
        os._exit(0)
    os.close(writer)
    deadline = time.monotonic() + CASE_TIMEOUT_S
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return {"k": k, "failures": 1, "died": "hangs"}
        time.sleep(0.001)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    if os.waitstatus_to_exitcode(status) != 0:
        return {"k": k, "failures": 1, "died": f"exit code {os.waitstatus_to_exitcode(status)}"}
    account: Outcome = json.loads(told)
    return account


def main(template: str, directory: str, fault_json: str) -> None:
    """Run the cases until a k is not reached."""
    fault = Fault(**json.loads(fault_json))
    for k in range(1, MOST_OPERATIONS, fault.step):
        account = run_case(Path(template), Path(directory) / str(k), fault, k)
        print(json.dumps(account), flush=True)
        if account["failures"] == 0:
            return
    raise SystemExit(f"after {MOST_OPERATIONS} operations the work was not done")


if __name__ == "__main__":
    main(*sys.argv[1:])
