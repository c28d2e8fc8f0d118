"""Identifiers compare byte for byte, and what is none is refused by its place."""

import unicodedata
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.access.conftest import (
    ADMIN,
    ALICE,
    ALICE_DOT,
    BOB,
    CAROL,
    STRANGER,
    UPPER_ALICE,
    access_of,
)
from tests.access.notes import NOTE, may, note, to

from nucleus import (
    AccessDeniedError,
    ConfigError,
    InvalidRecordError,
    Ledger,
    NucleusError,
    QueryFilters,
    Record,
    RequestContext,
)
from nucleus.access import AclGrant, ResourcePredicate

LATEST_EXP = 253_402_300_799  # the last second of the year 9999


# Identifiers.

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("granted", "other"),
    [
        ("n-1", "N-1"),
        ("n-1", "n-1 "),
        ("n-1", " n-1"),
        ("n-1", "n-1."),
        ("n-1", "n-1\0"),
        ("n-1", "n-1\u200b"),
        (NFC, NFD),
        ("\u0131", "i"),
        ("straße", "strasse"),
        ("n_1", "n-1"),
        ("n%", "n-1"),
        ("n?", "n-"),
        ("\U0001f512", "\U0001f513"),
    ],
)
def test_ids_compare_byte_for_byte(ledger: Ledger, granted: str, other: str) -> None:
    """As record ids and as kinds, in every question."""
    access = access_of(ledger)
    pairs = [(kind, name) for kind in (granted, other) for name in (granted, other)]
    ledger.append_batch([Record(name, kind, {}) for kind, name in pairs], ALICE)
    access.grant(AclGrant(granted, granted, BOB.oid, "full"), ALICE)
    answers = access.check_many(BOB.oid, "read", [ResourcePredicate(*pair) for pair in pairs])
    assert answers == [True, False, False, False]
    seen = [(entry.seq, entry.record.stream) for entry in ledger.query(QueryFilters(), BOB).entries]
    assert seen == [(0, granted), (4, "acl_grants")]
    for kind, name in pairs[1:]:
        assert ledger.get_by_id(name, BOB, stream=kind) is None
        with pytest.raises(AccessDeniedError):
            ledger.append(Record(name, kind, {}), BOB)
        with pytest.raises(AccessDeniedError):
            access.grant(AclGrant(kind, name, CAROL.oid, "read"), BOB)
        assert access.revoke(AclGrant(kind, name, BOB.oid, "full"), ADMIN) == []
    access.revoke(AclGrant(granted, granted, BOB.oid, "full"), ALICE)
    assert list(ledger.entries(BOB)) == []


def test_a_check_of_an_id_with_a_null_is_about_that_id(ledger: Ledger) -> None:
    """Neither cut off at the null nor taken for the one before it."""
    access = access_of(ledger)
    ledger.append(note("n-1\0x"), ALICE)
    assert not access.check(ALICE.oid, "read", NOTE)
    ledger.append(note(), BOB)
    assert not access.check(BOB.oid, "read", ResourcePredicate("notes", "n-1\0x"))


@pytest.mark.parametrize("namesake", [UPPER_ALICE, ALICE_DOT])
def test_oids_compare_byte_for_byte(ledger: Ledger, namesake: RequestContext) -> None:
    entry = ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(ALICE), ALICE)
    assert may(ledger, namesake) == set()
    assert ledger.get(entry.hash, namesake) is None
    assert access.grants_of(namesake.oid, context=ADMIN) == []
    assert access.revoke(to(namesake, "full"), ALICE) == []
    with pytest.raises(AccessDeniedError):
        access.grant(to(namesake), namesake)
    access.grant(to(namesake, "write"), ALICE)
    assert may(ledger, namesake) == {"write"}
    assert may(ledger, ALICE) == {"read", "write", "full"}


def test_the_administrator_compares_byte_for_byte(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    for oid in (ADMIN.oid.replace("festival", "Festival"), ADMIN.oid + ".", ADMIN.oid[:-1]):
        assert may(ledger, RequestContext.local(oid)) == set()


@pytest.mark.parametrize("oid", ["oid:onoal:user:alice ", "oid:onoal:user:" + NFC, " oid:onoal:user:alice"])
def test_what_is_no_oid_is_not_taken_for_one(ledger: Ledger, oid: str) -> None:
    ledger.append(note(), ALICE)
    with pytest.raises(NucleusError):
        ledger.append(note(), RequestContext.local(oid))
    with pytest.raises(InvalidRecordError) as caught:
        access_of(ledger).grant(AclGrant("notes", "n-1", oid, "read"), ALICE)
    assert caught.value.path == "$[0].principal_oid"


# Bad input.

GOOD = AclGrant("notes", "n-1", BOB.oid, "read")
BAD_GRANTS: list[tuple[str, dict[str, Any], str]] = [
    ("unknown scope", {"scope": "admin"}, "scope"),
    ("scope in another case", {"scope": "Read"}, "scope"),
    ("empty scope", {"scope": ""}, "scope"),
    ("scope with a space", {"scope": "read "}, "scope"),
    ("scope that is none", {"scope": None}, "scope"),
    ("scope that is a number", {"scope": 1}, "scope"),
    ("scope with a surrogate", {"scope": "\ud800"}, "scope"),
    ("no OID", {"principal_oid": "bob"}, "principal_oid"),
    ("empty OID", {"principal_oid": ""}, "principal_oid"),
    ("OID `*`", {"principal_oid": "*"}, "principal_oid"),
    ("OID that is none", {"principal_oid": None}, "principal_oid"),
    ("huge OID", {"principal_oid": "oid:onoal:user:" + "a" * 300}, "principal_oid"),
    ("OID with a surrogate", {"principal_oid": "oid:onoal:user:\ud800"}, "principal_oid"),
    ("OID with a null", {"principal_oid": "oid:onoal:user:bob\0"}, "principal_oid"),
    ("empty kind", {"resource_kind": ""}, "resource_kind"),
    ("huge kind", {"resource_kind": "k" * 256}, "resource_kind"),
    ("huge kind in bytes", {"resource_kind": "é" * 128}, "resource_kind"),
    ("kind that is none", {"resource_kind": None}, "resource_kind"),
    ("kind with a surrogate", {"resource_kind": "\ud800"}, "resource_kind"),
    ("kind that is bytes", {"resource_kind": b"notes"}, "resource_kind"),
    ("stream in place of its kind", {"resource_kind": "assets"}, "resource_kind"),
    ("the engine's own stream", {"resource_kind": "acl_grants"}, "resource_kind"),
    ("empty id", {"resource_id": ""}, "resource_id"),
    ("huge id", {"resource_id": "i" * 1_025}, "resource_id"),
    ("id that is none", {"resource_id": None}, "resource_id"),
    ("id that is a number", {"resource_id": 1}, "resource_id"),
    ("id with a surrogate", {"resource_id": "n-\udfff"}, "resource_id"),
    ("exp that is a bool", {"exp": True}, "exp"),
    ("exp that is a float", {"exp": 4_000_000_000.0}, "exp"),
    ("exp that is a text", {"exp": "4000000000"}, "exp"),
    ("exp that is NaN", {"exp": float("nan")}, "exp"),
    ("exp of zero", {"exp": 0}, "exp"),
    ("negative exp", {"exp": -1}, "exp"),
    ("exp after the year 9999", {"exp": LATEST_EXP + 1}, "exp"),
    ("exp beyond 64 bits", {"exp": 2**64}, "exp"),
    ("exp of a thousand digits", {"exp": 10**1_000}, "exp"),
]


@pytest.mark.parametrize("method", ["grant", "revoke"])
@pytest.mark.parametrize(
    ("change", "key"), [(change, key) for _, change, key in BAD_GRANTS], ids=[b[0] for b in BAD_GRANTS]
)
def test_bad_grants_are_refused_by_their_place(ledger: Ledger, method: str, change: dict[str, Any], key: str) -> None:
    ledger.append(note(), ALICE)
    call = access_of(ledger).grant if method == "grant" else access_of(ledger).revoke
    with pytest.raises(InvalidRecordError) as caught:
        call([GOOD, replace(GOOD, **change)], ADMIN)
    assert caught.value.path == f"$[1].{key}"
    assert f"$[1].{key}" in str(caught.value)
    assert len(ledger) == 1


@pytest.mark.parametrize("wrong", [None, "notes", {"resource_kind": "notes"}, ("notes", "n-1", BOB.oid, "read"), 7])
def test_what_is_no_grant_is_refused_by_its_place(ledger: Ledger, wrong: Any) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        access_of(ledger).grant([GOOD, wrong], ADMIN)
    assert caught.value.path == "$[1]"
    assert len(ledger) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"resource_id": "i" * 1_024},
        {"resource_id": "\U0001f512" * 256},
        {"resource_kind": "k" * 255},
        {"resource_id": "a\0b\n'\"; DROP TABLE acl_grants; --"},
        {"exp": 1},
        {"exp": LATEST_EXP},
        {"principal_oid": "oid:onoal:user:" + "a" * 240},
        {"principal_oid": "oid:onoal:user:a/b@c=d+e_f-g.h:device:7"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_grants_at_their_bounds_are_made_and_found(ledger: Ledger, change: dict[str, Any]) -> None:
    grant = replace(GOOD, **change)
    access = access_of(ledger)
    (entry,) = access.grant(grant, ADMIN)
    named = ResourcePredicate(grant.resource_kind, grant.resource_id)
    live = grant.exp != 1
    assert access.check(grant.principal_oid, "read", named) == live
    assert [found.seq for found in access.grants_on(named, context=ADMIN)] == ([entry.seq] if live else [])
    access.rebuild(ADMIN)
    assert access.check(grant.principal_oid, "read", named) == live
    assert ledger.verify().valid


@pytest.mark.parametrize(
    ("scope", "resource"),
    [
        ("admin", NOTE),
        ("", NOTE),
        ("Read", NOTE),
        ("read\0", NOTE),
        ("read", ResourcePredicate("notes", "n-1", type="age")),
        ("read", ResourcePredicate("notes", type="age")),
    ],
)
def test_bad_questions_raise_a_typed_error_whoever_it_is_about(
    ledger: Ledger, scope: Any, resource: ResourcePredicate
) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    for who in (ALICE, ADMIN, STRANGER):
        with pytest.raises(ConfigError):
            access.explain(who.oid, scope, resource, context=ADMIN)
        if resource != ResourcePredicate("notes", "n-1", type="age"):
            with pytest.raises(ConfigError):
                access.check(who.oid, scope, resource)
            with pytest.raises(ConfigError):
                access.require(who.oid, scope, resource)


@pytest.mark.parametrize(
    ("scope", "resource"),
    [
        ("\ud800", NOTE),
        ("read", ResourcePredicate("\ud800", "n-1")),
        ("read", ResourcePredicate("notes", "\ud800")),
    ],
)
def test_a_surrogate_in_a_question_raises_a_typed_error(
    ledger: Ledger, scope: Any, resource: ResourcePredicate
) -> None:
    access = access_of(ledger)
    for ask in (access.check, access.require, partial(access.explain, context=ALICE)):
        with pytest.raises(NucleusError):
            ask(ALICE.oid, scope, resource)


def test_a_check_of_what_cannot_be_says_no(ledger: Ledger) -> None:
    access = access_of(ledger)
    for resource in (ResourcePredicate("", ""), ResourcePredicate("notes", "i" * 5_000), ResourcePredicate("*", "*")):
        assert not access.check(ALICE.oid, "read", resource)
    ledger.append(note(), ALICE)
    assert not access.check("", "read", NOTE)
    assert not access.check("*", "read", NOTE)
    assert not access.check("' OR 1=1 --", "read", NOTE)
