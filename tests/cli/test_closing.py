"""A command tells what it did once its ledger is closed; a closing that fails is its one answer."""

from pathlib import Path

import pytest
from tests.cli.ledgers import ALICE, error_of, json_error_of, run, run_json

from nucleus import DatabaseError, Ledger, create_ledger, sqlite_storage
from nucleus.access import AccessConfig

BOB = "oid:onoal:user:bob"
ADMINISTRATOR = ("--administrator", ALICE.oid, "--as", ALICE.oid)
COMMANDS: dict[str, tuple[str, ...]] = {
    "append": ("append", "{path}", "--as", ALICE.oid),
    "log": ("log", "{path}", "--as", ALICE.oid),
    "query": ("query", "{path}", "--as", ALICE.oid),
    "show": ("show", "{path}", "--seq", "1", "--as", ALICE.oid),
    "stats": ("stats", "{path}"),
    "verify": ("verify", "{path}"),
    "grant": ("grant", "{path}", "--kind", "even", "--principal", BOB, "--scope", "read", *ADMINISTRATOR),
    "access list": ("access", "list", "{path}", "--principal", BOB, *ADMINISTRATOR),
}
RECORD = '{"id": "r", "stream": "s", "payload": {}}'


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_told_before_a_closing_that_fails(filled: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if "--administrator" in COMMANDS[name]:
        create_ledger(storage=sqlite_storage(filled), access=AccessConfig(ALICE.oid)).close()
    command = [part.format(path=filled) for part in COMMANDS[name]]
    run(*command, stdin=RECORD)
    assert "error" not in run_json(*command, stdin=RECORD)
    close = Ledger.close

    def fail(ledger: Ledger) -> None:
        close(ledger)
        raise DatabaseError("the disk is gone")

    monkeypatch.setattr(Ledger, "close", fail)
    assert error_of(*command, stdin=RECORD).startswith("error: the disk is gone")
    assert json_error_of(*command, stdin=RECORD)["type"] == "DatabaseError"
