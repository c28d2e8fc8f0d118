"""Every file operation of a commit is made to fail in turn: what was reported is exactly what is in the file.

Acknowledged is present, failed is absent, in doubt is either, and all of that both in the running process and after the
next open.
"""

import errno
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.storage.faulty_writer import OPEN, READ, SYNC, TRUNCATE, WRITE, Fault, Outcome
from tests.storage.ledgers import ALICE, note, open_ledger, read_all

ROOT = Path(__file__).parents[2]
EVERYTHING = WRITE | SYNC | TRUNCATE
ALL_FILES = "*/ledger.db*"

FAULTS = {
    "one I/O error": Fault(EVERYTHING, ALL_FILES, errno.EIO),
    "I/O errors from there on": Fault(EVERYTHING, ALL_FILES, errno.EIO, sticky=True),
    "disk full once": Fault(WRITE, ALL_FILES, errno.ENOSPC),
    "disk full from there on": Fault(WRITE, ALL_FILES, errno.ENOSPC, sticky=True),
    "a short write to the log": Fault(WRITE, "*-wal", errno.ENOSPC, short=True),
    "a short write to the log and a full disk": Fault(WRITE, "*-wal", errno.ENOSPC, short=True, sticky=True),
    "one failed sync": Fault(SYNC, ALL_FILES, errno.EIO),
    "failed syncs from there on": Fault(SYNC, ALL_FILES, errno.EIO, sticky=True),
    "one failed sync of the log": Fault(SYNC, "*-wal", errno.EIO),
    "anchor that cannot be written": Fault(WRITE, "*.anchor", errno.EIO, sticky=True),
    "files dead from there on": Fault(EVERYTHING | READ | OPEN, ALL_FILES, errno.EIO, sticky=True, step=3),
    "one error while opening": Fault(EVERYTHING, ALL_FILES, errno.EIO, during="open"),
    "one read error while opening": Fault(READ, ALL_FILES, errno.EIO, during="open"),
    "one read error while appending": Fault(READ, ALL_FILES, errno.EIO),
    "disk full while opening": Fault(WRITE, ALL_FILES, errno.ENOSPC, sticky=True, during="open"),
    "one error while closing": Fault(EVERYTHING, ALL_FILES, errno.EIO, during="close"),
    "errors while closing": Fault(EVERYTHING, ALL_FILES, errno.EIO, sticky=True, during="close"),
    "a short write while closing": Fault(WRITE, "*/ledger.db", errno.ENOSPC, short=True, during="close"),
}


@pytest.fixture(scope="module")
def failing_io(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library."""
    library = tmp_path_factory.mktemp("failing_io") / "failing_io.so"
    source = Path(__file__).with_name("failing_io.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed ledger with some entries."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append_batch([note(number) for number in range(5)], context=ALICE)
    return path


def _accounts(template: Path, directory: Path, fault: Fault, failing_io: Path) -> list[Outcome]:
    """Let the program append with every k-th operation failing; return its accounts."""
    command = [
        sys.executable,
        "-m",
        "tests.storage.faulty_writer",
        str(template),
        str(directory),
        json.dumps(asdict(fault)),
    ]
    environment = os.environ | {"LD_PRELOAD": str(failing_io)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("name", FAULTS)
def test_report_is_what_happened(template: Path, tmp_path: Path, failing_io: Path, name: str) -> None:
    accounts = _accounts(template, tmp_path, FAULTS[name], failing_io)
    assert len(accounts) > 1, "nothing was made to fail"
    for account in accounts:
        _check(account, tmp_path / str(account["k"]) / "ledger.db")
    done = accounts[-1]
    assert all(outcome["outcome"] == "acknowledged" for outcome in [*done["appends"], *done["after"]])


def _check(account: Outcome, path: Path) -> None:
    assert "died" not in account, account
    with open_ledger(path) as ledger:
        assert ledger.verify(deep=True).valid
        stored = {entry.record.id: entry.hash for entry in read_all(ledger)}
    assert {f"r-{number}" for number in range(5)} <= set(stored), account
    for outcome in [*account["appends"], *account["after"]]:
        _check_outcome(outcome, stored, account)
    for record_id, answer in account["answers"].items():
        assert answer == "unknown" or (record_id in stored) == (answer == "present"), (record_id, account)
    assert account.get("close", {}).get("outcome") != "crashed", account


def _check_outcome(outcome: Outcome, stored: dict[str, str], account: Outcome) -> None:
    present = [record_id in stored for record_id in outcome["ids"]]
    assert all(present) or not any(present), ("a part of a batch", account)
    match outcome["outcome"]:
        case "acknowledged":
            assert [stored.get(record_id) for record_id in outcome["ids"]] == outcome["hashes"], account
        case "failed":
            assert not any(present), account
        case "in doubt":
            pass
        case other:
            raise AssertionError((other, account))


def test_doubt_is_reported_where_nothing_can_be_known(template: Path, tmp_path: Path, failing_io: Path) -> None:
    """With dead files the outcome of some commit cannot be found out: that third answer has to occur."""
    accounts = _accounts(template, tmp_path, FAULTS["files dead from there on"], failing_io)
    outcomes = {outcome["outcome"] for account in accounts for outcome in account["appends"]}
    assert outcomes == {"acknowledged", "failed", "in doubt"}


def test_one_error_does_not_end_the_ledger(template: Path, tmp_path: Path, failing_io: Path) -> None:
    """After an error that has passed, the same ledger appends again or says that it cannot; most often the former."""
    accounts = _accounts(template, tmp_path, FAULTS["disk full once"], failing_io)
    going_on = [all(outcome["outcome"] == "acknowledged" for outcome in account["after"]) for account in accounts]
    assert sum(going_on) > len(going_on) // 2
