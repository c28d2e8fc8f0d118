"""``nucleus grant``, ``revoke`` and ``access``."""

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.cli.ledgers import (
    LEDGER_ID,
    TIMEOUT_S,
    change_byte,
    entries_of,
    error_of,
    json_error_of,
    run,
    run_json,
    start,
)

from nucleus import ConfigError, Ledger, Module, ModuleConfig, Record, RequestContext, create_ledger, sqlite_storage
from nucleus.access import AccessConfig, LedgerAccess, ResourcePredicate
from nucleus.cli import main
from nucleus.cli.options import local_oid

FESTIVAL, ALICE, BOB, CAROL = (
    "oid:onoal:org:festival",
    "oid:onoal:user:alice",
    "oid:onoal:user:bob",
    "oid:onoal:user:carol",
)
ADMINISTRATOR = ("--administrator", FESTIVAL)
TICKET = ("--kind", "asset", "--id", "ticket-1")
YEAR_S = 365 * 86_400


class Orders(Module):
    """A module that gives the resources of its stream a kind of their own."""

    streams = ("orders",)
    resource_kind = "order"


ASSET = ModuleConfig("asset", "1.0.0")
ORDERS = ModuleConfig("orders", "1.0.0", implementation=Orders)


def service(path: Path, *modules: ModuleConfig, **options: Any) -> Ledger:
    """Open the ledger as the service that keeps it does."""
    return create_ledger(
        LEDGER_ID, storage=sqlite_storage(path), modules=modules, access=AccessConfig(FESTIVAL), **options
    )


def access_of(ledger: Ledger) -> LedgerAccess:
    """Return a ledger's access control, which is on."""
    return ledger.access


@pytest.fixture
def ledger(path: Path) -> Path:
    """A ledger with the asset module: seq 0 registers ticket-1 of alice's, seq 1 is a note of carol's."""
    with service(path, ASSET) as opened:
        tickets = opened.modules.get("asset")
        tickets.register("ticket-1", owner_oid=ALICE, payload={}, context=RequestContext.local(ALICE))
        opened.append(Record("n-1", "notes", {"n": 1}), RequestContext.local(CAROL))
    return path


def may(path: Path, principal: str, scope: Any, kind: str = "asset", id: str = "ticket-1") -> bool:
    """Ask the service, as an independent witness of what a command did."""
    with service(path, ASSET) as opened:
        return access_of(opened).check(principal, scope, ResourcePredicate(kind, id))


def grant(path: Path, principal: str, scope: str, *more: str, by: str = ALICE) -> Any:
    """Grant on ticket-1; return the entry."""
    arguments = ("--principal", principal, "--scope", scope, "--as", by, *ADMINISTRATOR, *more)
    (entry,) = run_json("grant", path, *TICKET, *arguments)["entries"]
    return entry


def revoke(path: Path, principal: str, scope: str, *more: str, by: str = ALICE) -> list[Any]:
    """Revoke on ticket-1; return the entries."""
    arguments = ("--principal", principal, "--scope", scope, "--as", by, *ADMINISTRATOR, *more)
    return list(run_json("revoke", path, *TICKET, *arguments)["entries"])


def explain(path: Path, principal: str, scope: str, *more: str, by: str = FESTIVAL) -> Any:
    """Explain access to ticket-1; the exit code must say the same as the answer."""
    arguments = (*TICKET, "--principal", principal, "--scope", scope, "--as", by, *ADMINISTRATOR, *more)
    result = CliRunner().invoke(main, ["access", "explain", str(path), *arguments, "--json"])
    answer = json.loads(result.stdout)
    assert result.exit_code == (0 if answer["allowed"] else 1)
    return answer


def lines_of(text: str) -> list[str]:
    """Return lines with their columns run together."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_grant_counts_for_the_service(ledger: Path) -> None:
    assert not may(ledger, BOB, "read")
    entry = grant(ledger, BOB, "read")
    assert entry["hash"] == entries_of(ledger)[-1].hash
    assert entry["record"]["stream"] == "acl_grants"
    assert entry["record"]["meta"]["requester_oid"] == ALICE
    assert may(ledger, BOB, "read")
    assert not may(ledger, BOB, "write")


def test_grant_and_revoke_for_people(ledger: Path) -> None:
    who = ("--principal", BOB, "--scope", "read", "--as", ALICE, *ADMINISTRATOR)
    granted = run("grant", ledger, *TICKET, *who, "--until", "2100-01-01T00:00:00Z").stdout
    entry = entries_of(ledger)[-1]
    assert granted == (
        f"granted `read` on asset `ticket-1` to {BOB} until 2100-01-01 00:00:00.000Z; "
        f"recorded at seq {entry.seq} with hash {entry.hash}\n"
    )
    revoked = run("revoke", ledger, *TICKET, *who).stdout
    entry = entries_of(ledger)[-1]
    assert (
        revoked
        == f"revoked `read` on asset `ticket-1` from {BOB}; recorded at seq {entry.seq} with hash {entry.hash}\n"
    )
    assert not may(ledger, BOB, "read")


def test_revoke_of_nothing_says_so_and_writes_nothing(ledger: Path) -> None:
    who = ("--principal", BOB, "--scope", "read", "--as", ALICE, *ADMINISTRATOR)
    before = entries_of(ledger)
    assert run("revoke", ledger, *TICKET, *who).stdout == (
        f"nothing to revoke: nothing gives {BOB} `read` on exactly asset `ticket-1`\n"
    )
    assert revoke(ledger, BOB, "read") == []
    assert entries_of(ledger) == before


def test_whole_kind_where_the_id_is_left_out(ledger: Path) -> None:
    arguments = ("--kind", "asset", "--principal", BOB, "--scope", "read", *ADMINISTRATOR)
    assert "asset `*`" in run("grant", ledger, *arguments, "--as", FESTIVAL).stdout
    assert may(ledger, BOB, "read", id="ticket-1")
    assert may(ledger, BOB, "read", id="ticket-2")
    # Exactly what is named is revoked: the grant on the kind is none on the ticket.
    assert revoke(ledger, BOB, "read") == []
    assert len(run_json("revoke", ledger, *arguments, "--as", FESTIVAL)["entries"]) == 1
    assert not may(ledger, BOB, "read")


def test_empty_id_is_not_the_whole_kind(ledger: Path) -> None:
    arguments = ("--kind", "asset", "--id", "", "--principal", BOB, "--scope", "full", *ADMINISTRATOR)
    for command in ("grant", "revoke"):
        assert json_error_of(command, ledger, *arguments, "--as", FESTIVAL)["type"] == "InvalidRecordError"
    assert not may(ledger, BOB, "read")


@pytest.mark.parametrize("command", ["grant", "revoke"])
def test_only_who_has_full_grants_and_revokes(ledger: Path, command: str) -> None:
    grant(ledger, BOB, "write")
    arguments = (command, ledger, *TICKET, "--principal", CAROL, "--scope", "read", "--as", BOB, *ADMINISTRATOR)
    before = entries_of(ledger)
    message = error_of(*arguments)
    assert BOB in message
    assert "it takes `full` there" in message
    assert json_error_of(*arguments)["type"] == "AccessDeniedError"
    assert entries_of(ledger) == before


def test_requester_is_the_login_unless_said(ledger: Path) -> None:
    arguments = ("grant", ledger, *TICKET, "--principal", BOB, "--scope", "read", *ADMINISTRATOR)
    assert local_oid() in error_of(*arguments)
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], env={"NUCLEUS_OID": ALICE})
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("until", "exp"),
    [
        ("4102444800", 4_102_444_800),
        ("2100-01-01T00:00:00Z", 4_102_444_800),
        ("2100-01-01T02:00:00+02:00", 4_102_444_800),
        ("2100-01-01T00:00:00.999Z", 4_102_444_800),
        ("21000101T000000Z", 4_102_444_800),
    ],
)
def test_end_of_a_grant(ledger: Path, until: str, exp: int) -> None:
    assert grant(ledger, BOB, "read", "--until", until)["record"]["payload"]["exp"] == exp


def test_grant_is_cut_to_the_time_of_its_granter(ledger: Path) -> None:
    until = int(time.time()) + YEAR_S
    grant(ledger, BOB, "full", "--until", str(until))
    assert grant(ledger, CAROL, "read", by=BOB)["record"]["payload"]["exp"] == until
    later = ("--until", str(until + YEAR_S))
    assert grant(ledger, CAROL, "read", *later, by=BOB)["record"]["payload"]["exp"] == until


def test_last_full_is_not_revoked_by_accident(ledger: Path) -> None:
    arguments = ("revoke", ledger, *TICKET, "--principal", ALICE, "--scope", "full", "--as", FESTIVAL, *ADMINISTRATOR)
    error = json_error_of(*arguments)
    assert error["type"] == "ConflictError"
    assert "allow_last_full" in error["message"]
    assert may(ledger, ALICE, "full")
    run(*arguments, "--allow-last-full")
    assert not may(ledger, ALICE, "full")


def test_explanation_for_people(ledger: Path) -> None:
    entry = grant(ledger, BOB, "read")
    arguments = ("access", "explain", ledger, *TICKET, "--principal", BOB, "--as", FESTIVAL, *ADMINISTRATOR)
    lines = lines_of(run(*arguments, "--scope", "read").stdout)
    assert lines[0] == "allowed yes"
    assert lines[1].startswith(f"reason {BOB} has `read` on asset `ticket-1`")
    assert f"entry {entry['hash']} at seq {entry['seq']}" in lines
    assert next(line for line in lines if line.startswith("granted ")).endswith(f"by {ALICE}")
    lines = lines_of(run(*arguments, "--scope", "full", exit_code=1).stdout)
    assert lines == ["allowed no", f"reason {BOB} has no grant of `full` on asset `ticket-1` in the chain"]


def test_explanation_for_programs(ledger: Path) -> None:
    entry = grant(ledger, BOB, "read")
    answer = explain(ledger, BOB, "read")
    assert answer["period"]["hash"] == entry["hash"]
    granted = answer["period"]["grant"]
    assert (granted["seq"], granted["granted_by"], granted["source"]) == (entry["seq"], ALICE, "grant")
    (ending,) = revoke(ledger, BOB, "read", by=FESTIVAL)
    answer = explain(ledger, BOB, "read")
    assert answer["allowed"] is False
    assert (answer["period"]["until_hash"], answer["period"]["ended_by"]) == (ending["hash"], FESTIVAL)
    text = run(
        "access",
        "explain",
        ledger,
        *TICKET,
        "--principal",
        BOB,
        "--scope",
        "read",
        "--as",
        BOB,
        *ADMINISTRATOR,
        exit_code=1,
    ).stdout
    assert f"ended by entry {ending['hash']} at seq {ending['seq']}" in lines_of(text)


def test_explanation_of_what_entries_imply(ledger: Path) -> None:
    answer = explain(ledger, ALICE, "write")
    assert answer["allowed"] is True
    assert answer["period"]["grant"]["source"] in {"creator", "owner"}
    assert answer["period"]["hash"] == entries_of(ledger)[0].hash
    answer = explain(ledger, FESTIVAL, "full")
    assert (answer["allowed"], answer["period"]) == (True, None)
    assert "administrator" in answer["reason"]


def test_explanation_of_then(ledger: Path) -> None:
    granted = grant(ledger, BOB, "read")
    (revoked,) = revoke(ledger, BOB, "read")
    periods = run_json("access", "history", ledger, *TICKET, "--as", FESTIVAL, *ADMINISTRATOR)["periods"]
    (period,) = [each for each in periods if each["grant"]["principal_oid"] == BOB]
    for seq in range(len(entries_of(ledger))):
        expected = granted["seq"] <= seq < revoked["seq"]
        assert explain(ledger, BOB, "read", "--at", str(seq))["allowed"] is expected
    begun = datetime.fromtimestamp(period["grant"]["created_at"] / 1000, UTC)
    ended = datetime.fromtimestamp(period["ended_at"] / 1000, UTC)
    zone = timezone(timedelta(hours=5, minutes=30))
    for moment, expected in (
        (begun - timedelta(milliseconds=1), False),
        (begun, begun < ended),
        (ended, False),
        (ended + timedelta(days=1), False),
    ):
        for at in (moment.isoformat(), moment.astimezone(zone).isoformat()):
            assert explain(ledger, BOB, "read", "--at", at)["allowed"] is expected
    arguments = (*TICKET, "--principal", BOB, "--scope", "read", "--as", BOB, *ADMINISTRATOR)
    lines = lines_of(run("access", "explain", ledger, *arguments, "--at", str(granted["seq"])).stdout)
    assert lines[:2] == ["allowed yes", f"as of seq {granted['seq']}"]


def test_explanation_of_a_time_that_a_grant_did_not_reach(ledger: Path) -> None:
    until = int(time.time()) + YEAR_S
    grant(ledger, BOB, "read", "--until", str(until))
    for moment_s, expected in ((until - 1, True), (until, False)):
        at = datetime.fromtimestamp(moment_s, UTC).isoformat()
        assert explain(ledger, BOB, "read", "--at", at)["allowed"] is expected


def test_entry_that_is_not_there(ledger: Path) -> None:
    arguments = (*TICKET, "--principal", BOB, "--scope", "read", "--as", FESTIVAL, *ADMINISTRATOR)
    error = json_error_of("access", "explain", ledger, *arguments, "--at", "99")
    assert error["type"] == "ConfigError"
    assert "no entry 99" in error["message"]


def test_an_entry_that_one_may_not_read_is_no_moment(ledger: Path) -> None:
    granted = grant(ledger, BOB, "read")
    assert explain(ledger, BOB, "read", "--at", str(granted["seq"]), by=BOB)["allowed"] is True
    asking = (*TICKET, "--principal", BOB, "--scope", "read", "--as", BOB, *ADMINISTRATOR)
    refusals = set()
    for seq in ("1", "3", "99"):
        error = json_error_of("access", "explain", ledger, *asking, "--at", seq)
        assert error["type"] == "ConfigError"
        refusals.add(error["message"].replace(f"seq {seq} ", "seq ? "))
    assert len(refusals) == 1, "of carol's note, bob is not told that it is there"


@pytest.mark.parametrize("stranger", [CAROL, "oid:local:user:nobody"])
def test_strangers_are_told_nothing(ledger: Path, stranger: str) -> None:
    asking = ("--as", stranger, *ADMINISTRATOR)
    for arguments in (
        ("explain", ledger, *TICKET, "--principal", ALICE, "--scope", "read"),
        ("history", ledger, *TICKET),
        ("list", ledger, *TICKET),
        ("list", ledger, "--kind", "asset"),
        ("list", ledger, "--principal", ALICE),
        ("rebuild", ledger),
    ):
        assert stranger in error_of("access", *arguments, *asking)
        assert json_error_of("access", *arguments, *asking)["type"] == "AccessDeniedError"
    assert explain(ledger, stranger, "read", by=stranger)["allowed"] is False


def test_history(ledger: Path) -> None:
    granted = grant(ledger, BOB, "read", "--until", "4102444800")
    (revoked,) = revoke(ledger, BOB, "read", by=FESTIVAL)
    asking = (*TICKET, "--as", ALICE, *ADMINISTRATOR)
    periods = run_json("access", "history", ledger, *asking)["periods"]
    assert [each["grant"]["principal_oid"] for each in periods] == [ALICE] * (len(periods) - 1) + [BOB]
    last = periods[-1]
    assert (last["hash"], last["until_hash"]) == (granted["hash"], revoked["hash"])
    assert (last["grant"]["granted_by"], last["ended_by"]) == (ALICE, FESTIVAL)
    text = run("access", "history", ledger, *asking).stdout
    assert text.splitlines()[-1] == f"{len(periods)} grants"
    block = lines_of(text.split("\n\n")[-2])
    assert f"principal {BOB}" in block
    assert "expires 2100-01-01 00:00:00.000Z" in block
    assert f"entry {granted['hash']} at seq {granted['seq']}" in block
    assert f"ended by entry {revoked['hash']} at seq {revoked['seq']}" in block


def test_history_of_nothing(ledger: Path) -> None:
    arguments = ("access", "history", ledger, "--kind", "asset", "--id", "none", "--as", FESTIVAL, *ADMINISTRATOR)
    assert run_json(*arguments) == {"periods": []}
    assert run(*arguments).stdout == "0 grants\n"


def test_list(ledger: Path) -> None:
    entry = grant(ledger, BOB, "read")
    asking = ("--as", FESTIVAL, *ADMINISTRATOR)
    (mine,) = run_json("access", "list", ledger, "--principal", BOB, "--as", BOB, *ADMINISTRATOR)["grants"]
    assert (mine["resource_kind"], mine["resource_id"], mine["seq"]) == ("asset", "ticket-1", entry["seq"])
    on_ticket = run_json("access", "list", ledger, *TICKET, *asking)["grants"]
    assert mine in on_ticket
    assert {each["principal_oid"] for each in on_ticket} == {ALICE, BOB}
    assert run_json("access", "list", ledger, "--kind", "asset", *asking) == {"grants": []}
    text = run("access", "list", ledger, "--principal", BOB, *asking).stdout
    assert text.splitlines()[-1] == "1 grant"
    assert "resource asset `ticket-1`" in lines_of(text)
    revoke(ledger, BOB, "read")
    assert run("access", "list", ledger, "--principal", BOB, *asking).stdout == "0 grants\n"


@pytest.mark.parametrize(
    "what",
    [[], ["--id", "ticket-1"], ["--principal", BOB, "--kind", "asset"], ["--principal", BOB, "--id", "ticket-1"]],
    ids=" ".join,
)
def test_list_of_one_thing(ledger: Path, what: list[str]) -> None:
    assert "--principal" in run("access", "list", ledger, *what, *ADMINISTRATOR, exit_code=2).stderr


def test_questions_write_nothing(ledger: Path) -> None:
    ledger.chmod(0o400)
    before = {file.name: file.read_bytes() for file in ledger.parent.iterdir()}
    explain(ledger, ALICE, "full")
    asking = ("--as", FESTIVAL, *ADMINISTRATOR)
    run("access", "history", ledger, *TICKET, *asking)
    run("access", "list", ledger, *TICKET, *asking)
    assert {file.name: file.read_bytes() for file in ledger.parent.iterdir()} == before


def test_grants_that_are_behind(ledger: Path) -> None:
    """What was appended without access control implies grants that a read-only opener cannot note, but can tell."""
    with create_ledger(storage=sqlite_storage(ledger)) as opened:
        opened.append(Record("n-2", "notes", {}), RequestContext.local(BOB))
    asking = ("--kind", "notes", "--id", "n-2", "--as", FESTIVAL, *ADMINISTRATOR)
    (period,) = run_json("access", "history", ledger, *asking)["periods"]
    assert (period["grant"]["principal_oid"], period["grant"]["source"]) == (BOB, "creator")
    error = json_error_of("access", "list", ledger, *asking)
    assert error["type"] == "ConfigError"
    assert "open it for writing with access control once" in error["message"]
    run("access", "rebuild", ledger, "--as", FESTIVAL, *ADMINISTRATOR)
    (listed,) = run_json("access", "list", ledger, *asking)["grants"]
    assert (listed["principal_oid"], listed["source"]) == (BOB, "creator")


def tamper(path: Path, statement: str) -> None:
    """Change the closed file with another program."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(statement).rowcount > 0
        database.commit()


ROW = "'asset', 'ticket-1', 'oid:onoal:user:carol', 'full', 'grant', 'oid:onoal:user:alice', NULL, 1, 1"


@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT INTO acl_grants VALUES ({ROW})",
        f"DELETE FROM acl_grants WHERE principal_oid = '{BOB}'",
        f"UPDATE acl_grants SET scope = 'full' WHERE principal_oid = '{BOB}'",
        f"UPDATE acl_grants SET exp = NULL WHERE principal_oid = '{BOB}'",
    ],
    ids=["another row", "missing row", "wider scope", "no end"],
)
def test_rebuild_after_tampering(ledger: Path, statement: str) -> None:
    grant(ledger, BOB, "read", "--until", "4102444800")
    asking = ("--as", FESTIVAL, *ADMINISTRATOR)
    listed = run_json("access", "list", ledger, *TICKET, *asking)
    tamper(ledger, statement)
    assert "grant_mismatch" in run_json("verify", ledger, exit_code=1)["counts"]
    error = json_error_of("access", "list", ledger, *TICKET, *asking)
    assert "grant_mismatch" in error["report"]["counts"]
    error_of("grant", ledger, *TICKET, "--principal", BOB, "--scope", "write", *asking)
    # Explanations come from the chain, so they are right all the same.
    assert explain(ledger, CAROL, "full", "--no-verify")["allowed"] is False
    assert explain(ledger, BOB, "read", "--no-verify")["allowed"] is True
    lines = run("access", "rebuild", ledger, *asking).stdout.splitlines()
    assert lines[0] == "the grants were made anew from the chain"
    assert lines[1].startswith("valid: 3 entries")
    assert run_json("verify", ledger)["valid"] is True
    assert run_json("access", "list", ledger, *TICKET, *asking) == listed


def test_rebuild_tells_what_else_is_wrong(ledger: Path) -> None:
    tamper(ledger, "INSERT INTO hash_index VALUES (1, 0)")
    asking = ("--as", FESTIVAL, *ADMINISTRATOR)
    assert "NOT VALID: 1 index_mismatch" in run("access", "rebuild", ledger, *asking, exit_code=1).stdout
    assert run_json("access", "rebuild", ledger, *asking, exit_code=1)["counts"] == {"index_mismatch": 1}


def test_grants_are_not_rebuilt_from_altered_entries(ledger: Path) -> None:
    change_byte(ledger, b'{"n":1}', b'{"n":2}')
    before = ledger.read_bytes()
    error = json_error_of("access", "rebuild", ledger, "--as", FESTIVAL, *ADMINISTRATOR)
    assert (error["type"], error["report"]["counts"]) == ("IntegrityError", {"hash_mismatch": 1})
    assert ledger.read_bytes() == before


def test_rebuild_for_programs(ledger: Path) -> None:
    report = run_json("access", "rebuild", ledger, "--as", FESTIVAL, *ADMINISTRATOR)
    assert (report["valid"], report["entries_checked"]) == (True, 2)


def test_kinds_come_from_the_file(path: Path) -> None:
    """A module written in Python gives its stream a kind; commands know it without running the module."""
    with service(path, ASSET, ORDERS) as opened:
        opened.append(Record("o-1", "orders", {}), RequestContext.local(ALICE))
    who = ("--principal", BOB, "--scope", "read", "--as", ALICE, *ADMINISTRATOR)
    assert "kind `order`" in error_of("grant", path, "--kind", "orders", "--id", "o-1", *who)
    run("grant", path, "--kind", "order", "--id", "o-1", *who)
    asking = ("--as", FESTIVAL, *ADMINISTRATOR)
    assert len(run_json("access", "history", path, "--kind", "order", "--id", "o-1", *asking)["periods"]) == 2
    error = json_error_of("access", "rebuild", path, *asking)
    assert "let the service that runs the modules rebuild them" in error["message"]
    with service(path, ASSET, ORDERS) as opened:
        assert access_of(opened).check(BOB, "read", ResourcePredicate("order", "o-1"))
        assert opened.verify().valid
    with pytest.raises(ConfigError, match="resource kinds"):
        service(path, ASSET)


def test_ledger_without_access_control_until_now(filled: Path) -> None:
    asking = ("--kind", "odd", "--id", "r-1", "--as", FESTIVAL, *ADMINISTRATOR)
    assert json_error_of("access", "list", filled, *asking)["type"] == "ConfigError"
    error = json_error_of("access", "rebuild", filled, "--as", FESTIVAL, *ADMINISTRATOR)
    assert "open it once from the service" in error["message"]
    create_ledger(storage=sqlite_storage(filled), access=AccessConfig(FESTIVAL)).close()
    run("access", "rebuild", filled, "--as", FESTIVAL, *ADMINISTRATOR)
    (period,) = run_json("access", "history", filled, *asking)["periods"]
    assert (period["grant"]["seq"], period["grant"]["source"]) == (1, "creator")


def test_service_that_is_running_obeys_at_once(ledger: Path) -> None:
    asking = (*TICKET, "--principal", BOB, "--scope", "read", "--as", ALICE, *ADMINISTRATOR)
    with service(ledger, ASSET) as opened:
        for command, expected in (("grant", True), ("revoke", False)):
            with start(command, ledger, *asking) as process:
                _, errors = process.communicate(timeout=TIMEOUT_S)
            assert process.returncode == 0, errors
            assert access_of(opened).check(BOB, "read", ResourcePredicate("asset", "ticket-1")) is expected


def test_transfer_moves_the_owners_access(ledger: Path) -> None:
    with service(ledger, ASSET) as opened:
        tickets = opened.modules.get("asset")
        moved = tickets.transfer("ticket-1", to_oid=BOB, context=RequestContext.local(ALICE))
    answer = explain(ledger, BOB, "full")
    assert (answer["allowed"], answer["period"]["grant"]["source"]) == (True, "owner")
    assert answer["period"]["hash"] == moved.hash
    answer = explain(ledger, ALICE, "full")
    assert (answer["allowed"], answer["period"]["until_hash"]) == (False, moved.hash)


COMMANDS: list[list[str]] = [
    ["grant", *TICKET, "--principal", BOB, "--scope", "read"],
    ["revoke", *TICKET, "--principal", BOB, "--scope", "read"],
    ["access explain", *TICKET, "--principal", BOB, "--scope", "read"],
    ["access history", *TICKET],
    ["access list", *TICKET],
    ["access rebuild"],
]


def of(command: list[str], path: Path) -> list[str | Path]:
    """Return the arguments of a command on a file."""
    return [*command[0].split(), path, *command[1:]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_administrator_must_be_named(ledger: Path, command: list[str]) -> None:
    assert "NUCLEUS_ADMINISTRATOR" in run(*of(command, ledger), exit_code=2).stderr
    environment = {"NUCLEUS_ADMINISTRATOR": FESTIVAL, "NUCLEUS_OID": FESTIVAL}
    result = CliRunner().invoke(main, [*map(str, of(command, ledger)), "--json"], env=environment)
    assert "error" not in json.loads(result.stdout)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_file_that_is_no_ledger(path: Path, command: list[str]) -> None:
    arguments = (*of(command, path), "--as", FESTIVAL, *ADMINISTRATOR)
    assert "ledger.db" in error_of(*arguments)
    assert list(path.parent.iterdir()) == [], "a command has created a file"
    path.write_bytes(b"no database at all" * 1_000)
    assert json_error_of(*arguments)["type"] == "DatabaseError"


OID_OPTIONS = ["--administrator", "--as", "--principal"]


@pytest.mark.parametrize("option", OID_OPTIONS)
@pytest.mark.parametrize("oid", ["bob", "", "oid:onoal:user:", "oid:onoal:user:a\x1bb"], ids=ascii)
def test_malformed_oid(ledger: Path, option: str, oid: str) -> None:
    before = entries_of(ledger)
    named = {"--administrator": FESTIVAL, "--as": ALICE, "--principal": BOB} | {option: oid}
    arguments = [text for pair in named.items() for text in pair]
    for command in (["grant"], ["revoke"], ["access", "explain"]):
        result = run(*command, ledger, *TICKET, "--scope", "read", *arguments, exit_code=2)
        assert option in result.stderr
        assert "\x1b" not in result.stderr
    assert entries_of(ledger) == before


@pytest.mark.parametrize("scope", ["all", "READ", ""])
def test_scope_that_is_none(ledger: Path, scope: str) -> None:
    for command in (["grant"], ["revoke"], ["access", "explain"]):
        arguments = (*TICKET, "--principal", BOB, "--scope", scope, *ADMINISTRATOR)
        assert "'full'" in run(*command, ledger, *arguments, exit_code=2).stderr


@pytest.mark.parametrize(
    "moment", ["tomorrow", "", "-1", "1e9", "2026-11-20", "2026-11-20T08:30:00", "9" * 19, "\x1b"], ids=ascii
)
def test_malformed_times(ledger: Path, moment: str) -> None:
    arguments = (*TICKET, "--principal", BOB, "--scope", "read", "--as", FESTIVAL, *ADMINISTRATOR)
    for command, option in ((["grant"], "--until"), (["access", "explain"], "--at")):
        stderr = run(*command, ledger, *arguments, option, moment, exit_code=2).stderr
        assert option in stderr
        assert "2026-11-20T08:30:00Z" in stderr
        assert "\x1b" not in stderr


@pytest.mark.parametrize("until", ["0", "9" * 18, "1969-12-31T23:59:59Z"])
def test_end_out_of_bounds(ledger: Path, until: str) -> None:
    arguments = (*TICKET, "--principal", BOB, "--scope", "read", "--as", ALICE, *ADMINISTRATOR)
    error = json_error_of("grant", ledger, *arguments, "--until", until)
    assert (error["type"], error["path"]) == ("InvalidRecordError", "$[0].exp")


@pytest.mark.parametrize("command", ["grant", "revoke", "access explain", "access history"])
def test_kind_must_be_named(ledger: Path, command: str) -> None:
    assert "--kind" in run(*command.split(), ledger, "--id", "ticket-1", *ADMINISTRATOR, exit_code=2).stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_help(command: list[str]) -> None:
    text = run(*command[0].split(), "--help").stdout
    assert text.startswith(f"Usage: main {command[0]}")
    for option in ("--json", "--as", "--administrator", "NUCLEUS_ADMINISTRATOR"):
        assert option in text


def test_help_says_what_the_exit_code_means() -> None:
    text = " ".join(run("access", "explain", "--help").stdout.split())
    assert "exit code is 0 when they may, 1 when they may not" in text


def test_hostile_ids_cannot_steer_a_terminal(ledger: Path) -> None:
    hostile = "\x1b]0;title\x07\u202e"
    who = ("--kind", "notes", "--id", hostile, "--principal", BOB, "--as", FESTIVAL, *ADMINISTRATOR)
    outputs = [
        run("grant", ledger, *who, "--scope", "read").stdout,
        run("access", "explain", ledger, *who, "--scope", "read").stdout,
        run("access", "history", ledger, *who[:4], *who[6:]).stdout,
        run("access", "list", ledger, *who[:4], *who[6:]).stdout,
        run("revoke", ledger, *who, "--scope", "write").stdout,
        run("revoke", ledger, *who, "--scope", "read").stdout,
    ]
    assert [char for text in outputs for char in text if char != "\n" and not char.isprintable()] == []
    assert all("\\x1b]0;title" in text for text in outputs)


def test_exit_codes_of_processes(ledger: Path) -> None:
    asking = (*TICKET, "--principal", BOB, "--scope", "read", "--as", ALICE, *ADMINISTRATOR)
    commands: list[tuple[list[str | Path], int]] = [
        (["access", "explain", ledger, *asking], 1),
        (["grant", ledger, *asking], 0),
        (["access", "explain", ledger, *asking], 0),
        (["revoke", ledger, *asking], 0),
        (["access", "explain", ledger, *asking], 1),
        (["access", "explain", ledger], 2),
    ]
    for arguments, exit_code in commands:
        with start(*arguments) as process:
            output, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == exit_code, (arguments, output, errors)
        assert b"Traceback" not in errors
