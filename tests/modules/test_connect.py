"""The module connect: what a subject allows an application."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.modules.conftest import ALICE, BOB, CAROL

from nucleus import ContextRequiredError, Ledger, Record, RecordRefusedError, RequestContext
from nucleus.modules import ConnectGrants

APP = RequestContext.local("oid:onoal:app:shuttle")


@pytest.fixture
def grants(ledger: Ledger) -> ConnectGrants:
    return ledger.modules.get("connect")


def grant(grants: ConnectGrants, id: str = "g-1", **changed: Any) -> None:
    grants.grant(
        id, **{"subject_oid": ALICE.oid, "app_oid": APP.oid, "scopes": ["read", "list"], "context": ALICE, **changed}
    )


def allowed(grants: ConnectGrants, scope: str, subject: RequestContext = ALICE) -> bool:
    return grants.check(app_oid=APP.oid, subject_oid=subject.oid, scope=scope, context=APP)


def test_granted_is_what_was_given(grants: ConnectGrants) -> None:
    exp = int(time.time()) + 1_000
    grant(grants, controller_oid=CAROL.oid, resource="r", policy={"v": 1}, lawful_basis="consent", exp=exp)
    found = grants.get("g-1", context=BOB)
    assert found is not None
    assert (found.status, found.scopes, found.exp) == ("active", ("read", "list"), exp)
    assert (found.controller_oid, found.resource, found.policy) == (CAROL.oid, "r", {"v": 1})
    assert found.lawful_basis == "consent"
    assert allowed(grants, "read")
    assert allowed(grants, "list")
    assert not allowed(grants, "write")
    assert not allowed(grants, "read", BOB)


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"subject_oid": "alice"}, "subject_oid"),
        ({"app_oid": ""}, "app_oid"),
        ({"scopes": []}, "scopes"),
        ({"scopes": [""]}, "scopes"),
        ({"scopes": ["a", "a"]}, "scopes"),
        ({"scopes": ["a", 1]}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"controller_oid": "x"}, "controller_oid"),
        ({"resource": ""}, "resource"),
        ({"policy": 1}, "policy"),
        ({"lawful_basis": {}}, "lawful_basis"),
        ({"exp": -1}, "exp"),
    ],
)
def test_what_is_out_of_bounds_is_refused(
    ledger: Ledger, grants: ConnectGrants, changed: dict[str, Any], where: str
) -> None:
    with pytest.raises(RecordRefusedError, match=rf"\$\.payload\.{where}"):
        grant(grants, **changed)
    assert len(ledger) == 0


def test_subject_and_app_revoke_and_nobody_else(grants: ConnectGrants) -> None:
    grant(grants)
    grant(grants, "g-2")
    with pytest.raises(RecordRefusedError, match="subject or the application"):
        grants.revoke("g-1", context=BOB)
    grants.revoke("g-1", reason="done", context=ALICE)
    assert allowed(grants, "read")
    grants.revoke("g-2", context=APP)
    assert not allowed(grants, "read")
    with pytest.raises(RecordRefusedError, match="revoked already"):
        grants.revoke("g-1", context=ALICE)
    with pytest.raises(RecordRefusedError, match="no grant"):
        grants.revoke("g-3", context=ALICE)
    found = grants.get("g-1", context=ALICE)
    assert found is not None
    assert (found.status, found.reason, found.scopes) == ("revoked", "done", ("read", "list"))


def test_an_expired_grant_counts_for_nothing(grants: ConnectGrants) -> None:
    grant(grants, exp=int(time.time()))
    assert grants.status("g-1", context=ALICE) == "expired"
    assert not allowed(grants, "read")
    grant(grants, "g-2", exp=int(time.time()) + 1_000)
    assert allowed(grants, "read")


def test_lists(grants: ConnectGrants) -> None:
    grant(grants)
    grant(grants, "g-2", subject_oid=BOB.oid, context=BOB)
    grant(grants, "g-3", app_oid="oid:onoal:app:other")
    grants.revoke("g-1", context=ALICE)

    def ids(**by: Any) -> list[str]:
        return [found.id for found in grants.list(context=CAROL, **by)]

    assert ids(subject_oid=ALICE.oid) == ["g-3", "g-1"]
    assert ids(app_oid=APP.oid) == ["g-2", "g-1"]
    assert ids(app_oid=APP.oid, status="active") == ["g-2"]
    assert ids(subject_oid=ALICE.oid, app_oid=APP.oid, status="revoked") == ["g-1"]


def test_a_plain_append_obeys_the_same_rules(ledger: Ledger, grants: ConnectGrants) -> None:
    grant(grants)
    payloads: list[Any] = [{}, [], {"action": "grant"}, {"action": "revoke", "scopes": ["all"]}, {"scopes": ["x"]}]
    for payload in payloads:
        with pytest.raises(RecordRefusedError):
            ledger.append(Record("g-1", "connect_grants", payload), context=ALICE)
    assert len(ledger) == 1


def test_state_is_the_same_after_reopening(reopen: Callable[[], Ledger]) -> None:
    grants = reopen().modules.get("connect")
    grant(grants)
    grants.revoke("g-1", context=APP)
    grant(grants, "g-2")
    before = [grants.get(name, context=ALICE) for name in ("g-1", "g-2")]
    grants = reopen().modules.get("connect")
    assert [grants.get(name, context=ALICE) for name in ("g-1", "g-2")] == before
    assert allowed(grants, "read")


def test_every_call_names_who_asks(grants: Any) -> None:
    # Any: a type checker finds what is forgotten here.
    for call in (
        lambda: grant(grants, context=None),
        lambda: grants.revoke("g-1"),
        lambda: grants.get("g-1"),
        lambda: grants.status("g-1"),
        lambda: grants.history("g-1"),
        lambda: grants.check(app_oid=APP.oid, subject_oid=ALICE.oid, scope="read"),
        grants.list,
    ):
        with pytest.raises(ContextRequiredError):
            call()
