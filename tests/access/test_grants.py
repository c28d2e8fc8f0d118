"""Granting, revoking and asking, rule by rule."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from tests.access.conftest import (
    ADMIN,
    ALICE,
    APP,
    BOB,
    CAROL,
    ISSUER,
    STRANGER,
    UPPER_ALICE,
    access_of,
    open_ledger,
)
from tests.access.notes import NOTE, NOTES, SCOPES, may, note, to
from tests.conftest import on_one_storage

from nucleus import (
    AccessDeniedError,
    ChainEntry,
    ConfigError,
    ConflictError,
    ContextRequiredError,
    InvalidRecordError,
    Ledger,
    NucleusError,
    QueryFilters,
    Record,
    RequestContext,
    create_ledger,
    sqlite_storage,
)
from nucleus.access import AccessConfig, AclGrant, ResourceFilters, ResourcePredicate, Scope, UnifiedAccessLayer

LATEST_EXP = 253_402_300_799  # the last second of the year 9999


def wait_for_second(second: int) -> None:
    while time.time() < second:
        time.sleep(0.02)


def soon() -> int:
    """A second that has not come, and will."""
    return int(time.time()) + 2


def acl_payloads(ledger: Ledger) -> list[dict[str, Any]]:
    return [entry.record.payload for entry in ledger.query(QueryFilters(stream="acl_grants"), ADMIN).entries]


# Scopes.


@pytest.mark.parametrize(
    ("scope", "allowed"), [("read", {"read"}), ("write", {"write"}), ("full", {"read", "write", "full"})]
)
def test_full_implies_both_others_which_imply_only_themselves(ledger: Ledger, scope: Scope, allowed: set[str]) -> None:
    ledger.append(note(), ALICE)
    access_of(ledger).grant(to(BOB, scope), ALICE)
    assert may(ledger, BOB) == allowed


def test_several_scopes_of_one_principal_stand_side_by_side(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant([to(BOB, "read"), to(BOB, "write", exp=LATEST_EXP)], ALICE)
    assert may(ledger, BOB) == {"read", "write"}
    assert [(grant.scope, grant.exp) for grant in access.grants_of(BOB.oid, context=ADMIN)] == [
        ("read", None),
        ("write", LATEST_EXP),
    ]
    access.revoke(to(BOB, "read"), ALICE)
    assert may(ledger, BOB) == {"write"}


def test_revoking_full_leaves_read(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant([to(BOB, "read"), to(BOB, "full")], ALICE)
    access.revoke(to(BOB, "full"), ALICE)
    assert may(ledger, BOB) == {"read"}


def test_a_grant_holds_for_its_resource_alone(ledger: Ledger) -> None:
    ledger.append_batch([note(), note("n-2"), Record("n-1", "lists", {})], ALICE)
    access_of(ledger).grant(to(BOB, "full"), ALICE)
    assert may(ledger, BOB, ResourcePredicate("notes", "n-2")) == set()
    assert may(ledger, BOB, ResourcePredicate("lists", "n-1")) == set()
    assert may(ledger, BOB, NOTES) == set(), "a check without an id is about the whole kind"


# One granter, several granters.


def test_granting_again_replaces(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, exp=LATEST_EXP), ALICE)
    (again,) = access.grant(to(BOB, exp=1), ALICE)
    assert may(ledger, BOB) == set(), "a shorter grant replaces a longer one of the same granter"
    (longest,) = access.grant(to(BOB), ALICE)
    (grant,) = access.grants_of(BOB.oid, context=ADMIN)
    assert (grant.exp, grant.seq) == (None, longest.seq)
    first, second, third = (
        period for period in access.history(NOTE, context=ADMIN) if period.grant.principal_oid == BOB.oid
    )
    assert [first.until_seq, second.until_seq, third.until_seq] == [again.seq, longest.seq, None]


def test_grants_of_two_granters_stand_side_by_side(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(CAROL, "full"), ALICE)
    access.grant(to(BOB, exp=1), ALICE)
    access.grant(to(BOB), CAROL)
    assert may(ledger, BOB) == {"read"}
    access.grant(to(BOB, exp=1), CAROL)
    assert may(ledger, BOB) == set()
    access.grant(to(BOB), ADMIN)
    assert may(ledger, BOB) == {"read"}


def test_revoke_ends_the_grants_of_all_granters(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(CAROL, "full"), ALICE)
    for granter in (ALICE, CAROL, ADMIN):
        access.grant(to(BOB), granter)
    assert len(access.grants_of(BOB.oid, context=ADMIN)) == 3
    assert len(access.revoke(to(BOB), CAROL)) == 1
    assert access.grants_of(BOB.oid, context=ADMIN) == []


def test_what_somebody_granted_outlives_their_own_full(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(CAROL, "full"), ALICE)
    access.grant(to(BOB), CAROL)
    access.revoke(to(CAROL, "full"), ALICE)
    assert may(ledger, BOB) == {"read"}
    assert may(ledger, CAROL) == set()


# exp.


@pytest.mark.parametrize(("asked", "written"), [(None, 3_000), (4_000, 3_000), (2_000, 2_000), (3_000, 3_000)])
def test_exp_is_capped_at_that_of_the_granters_full(ledger: Ledger, asked: int | None, written: int) -> None:
    base = 4_000_000_000
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(CAROL, "full", exp=base + 3_000), ALICE)
    (entry,) = access.grant(to(BOB, exp=None if asked is None else base + asked), CAROL)
    assert entry.record.payload["exp"] == base + written
    assert [grant.exp for grant in access.grants_of(BOB.oid, context=ADMIN)] == [base + written]


def test_the_longest_of_several_fulls_is_the_cap(ledger: Ledger) -> None:
    base = 4_000_000_000
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(CAROL, "full", exp=base), ALICE)
    access.grant(to(CAROL, "full", id="*", exp=base + 5), ADMIN)
    (entry,) = access.grant(to(BOB), CAROL)
    assert entry.record.payload["exp"] == base + 5
    access.grant(to(CAROL, "full"), ADMIN)
    (entry,) = access.grant(to(BOB), CAROL)
    assert "exp" not in entry.record.payload


def test_an_expired_full_does_not_lengthen_the_cap(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(CAROL, "full", exp=1), ALICE)
    with pytest.raises(AccessDeniedError):
        access.grant(to(BOB), CAROL)


def test_nobody_lengthens_their_own_grant(ledger: Ledger) -> None:
    base = 4_000_000_000
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, "full", exp=base), ALICE)
    access.grant(to(BOB, "full"), BOB)
    access.grant(to(CAROL, "full"), BOB)
    access.grant(to(BOB, "full"), CAROL)
    assert {grant.exp for who in (BOB, CAROL) for grant in access.grants_of(who.oid, context=ADMIN)} == {base}


def test_a_grant_counts_for_nothing_from_the_second_of_exp_on(ledger: Ledger) -> None:
    entry = ledger.append(note(), ALICE)
    access = access_of(ledger)
    exp = soon()
    access.grant([to(BOB, "full", exp=exp), to(CAROL, "read", exp=LATEST_EXP)], ALICE)
    # Asked between two looks at the clock that both came before it.
    answer = may(ledger, BOB)
    assert answer == {"read", "write", "full"} or time.time() >= exp
    wait_for_second(exp)
    assert may(ledger, BOB) == set()
    assert ledger.get(entry.hash, BOB) is None
    assert ledger.query(QueryFilters(with_total=True), BOB).total == 0
    assert list(ledger.entries(BOB)) == []
    assert list(access.list(BOB.oid, ResourceFilters("notes"), context=ADMIN)) == []
    assert access.grants_of(BOB.oid, context=ADMIN) == []
    assert BOB.oid not in {grant.principal_oid for grant in access.grants_on(NOTE, context=ADMIN)}
    with pytest.raises(AccessDeniedError):
        ledger.append(note(), BOB)
    with pytest.raises(AccessDeniedError):
        access.grant(to(CAROL), BOB)
    assert may(ledger, CAROL) == {"read"}


@on_one_storage
def test_the_app_of_a_connect_grant_reads_until_it_expires(ledger: Ledger) -> None:
    grants = ledger.modules.get("connect")
    exp = soon()
    grants.grant("c-1", subject_oid=ALICE.oid, app_oid=APP.oid, scopes=["mail"], exp=exp, context=ALICE)
    (grant,) = access_of(ledger).grants_of(APP.oid, context=ADMIN)
    assert (grant.scope, grant.source, grant.exp) == ("read", "app", exp)
    wait_for_second(exp)
    assert grants.get("c-1", APP) is None
    found = grants.get("c-1", ALICE)
    assert found is not None
    assert found.status == "expired"


def test_cleanup_changes_no_answer(database: Path) -> None:
    """Not even who may create a resource that is reserved by a grant which expired before the first entry."""
    with open_ledger(database) as ledger:
        access = access_of(ledger)
        ledger.append(note(), ALICE)
        access.grant([to(BOB, "full", exp=1), to(CAROL, "read", exp=LATEST_EXP)], ALICE)
        access.grant(to(BOB, "full", id="reserved", exp=1), ADMIN)
        access.grant(to(CAROL, "full", id="*", exp=1), ADMIN)

        def answers() -> list[object]:
            return [
                [may(ledger, who, ResourcePredicate("notes", name)) for who in (ALICE, BOB, CAROL, STRANGER)]
                for name in ("n-1", "reserved", None)
            ] + [
                access.grants_on(NOTE, context=ADMIN),
                access.grants_of(BOB.oid, context=ADMIN),
                access.history(NOTE, context=ADMIN),
                access.explain(BOB.oid, "full", NOTE, context=ADMIN),
                access.revoke(to(BOB, "full"), ALICE),
                access.revoke(to(BOB, "full", id="reserved"), ADMIN),
                refused(lambda: ledger.append(note("reserved"), STRANGER)),
                refused(lambda: ledger.append(note("reserved"), BOB)),
                ledger.verify().valid,
            ]

        before = answers()
        assert access.cleanup_expired(ADMIN) == 3
        assert access.cleanup_expired(ADMIN) == 0
        assert answers() == before
        assert before[-3:] == ["AccessDeniedError", "AccessDeniedError", True]
        access.rebuild(ADMIN)
        assert answers() == before
    with open_ledger(database) as ledger:
        assert refused(lambda: ledger.append(note("reserved"), STRANGER)) == "AccessDeniedError"


def refused(call: Callable[[], object]) -> str:
    """The name of the error that a call raises."""
    with pytest.raises(NucleusError) as caught:
        call()
    return type(caught.value).__name__


# Who may grant.


@pytest.mark.parametrize("scope", ["read", "write"])
@pytest.mark.parametrize("granted", SCOPES)
def test_read_and_write_cannot_grant(ledger: Ledger, scope: Scope, granted: Scope) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, scope), ALICE)
    for receiver in (BOB, CAROL):
        with pytest.raises(AccessDeniedError):
            access.grant(to(receiver, granted), BOB)
        with pytest.raises(AccessDeniedError):
            access.revoke(to(ALICE, granted), BOB)
    assert may(ledger, BOB) == {scope}


def test_full_on_one_resource_gives_nothing_on_its_kind_or_on_another(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    for other in ("*", "n-2", "N-1"):
        with pytest.raises(AccessDeniedError):
            access_of(ledger).grant(to(BOB, id=other), ALICE)


def test_the_administrator_grants_on_what_does_not_exist_yet(ledger: Ledger) -> None:
    access_of(ledger).grant(to(BOB, "write"), ADMIN)
    with pytest.raises(AccessDeniedError):
        ledger.append(note(), ALICE)
    ledger.append(note(), BOB)
    assert may(ledger, BOB) == {"write"}, "access goes by what was granted: nobody became its creator"
    assert access_of(ledger).grants_on(NOTE, context=ADMIN)[0].source == "grant"


def test_a_revoked_grant_still_reserves_what_does_not_exist(ledger: Ledger) -> None:
    access = access_of(ledger)
    access.grant(to(BOB, "write"), ADMIN)
    access.revoke(to(BOB, "write"), ADMIN)
    for who in (ALICE, BOB):
        with pytest.raises(AccessDeniedError):
            ledger.append(note(), who)
    ledger.append(note(), ADMIN)
    assert access.grants_on(NOTE, context=ADMIN) == []


def test_a_grant_on_the_whole_kind_reserves_nothing(ledger: Ledger) -> None:
    access_of(ledger).grant(to(BOB, "full", id="*"), ADMIN)
    ledger.append(note(), ALICE)
    assert may(ledger, ALICE) == {"read", "write", "full"}


def test_creation_granted(database: Path) -> None:
    with open_ledger(database, creation="granted") as ledger:
        access = access_of(ledger)
        access.grant([to(ALICE, "write", id="*"), to(BOB, "read", id="*"), to(CAROL, "write")], ADMIN)
        for who in (BOB, STRANGER):
            with pytest.raises(AccessDeniedError):
                ledger.append(note("n-2"), who)
        ledger.append(note("n-2"), ALICE)
        assert may(ledger, ALICE, ResourcePredicate("notes", "n-2")) == {"read", "write", "full"}
        with pytest.raises(AccessDeniedError):
            ledger.append(note("n-3"), CAROL)
        ledger.append(note("n-1"), CAROL)
        assert may(ledger, CAROL) == {"write"}


@pytest.mark.parametrize("creation", ["everybody", "", "Anyone"])
def test_creation_is_one_of_two(creation: Any) -> None:
    with pytest.raises(ConfigError, match="creation"):
        create_ledger("access", access=AccessConfig(ADMIN.oid, creation))


@pytest.mark.parametrize(
    "administrator", ["", "alice", "oid:onoal:user:", "oid:onoal:user:a b", "oid:ONOAL:user:alice"]
)
def test_the_administrator_is_an_oid(administrator: str) -> None:
    with pytest.raises(ConfigError, match="administrator"):
        create_ledger("access", access=AccessConfig(administrator))


def test_granted_by_of_another_is_refused(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(replace(to(CAROL), granted_by=ALICE.oid), ALICE)
    for other in (ADMIN.oid, UPPER_ALICE.oid, BOB.oid, ""):
        with pytest.raises(AccessDeniedError, match=r"\$\[1\]\.granted_by"):
            access.grant([to(BOB), replace(to(CAROL), granted_by=other)], ALICE)
    assert may(ledger, BOB) == set()
    with pytest.raises(AccessDeniedError, match="granted_by"):
        access.grant(replace(to(BOB), granted_by=ALICE.oid), ADMIN)


def test_nobody_asks(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    # A type checker finds what is forgotten here.
    access: Any = access_of(ledger)
    calls: list[Callable[..., object]] = [
        partial(access.grant, to(BOB)),
        partial(access.grant, []),
        partial(access.revoke, to(BOB)),
        partial(access.list, ALICE.oid, ResourceFilters("notes")),
        partial(access.grants_of, ALICE.oid),
        partial(access.grants_on, NOTE),
        partial(access.history, NOTE),
        partial(access.explain, ALICE.oid, "read", NOTE),
        access.cleanup_expired,
        access.rebuild,
    ]
    for call in calls:
        for nobody in ({}, {"context": None}, {"context": ALICE.oid}):
            with pytest.raises(ContextRequiredError):
                call(**nobody)


# All or nothing.


def test_a_batch_of_grants_is_made_whole_or_not_at_all(ledger: Ledger) -> None:
    ledger.append_batch([note(), note("n-2")], ALICE)
    ledger.append(note("n-3"), CAROL)
    access = access_of(ledger)
    for last in (to(BOB, id="n-3"), replace(to(BOB), principal_oid="bob"), to(BOB, exp=0)):
        with pytest.raises((AccessDeniedError, InvalidRecordError)):
            access.grant([to(BOB), to(BOB, id="n-2"), last], ALICE)
        assert len(ledger) == 3
        assert access.grants_of(BOB.oid, context=ADMIN) == []
    entries = access.grant([to(BOB), to(BOB, id="n-2")], ALICE)
    assert [entry.seq for entry in entries] == [3, 4]


def test_a_batch_of_revocations_is_made_whole_or_not_at_all(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant([to(BOB), to(CAROL)], ALICE)
    for last in (to(ALICE, "full"), to(BOB, id="n-2")):
        with pytest.raises((ConflictError, AccessDeniedError)):
            access.revoke([to(BOB), to(CAROL), last], ALICE)
        assert len(ledger) == 3
        assert may(ledger, BOB) == may(ledger, CAROL) == {"read"}


def test_a_batch_builds_on_itself(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant([to(BOB), to(BOB, exp=LATEST_EXP)], ALICE)
    assert [grant.exp for grant in access.grants_of(BOB.oid, context=ADMIN)] == [LATEST_EXP]
    assert len(access.revoke([to(BOB), to(BOB)], ALICE)) == 1


def test_an_empty_batch_writes_nothing(ledger: Ledger) -> None:
    access = access_of(ledger)
    assert access.grant([], ALICE) == access.revoke([], ALICE) == []
    assert len(ledger) == 0


# Revoking.


def test_revoking_what_is_not_there_writes_nothing(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    assert access.revoke(to(BOB), ALICE) == []
    access.grant(to(BOB), ALICE)
    assert [entry.record.payload["action"] for entry in access.revoke(to(BOB), ALICE)] == ["revoke"]
    assert access.revoke(to(BOB), ALICE) == []
    assert access.revoke(to(BOB, "write"), ALICE) == []
    assert len(ledger) == 3


def test_revoking_an_expired_grant_writes_nothing(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant([to(BOB, exp=1), to(CAROL, "full", exp=1)], ALICE)
    assert access.revoke([to(BOB), to(CAROL, "full")], ALICE) == []
    assert len(ledger) == 3


def test_the_last_full_is_not_revoked_by_accident(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    # None of these governs the note itself for good.
    access.grant([to(BOB, "read"), to(BOB, "write"), to(BOB, "full", exp=1)], ALICE)
    access.grant(to(BOB, "full", id="*"), ADMIN)
    for who in (ALICE, BOB, ADMIN):
        with pytest.raises(ConflictError, match="allow_last_full"):
            access.revoke(to(ALICE, "full"), who)
    assert may(ledger, ALICE) == {"read", "write", "full"}
    access.grant(to(CAROL, "full"), ALICE)
    access.revoke(to(ALICE, "full"), ALICE)
    assert may(ledger, ALICE) == set()
    with pytest.raises(ConflictError):
        access.revoke(to(CAROL, "full"), CAROL)
    access.revoke(to(CAROL, "full"), CAROL, allow_last_full=True)
    assert access.grants_on(NOTE, context=ADMIN) == access.grants_on(NOTE, context=ADMIN)
    assert "full" not in {grant.scope for grant in access.grants_on(NOTE, context=ADMIN)}
    access.grant(to(ALICE, "full"), ADMIN)
    assert may(ledger, ALICE) == {"read", "write", "full"}


def test_two_fulls_cannot_both_be_revoked_in_one_batch_by_accident(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, "full"), ALICE)
    with pytest.raises(ConflictError):
        access.revoke([to(ALICE, "full"), to(BOB, "full")], ADMIN)
    assert may(ledger, ALICE) == may(ledger, BOB) == {"read", "write", "full"}


def test_who_revokes_their_own_full_in_a_batch_has_it_no_more_for_the_next(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant([to(BOB, "full"), to(CAROL)], ALICE)
    with pytest.raises(AccessDeniedError):
        access.revoke([to(ALICE, "full"), to(CAROL)], ALICE)
    assert may(ledger, ALICE) == {"read", "write", "full"}
    assert may(ledger, CAROL) == {"read"}


def test_revoking_an_implied_grant_ends_it_for_good(ledger: Ledger) -> None:
    assets = ledger.modules.get("asset")
    asset = ResourcePredicate("asset", "a-1")
    access = access_of(ledger)
    assets.register("a-1", owner_oid=ALICE.oid, issuer_oid=ISSUER.oid, context=ALICE)
    assert {grant.source for grant in access.grants_of(ALICE.oid, context=ADMIN)} == {"creator", "owner"}
    (entry,) = access.revoke(AclGrant("asset", "a-1", ALICE.oid, "full"), ISSUER)
    assert may(ledger, ALICE, asset) == set(), "one revocation ends both"
    # A version that names the same holder grants nothing again.
    assets.update("a-1", payload={"colour": "red"}, context=ISSUER)
    assert may(ledger, ALICE, asset) == set()
    assert assets.get("a-1", ALICE) is None
    ended = [period for period in access.history(asset, context=ADMIN) if period.grant.principal_oid == ALICE.oid]
    assert {period.until_seq for period in ended} == {entry.seq}
    access.rebuild(ADMIN)
    assert may(ledger, ALICE, asset) == set()


def test_a_revoked_creator_stays_revoked(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, "full"), ALICE)
    access.revoke(to(ALICE, "full"), BOB)
    ledger.append(note(), BOB)
    ledger.append(note(), ADMIN)
    assert may(ledger, ALICE) == set()
    with pytest.raises(AccessDeniedError):
        ledger.append(note(), ALICE)


def test_a_transfer_moves_the_owners_grant_and_the_creators(ledger: Ledger) -> None:
    assets = ledger.modules.get("asset")
    asset = ResourcePredicate("asset", "a-1")
    access = access_of(ledger)
    assets.register("a-1", owner_oid=ALICE.oid, context=ALICE)
    assets.transfer("a-1", to_oid=BOB.oid, context=ALICE)
    assert may(ledger, ALICE, asset) == set()
    assert [(grant.principal_oid, grant.source) for grant in access.grants_on(asset, context=ADMIN)] == [
        (BOB.oid, "owner")
    ]
    access.grant(AclGrant("asset", "a-1", ALICE.oid, "read"), BOB)
    assets.transfer("a-1", to_oid=CAROL.oid, context=BOB)
    assert may(ledger, ALICE, asset) == {"read"}, "what was granted explicitly stays"
    assets.transfer("a-1", to_oid=ALICE.oid, context=CAROL)
    assert may(ledger, ALICE, asset) == {"read", "write", "full"}


def test_a_registrar_who_is_not_the_owner_stays_creator_after_a_transfer(ledger: Ledger) -> None:
    assets = ledger.modules.get("asset")
    assets.register("a-1", owner_oid=ALICE.oid, context=STRANGER)
    assets.transfer("a-1", to_oid=BOB.oid, context=ALICE)
    assert may(ledger, STRANGER, ResourcePredicate("asset", "a-1")) == {"read", "write", "full"}


def test_a_reserved_asset_gives_its_owner_access_and_its_registrar_what_was_granted(ledger: Ledger) -> None:
    access = access_of(ledger)
    access.grant(AclGrant("asset", "a-1", STRANGER.oid, "write"), ADMIN)
    ledger.modules.get("asset").register("a-1", owner_oid=ALICE.oid, context=STRANGER)
    asset = ResourcePredicate("asset", "a-1")
    assert may(ledger, STRANGER, asset) == {"write"}
    assert may(ledger, ALICE, asset) == {"read", "write", "full"}


# The whole kind.


def test_a_grant_on_the_whole_kind_covers_what_is_created_later(ledger: Ledger) -> None:
    access = access_of(ledger)
    access.grant(to(BOB, "read", id="*"), ADMIN)
    entry = ledger.append(note("n-9"), ALICE)
    ledger.append(Record("l-1", "lists", {}), ALICE)
    assert [found.seq for found in ledger.entries(BOB)] == [entry.seq]
    assert access.check(BOB.oid, "read", NOTES)
    assert not access.check(BOB.oid, "write", NOTES)


def test_full_on_the_whole_kind_governs_each_and_all_of_it(ledger: Ledger) -> None:
    access = access_of(ledger)
    access.grant(to(BOB, "full", id="*"), ADMIN)
    ledger.append(note(), ALICE)
    access.grant([to(CAROL, "read"), to(CAROL, "write", id="*")], BOB)
    assert may(ledger, CAROL) == {"read", "write"}
    access.revoke(to(CAROL, "write", id="*"), BOB)
    assert may(ledger, CAROL) == {"read"}


def test_revoking_on_the_kind_and_on_the_resource_are_two_things(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant([to(BOB), to(BOB, id="*")], ADMIN)
    access.revoke(to(BOB), ALICE)
    assert may(ledger, BOB) == {"read"}
    assert access.revoke(to(BOB), ALICE) == []
    access.revoke(to(BOB, id="*"), ADMIN)
    assert may(ledger, BOB) == set()


def test_the_last_full_on_the_kind_is_guarded_like_any(ledger: Ledger) -> None:
    access = access_of(ledger)
    access.grant(to(BOB, "full", id="*"), ADMIN)
    with pytest.raises(ConflictError):
        access.revoke(to(BOB, "full", id="*"), BOB)
    access.revoke(to(BOB, "full", id="*"), BOB, allow_last_full=True)
    assert may(ledger, BOB, NOTES) == set()


@pytest.mark.parametrize(
    ("append", "path"),
    [
        (lambda ledger, who: ledger.append(note("*"), who), "$.id"),
        (lambda ledger, who: ledger.append(note("*"), who, unique=True), "$.id"),
        (lambda ledger, who: ledger.append_batch([note(), note("*")], who), "$[1].id"),
    ],
    ids=["append", "unique", "append_batch"],
)
def test_no_record_is_called_like_the_whole_kind(
    ledger: Ledger, append: Callable[[Ledger, RequestContext], object], path: str
) -> None:
    for who in (ALICE, ADMIN):
        with pytest.raises(InvalidRecordError) as caught:
            append(ledger, who)
        assert caught.value.path == path
    assert len(ledger) == 0
    ledger.append_batch([note("**"), note(" *"), note("n*")], ALICE)
    assert may(ledger, BOB, ResourcePredicate("notes", "**")) == set()


def test_a_module_handle_does_not_make_it_either(ledger: Ledger) -> None:
    with pytest.raises(InvalidRecordError):
        ledger.modules.get("asset").register("*", owner_oid=ALICE.oid, context=ALICE)


# What stands on the record.


def test_entries_of_acl_grants_say_what_was_granted(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    granted = access.grant([to(BOB, "full", exp=4_000_000_000), to(CAROL)], ALICE)
    revoked = access.revoke(to(CAROL), BOB)
    named = {"resource_kind": "notes", "resource_id": "n-1"}
    assert [entry.record.payload for entry in granted + revoked] == [
        {"action": "grant", **named, "principal_oid": BOB.oid, "scope": "full", "exp": 4_000_000_000},
        {"action": "grant", **named, "principal_oid": CAROL.oid, "scope": "read"},
        {"action": "revoke", **named, "principal_oid": CAROL.oid, "scope": "read"},
    ]
    for entry, who in zip(granted + revoked, (ALICE, ALICE, BOB), strict=True):
        assert entry.record.stream == "acl_grants"
        assert entry.record.meta is not None
        assert entry.record.meta["requester_oid"] == who.oid
        assert isinstance(entry, ChainEntry)
    assert [entry.seq for entry in granted + revoked] == [1, 2, 3]
    assert ledger.verify().valid


def test_grants_say_who_granted_them_and_when(ledger: Ledger) -> None:
    entry = ledger.append(note(), ALICE)
    access = access_of(ledger)
    (granted,) = access.grant(to(BOB), ALICE)

    def recorded_at(entry: ChainEntry) -> int:
        assert entry.record.meta is not None
        return int(entry.record.meta["recorded_at"])

    assert access.grants_on(NOTE, context=ADMIN) == [
        AclGrant("notes", "n-1", ALICE.oid, "full", ALICE.oid, None, "creator", recorded_at(entry), 0),
        AclGrant("notes", "n-1", BOB.oid, "read", ALICE.oid, None, "grant", recorded_at(granted), 1),
    ]


@pytest.mark.parametrize("stream", ["acl_grants", "redactions"])
def test_nobody_appends_to_the_engines_own_streams(ledger: Ledger, stream: str) -> None:
    payload = {
        "action": "grant",
        "resource_kind": "notes",
        "resource_id": "n-1",
        "principal_oid": BOB.oid,
        "scope": "full",
    }
    for who in (ALICE, ADMIN):
        with pytest.raises(NucleusError):
            ledger.append(Record("x", stream, payload), who)
        with pytest.raises(InvalidRecordError):
            access_of(ledger).grant(AclGrant(stream, "x", BOB.oid, "read"), who)
        with pytest.raises(InvalidRecordError):
            access_of(ledger).grant(AclGrant(stream, "*", BOB.oid, "read"), who)
    assert len(ledger) == 0


# Unique appends.


def test_a_unique_append_tells_nothing_of_what_may_not_be_read(ledger: Ledger) -> None:
    existing = ledger.append(note(text="secret"), ALICE)
    access_of(ledger).grant(to(BOB, "write"), ALICE)
    answers = []
    for text in ("secret", "guess"):
        with pytest.raises(ConflictError) as caught:
            ledger.append(note(text=text), BOB, unique=True)
        assert caught.value.existing_hash is None
        assert existing.hash not in str(caught.value)
        answers.append(str(caught.value))
    assert answers[0] == answers[1], "a right guess reads like a wrong one"


def test_a_unique_append_repeats_ones_own_without_read(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access_of(ledger).grant(to(BOB, "write"), ALICE)
    own = ledger.append(note(text="mine"), BOB)
    assert ledger.append(note(text="mine"), BOB, unique=True) == own
    with pytest.raises(ConflictError) as caught:
        ledger.append(note(text="other"), BOB, unique=True)
    assert caught.value.existing_hash is None


def test_a_unique_append_with_read_is_told_the_conflict(ledger: Ledger) -> None:
    existing = ledger.append(note(text="known"), ALICE)
    access_of(ledger).grant([to(BOB, "write"), to(BOB, "read")], ALICE)
    assert ledger.append(note(text="known"), BOB, unique=True) == existing
    with pytest.raises(ConflictError) as caught:
        ledger.append(note(text="other"), BOB, unique=True)
    assert caught.value.existing_hash == existing.hash


def test_a_unique_append_is_not_in_the_way_of_another_streams_record(ledger: Ledger) -> None:
    ledger.append(Record("n-1", "diaries", {}), ALICE)
    entry = ledger.append(note(), BOB, unique=True)
    assert entry.seq == 1


# What a resource says.


def test_a_check_may_ask_what_the_resource_says(ledger: Ledger) -> None:
    proofs = ledger.modules.get("proof")
    proofs.issue("p-1", subject_oid=ALICE.oid, issuer_oid=ISSUER.oid, type="age", context=ISSUER)
    access = access_of(ledger)

    def asked(**members: Any) -> bool:
        return access.check(ALICE.oid, "read", ResourcePredicate("proof", "p-1", **members))

    assert asked(subject_oid=ALICE.oid, issuer_oid=ISSUER.oid, type="age", status="active")
    for members in ({"subject_oid": BOB.oid}, {"issuer_oid": BOB.oid}, {"type": "Age"}, {"status": "revoked"}):
        assert not asked(**members), members
    assert not access.check(BOB.oid, "read", ResourcePredicate("proof", "p-1", type="age"))
    proofs.revoke("p-1", reason="over", context=ISSUER)
    assert asked(status="revoked")
    assert not asked(status="active")


def test_require_answers_the_entry_only_where_it_may_be_read(ledger: Ledger) -> None:
    entry = ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, "write"), ALICE)
    assert access.require(BOB.oid, "write", NOTE).entry is None
    assert access.require(ALICE.oid, "write", NOTE).entry == entry
    access.grant(to(BOB, "read"), ALICE)
    assert access.require(BOB.oid, "write", NOTE).entry == entry
    assert access.require(ADMIN.oid, "full", ResourcePredicate("notes", "n-0")).entry is None
    assert access.require(ADMIN.oid, "full", NOTES).id == "*"
    with pytest.raises(AccessDeniedError, match="n-1"):
        access.require(STRANGER.oid, "read", NOTE)


# On and off.


def test_without_access_control_there_is_none_to_ask(database: Path) -> None:
    with create_ledger("access", storage=sqlite_storage(database)) as ledger:
        assert not ledger.has_access_control()
        with pytest.raises(ConfigError, match="without access control"):
            _ = ledger.access
        entry = ledger.append(note(), ALICE)
        assert ledger.get(entry.hash, BOB) == entry
        with pytest.raises(ContextRequiredError):
            ledger.get(entry.hash, cast(Any, None))


def test_grants_outlive_closing_and_another_administrator(database: Path) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        access_of(ledger).grant(to(BOB), ALICE)
    with create_ledger(storage=sqlite_storage(database), access=AccessConfig(CAROL.oid)) as ledger:
        assert (may(ledger, BOB), may(ledger, ADMIN)) == ({"read"}, set())
        assert may(ledger, CAROL) == {"read", "write", "full"}


def test_ledger_access_is_a_unified_access_layer(ledger: Ledger) -> None:
    assert isinstance(ledger.access, UnifiedAccessLayer)


def test_whoever_redacted_may_ask_again(ledger: Ledger) -> None:
    """Their own role goes with the payload; a scrub that a reader held up must not stay undone for that."""
    proofs = ledger.modules.get("proof")
    issued = proofs.issue("p-1", issuer_oid=BOB.oid, subject_oid=CAROL.oid, context=ALICE)
    recorded = ledger.redact(issued.hash, "asked for", BOB)
    assert not access_of(ledger).check(BOB.oid, "read", ResourcePredicate("proof", "p-1"))
    assert ledger.redact(issued.hash, "asked for", BOB) == recorded
    with pytest.raises(ConflictError, match="no entry"):
        ledger.redact(issued.hash, "asked for", CAROL)


def test_grants_of_nobody_are_not_everybodys(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    with pytest.raises(ConfigError, match="OID"):
        access_of(ledger).grants_of(None, context=ADMIN)  # type: ignore[arg-type]
