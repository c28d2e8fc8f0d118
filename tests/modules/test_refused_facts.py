"""What handles state as a fact, they refuse to whoever may not read it: alike whether there is a resource or not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nucleus import AccessDeniedError, Ledger, ModuleConfig, RequestContext, create_ledger
from nucleus.access import AccessConfig, AclGrant

ADMIN, ALICE, BOB, GOV, STRANGER, APP = (
    RequestContext.local(f"oid:onoal:user:{name}") for name in ("admin", "alice", "bob", "gov", "stranger", "app")
)
BUILT_IN = tuple(ModuleConfig(name, "1.0.0") for name in ("proof", "asset", "token", "connect"))

Fact = Callable[[Ledger, str, RequestContext], Any]

# Each is asked of the resource `x`, which exists, and of `nothing`, which does not.
FACTS: dict[str, tuple[str, Fact]] = {
    "balance": ("token", lambda ledger, named, who: ledger.modules.get("token").balance(named, ALICE.oid, who)),
    "supply": ("token", lambda ledger, named, who: ledger.modules.get("token").supply(named, who)),
    "holders": ("token", lambda ledger, named, who: list(ledger.modules.get("token").holders(named, context=who))),
    "token history": (
        "token",
        lambda ledger, named, who: list(ledger.modules.get("token").history(named, context=who)),
    ),
    "account history": (
        "token",
        lambda ledger, named, who: list(ledger.modules.get("token").history(named, account_oid=ALICE.oid, context=who)),
    ),
    "asset owner": ("asset", lambda ledger, named, who: ledger.modules.get("asset").owner(named, who)),
    "asset status": ("asset", lambda ledger, named, who: ledger.modules.get("asset").status(named, who)),
    "asset history": ("asset", lambda ledger, named, who: ledger.modules.get("asset").history(named, who)),
    "proof status": ("proof", lambda ledger, named, who: ledger.modules.get("proof").status(named, who)),
    "proof history": ("proof", lambda ledger, named, who: ledger.modules.get("proof").history(named, who)),
    "connect status": ("connect_grant", lambda ledger, named, who: ledger.modules.get("connect").status(named, who)),
    "connect history": ("connect_grant", lambda ledger, named, who: ledger.modules.get("connect").history(named, who)),
}


def fill(ledger: Ledger) -> None:
    modules = ledger.modules
    modules.get("token").create("x", issuer_oid=GOV.oid, context=GOV)
    modules.get("token").mint("x", to_oid=ALICE.oid, amount=100, context=GOV)
    modules.get("asset").register("x", owner_oid=GOV.oid, context=GOV)
    modules.get("proof").issue("x", subject_oid=GOV.oid, issuer_oid=GOV.oid, context=GOV)
    modules.get("connect").grant("x", subject_oid=GOV.oid, app_oid=APP.oid, scopes=["a"], context=GOV)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with create_ledger("facts", modules=BUILT_IN, access=AccessConfig(administrator=ADMIN.oid)) as opened:
        fill(opened)
        yield opened


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_is_refused_to_whoever_may_not_read_it(ledger: Ledger, name: str) -> None:
    kind, fact = FACTS[name]
    ledger.access.grant(AclGrant(kind, "x", BOB.oid, "write"), GOV)
    for who in (STRANGER, BOB):
        refusals = set()
        for named in ("x", "nothing"):
            with pytest.raises(AccessDeniedError) as refused:
                fact(ledger, named, who)
            refusals.add(str(refused.value).replace(f"`{named}`", "?"))
        assert len(refusals) == 1, "it is not told whether there is such a resource"


@pytest.mark.parametrize("name", FACTS)
def test_whoever_may_read_is_told(ledger: Ledger, name: str) -> None:
    kind, fact = FACTS[name]
    told = fact(ledger, "x", GOV)
    assert told not in (None, 0, [])
    ledger.access.grant(AclGrant(kind, "*", BOB.oid, "read"), ADMIN)
    for who in (ADMIN, BOB):
        assert fact(ledger, "x", who) == told
        assert fact(ledger, "nothing", who) in (None, 0, []), "who may read the whole kind is told that there is none"


def test_an_account_without_balance_is_a_fact_to_whoever_may_read(ledger: Ledger) -> None:
    tokens = ledger.modules.get("token")
    assert tokens.balance("x", STRANGER.oid, GOV) == 0
    assert list(tokens.history("x", account_oid=STRANGER.oid, context=GOV)) == []


@pytest.mark.parametrize("name", FACTS)
def test_without_access_control_everything_is_told(name: str) -> None:
    with create_ledger("facts", modules=BUILT_IN) as ledger:
        fill(ledger)
        _, fact = FACTS[name]
        assert fact(ledger, "x", STRANGER) not in (None, 0, [])
        assert fact(ledger, "nothing", STRANGER) in (None, 0, [])


def test_consent_is_denied_to_be_absent_only_to_those_it_is_about(ledger: Ledger) -> None:
    connect = ledger.modules.get("connect")

    def check(who: RequestContext, subject: RequestContext = GOV, scope: str = "a") -> bool:
        return connect.check(app_oid=APP.oid, subject_oid=subject.oid, scope=scope, context=who)

    assert [check(who) for who in (GOV, APP, ADMIN)] == [True, True, True]
    assert [check(who, scope="b") for who in (GOV, APP, ADMIN)] == [False, False, False]
    assert [check(who, BOB) for who in (BOB, APP, ADMIN)] == [False, False, False]
    for scope in ("a", "b"):
        with pytest.raises(AccessDeniedError):
            check(STRANGER, scope=scope)
    ledger.access.grant(AclGrant("connect_grant", "x", BOB.oid, "read"), GOV)
    assert check(BOB), "who may read the grant is told of it"
    with pytest.raises(AccessDeniedError):
        check(BOB, scope="b")


def test_what_is_listed_or_got_is_what_may_be_read(ledger: Ledger) -> None:
    for name in ("token", "asset", "proof", "connect"):
        handle: Any = ledger.modules.get(name)
        assert handle.get("x", STRANGER) is None
        assert handle.get("x", GOV) is not None
        if name != "token":
            assert list(handle.list(context=STRANGER)) == []
