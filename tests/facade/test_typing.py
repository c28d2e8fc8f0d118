"""What a type checker says of a user's file: a forgotten context is found before the program runs."""

import inspect
from pathlib import Path

import pytest
from mypy import api

from nucleus import AsyncLedger, Ledger, RequestContext
from nucleus.access import AsyncLedgerAccess, LedgerAccess, UnifiedAccessLayer
from nucleus.modules import Assets, ConnectGrants, Proofs, Tokens

HEAD = """
from nucleus import AsyncLedger, Ledger, QueryFilters, RequestContext, import_ledger
from nucleus.access import AclGrant, ResourceFilters, ResourcePredicate

def use(ledger: Ledger, who: RequestContext) -> None:
    access = ledger.access
    tokens, assets = ledger.modules.get("token"), ledger.modules.get("asset")
    proofs, connect = ledger.modules.get("proof"), ledger.modules.get("connect")
    note, grant = ResourcePredicate("notes", "n-1"), AclGrant("notes", "n-1", who.oid, "read")
"""
ASYNC_HEAD = """
async def use_async(ledger: AsyncLedger, who: RequestContext) -> None:
    access, note, grant = ledger.access, ResourcePredicate("notes", "n-1"), AclGrant("notes", "n-1", who.oid, "read")
"""
LEDGER = [
    "ledger.append({{}}{})",
    "ledger.append_batch([]{})",
    "ledger.get('0'{})",
    "ledger.get_by_id('n-1'{})",
    "ledger.history('n-1'{})",
    "ledger.query(QueryFilters(){})",
    "ledger.redact('0', 'why'{})",
    "ledger.export('file'{})",
    "ledger.import_entries([]{})",
]
ACCESS = [
    "access.grant(grant{})",
    "access.revoke(grant{})",
    "access.list(who.oid, ResourceFilters('notes'){})",
    "access.grants_of(who.oid{})",
    "access.grants_on(note{})",
    "access.history(note{})",
]
BY_NAME_ONLY = ["access.explain(who.oid, 'read', note{})"]
HANDLES_BY_NAME = [
    "tokens.create('P', issuer_oid=who.oid{})",
    "tokens.mint('P', to_oid=who.oid, amount=1{})",
    "tokens.burn('P', from_oid=who.oid, amount=1{})",
    "tokens.transfer('P', from_oid=who.oid, to_oid=who.oid, amount=1{})",
    "tokens.holders('P'{})",
    "tokens.history('P'{})",
    "assets.register('a', owner_oid=who.oid{})",
    "assets.transfer('a', to_oid=who.oid{})",
    "assets.update('a', payload={{}}{})",
    "assets.retire('a'{})",
    "assets.list(limit=1{})",
    "proofs.issue('p', subject_oid=who.oid, issuer_oid=who.oid{})",
    "proofs.revoke('p', reason='why'{})",
    "proofs.list(limit=1{})",
    "connect.grant('c', subject_oid=who.oid, app_oid=who.oid, scopes=['a']{})",
    "connect.revoke('c'{})",
    "connect.check(app_oid=who.oid, subject_oid=who.oid, scope='a'{})",
    "connect.list(limit=1{})",
]
HANDLES = [
    "tokens.get('P'{})",
    "tokens.supply('P'{})",
    "tokens.balance('P', who.oid{})",
    *(
        f"{handle}.{method}('x'{{}})"
        for handle in ("assets", "proofs", "connect")
        for method in ("get", "status", "history")
    ),
    "assets.owner('a'{})",
    "import_ledger('a', 'b'{})",
]
ITERATION = ["ledger.entries({})", "ledger.pages({})", "access.cleanup_expired({})", "access.rebuild({})"]


TAKERS: list[type] = [Ledger, LedgerAccess, Assets, ConnectGrants, Proofs, Tokens]
ASYNCHRONOUS: list[type] = [AsyncLedger, AsyncLedgerAccess]


def takes_context(of: type) -> dict[str, inspect.Parameter]:
    """Return the parameter of each public method that takes a context."""
    signatures = {
        name: inspect.signature(member)
        for name, member in vars(of).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    return {
        name: signature.parameters["context"]
        for name, signature in signatures.items()
        if "context" in signature.parameters
    }


@pytest.mark.parametrize("of", [*TAKERS, *ASYNCHRONOUS, UnifiedAccessLayer])
def test_every_context_is_required(of: type) -> None:
    takers = takes_context(of)
    assert takers
    for name, parameter in takers.items():
        assert parameter.annotation in (RequestContext, "RequestContext"), name
        assert parameter.default is inspect.Parameter.empty, name


def test_every_method_that_takes_a_context_is_tried() -> None:
    names = {Ledger: "ledger", LedgerAccess: "access", Assets: "assets", ConnectGrants: "connect"}
    calls = {
        call.partition("(")[0] for call in (*LEDGER, *ACCESS, *BY_NAME_ONLY, *HANDLES_BY_NAME, *HANDLES, *ITERATION)
    }
    for of in TAKERS:
        prefix = names.get(of, of.__name__.lower())
        assert {f"{prefix}.{name}" for name in takes_context(of)} <= calls
    assert takes_context(AsyncLedger).keys() == takes_context(Ledger).keys() - {"pages"}
    assert takes_context(AsyncLedgerAccess).keys() == takes_context(LedgerAccess).keys()


def complete(call: str, argument: str) -> str:
    """Fill in the last place of a call, which is that of its context."""
    before, _, after = call.rpartition("{}")
    return (before + argument + after).replace("{{}}", "{}")


def programs() -> tuple[list[str], list[str]]:
    """Return the lines that are right, and those in which a context is forgotten or may be None."""
    right, wrong = [], []
    for call in (*LEDGER, *ACCESS, *HANDLES):
        right += [complete(call, ", who"), complete(call, ", context=who")]
        wrong += [complete(call, ""), complete(call, ", None"), complete(call, ", context=None")]
    for call in (*BY_NAME_ONLY, *HANDLES_BY_NAME):
        right.append(complete(call, ", context=who"))
        wrong += [complete(call, ""), complete(call, ", context=None")]
    for call in ITERATION:
        right += [complete(call, "who"), complete(call, "context=who")]
        wrong += [complete(call, ""), complete(call, "None")]
    return right, wrong


def asynchronous(lines: list[str]) -> list[str]:
    names = ("ledger.", "access.")
    calls = [line for line in lines if line.startswith(names) and not line.startswith("ledger.pages")]
    return [line if line.startswith("ledger.entries") else f"await {line}" for line in calls]


def errors_of(tmp_path: Path, lines: list[str]) -> set[int]:
    """Return which of the lines a strict type checker refuses."""
    source = HEAD + "".join(f"    {line}\n" for line in lines)
    start = HEAD.count("\n") + 1
    further = asynchronous(lines)
    async_start = source.count("\n") + ASYNC_HEAD.count("\n") + 1
    source += ASYNC_HEAD + "".join(f"    {line}\n" for line in further)
    file = tmp_path / "user.py"
    file.write_text(source, encoding="utf-8")
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = true\n", encoding="utf-8")
    report, problems, _ = api.run([f"--config-file={config}", f"--cache-dir={tmp_path / 'cache'}", str(file)])
    assert not problems
    found = {int(line.split(":")[1]) for line in report.splitlines() if "user.py:" in line and ": error:" in line}
    known = {*range(start, start + len(lines)), *range(async_start, async_start + len(further))}
    assert found <= known, report
    positions = [*range(start, start + len(lines)), *range(async_start, async_start + len(further))]
    return {position for position, number in enumerate(positions) if number in found}


def test_a_forgotten_context_is_found(tmp_path: Path) -> None:
    right, wrong = programs()
    assert errors_of(tmp_path, right) == set()
    assert errors_of(tmp_path, wrong) == set(range(len(wrong) + len(asynchronous(wrong))))
