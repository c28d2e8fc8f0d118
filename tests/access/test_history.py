"""Who had access when, by what, and who authorised it: answered from the chain."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from tests.access.conftest import ADMIN, ALICE, APP, BOB, CAROL, ISSUER, STRANGER, access_of, open_ledger
from tests.access.notes import NOTE, SCOPES, note, to
from tests.conftest import on_one_storage

from nucleus import (
    AccessDeniedError,
    ChainEntry,
    ConfigError,
    Ledger,
    NucleusError,
    QueryFilters,
    Record,
    RequestContext,
    verify_chain,
)
from nucleus.access import AccessPeriod, AclGrant, ResourcePredicate, Scope

ASSET = ResourcePredicate("asset", "a-1")
LAST_SECOND = 4_000_000_000


def recorded_at(entry: ChainEntry) -> int:
    assert entry.record.meta is not None
    return int(entry.record.meta["recorded_at"])


def later_clock(than_ms: int) -> None:
    """Wait until the clock shows another millisecond, so that times tell entries apart."""
    while time.time() * 1000 < than_ms + 2:
        time.sleep(0.001)


def at_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)


def periods_of(ledger: Ledger, who: RequestContext, resource: ResourcePredicate = NOTE) -> list[AccessPeriod]:
    return [
        period for period in access_of(ledger).history(resource, context=ADMIN) if period.grant.principal_oid == who.oid
    ]


# A check of the past.


@pytest.fixture
def story(ledger: Ledger) -> list[ChainEntry]:
    """Created by Alice, granted to Bob, revoked, granted again; each entry at a millisecond of its own."""
    access = access_of(ledger)
    steps: list[Callable[[], ChainEntry]] = [
        lambda: ledger.append(Record("other", "lists", {}), STRANGER),
        lambda: ledger.append(note(), ALICE),
        lambda: access.grant(to(BOB), ALICE)[0],
        lambda: access.revoke(to(BOB), ALICE)[0],
        lambda: access.grant(to(BOB, "full"), ADMIN)[0],
    ]
    entries = []
    for step in steps:
        entries.append(step())
        later_clock(recorded_at(entries[-1]))
    return entries


EXPECTED: list[tuple[RequestContext, Scope, list[bool]]] = [
    (ALICE, "full", [False, True, True, True, True]),
    (BOB, "read", [False, False, True, False, True]),
    (BOB, "write", [False, False, False, False, True]),
    (STRANGER, "read", [False, False, False, False, False]),
    (ADMIN, "full", [True, True, True, True, True]),
]


@pytest.mark.parametrize(("who", "scope", "expected"), EXPECTED)
def test_check_at_a_seq(
    ledger: Ledger, story: list[ChainEntry], who: RequestContext, scope: Scope, expected: list[bool]
) -> None:
    access = access_of(ledger)
    assert [access.check(who.oid, scope, NOTE, at=entry.seq) for entry in story] == expected
    assert access.check(who.oid, scope, NOTE) == expected[-1]


@pytest.mark.parametrize(("who", "scope", "expected"), EXPECTED)
def test_check_at_a_time(
    ledger: Ledger, story: list[ChainEntry], who: RequestContext, scope: Scope, expected: list[bool]
) -> None:
    access = access_of(ledger)
    for zone in (UTC, timezone(timedelta(hours=5, minutes=45))):
        times = [at_ms(recorded_at(entry)).astimezone(zone) for entry in story]
        assert [access.check(who.oid, scope, NOTE, at=moment) for moment in times] == expected
    just_before = [at_ms(recorded_at(entry) - 1) for entry in story]
    first = who is ADMIN
    assert [access.check(who.oid, scope, NOTE, at=moment) for moment in just_before] == [first, *expected[:-1]]
    assert access.check(who.oid, scope, NOTE, at=datetime(2100, 1, 1, tzinfo=UTC)) == expected[-1]
    assert access.check(who.oid, scope, NOTE, at=datetime(1990, 1, 1, tzinfo=UTC)) == (who is ADMIN)


def test_the_past_stays_what_it_was(ledger: Ledger, story: list[ChainEntry]) -> None:
    access = access_of(ledger)
    access.revoke([to(BOB, "full"), to(ALICE, "full")], ADMIN, allow_last_full=True)
    access.cleanup_expired(ADMIN)
    access.rebuild(ADMIN)
    assert access.grants_on(NOTE, context=ADMIN) == []
    for who, scope, expected in EXPECTED:
        assert [access.check(who.oid, scope, NOTE, at=entry.seq) for entry in story] == expected


@on_one_storage
def test_exp_is_judged_by_the_clock_of_then(ledger: Ledger) -> None:
    access = access_of(ledger)
    first = ledger.append(note(), ALICE)
    exp = int(time.time()) + 2
    (granted,) = access.grant(to(BOB, exp=exp), ALICE)
    while time.time() < exp:
        time.sleep(0.02)
    after = ledger.append(note(), ALICE)
    answers = [access.check(BOB.oid, "read", NOTE, at=entry.seq) for entry in (first, granted, after)]
    assert answers == [False, recorded_at(granted) // 1000 < exp, False]
    moments = [at_ms(recorded_at(granted)), at_ms(exp * 1000 - 1), at_ms(exp * 1000)]
    assert [access.check(BOB.oid, "read", NOTE, at=moment) for moment in moments] == [answers[1], True, False]


def test_a_grant_on_the_whole_kind_counts_in_the_past_too(ledger: Ledger) -> None:
    access = access_of(ledger)
    (granted,) = access.grant(to(BOB, "full", id="*"), ADMIN)
    created = ledger.append(note(), ALICE)
    (revoked,) = access.revoke(to(BOB, "full", id="*"), ADMIN, allow_last_full=True)
    seqs = (granted.seq, created.seq, revoked.seq)
    assert [access.check(BOB.oid, "write", NOTE, at=seq) for seq in seqs] == [True, True, False]
    assert [access.check(BOB.oid, "write", ResourcePredicate("notes"), at=seq) for seq in seqs] == [True, True, False]


@pytest.mark.parametrize("at", [1, 2**40, 2**63, 2**70, -1])
def test_a_seq_that_is_not_there_is_refused(ledger: Ledger, at: int) -> None:
    ledger.append(note(), ALICE)
    for call in (access_of(ledger).check, partial(access_of(ledger).explain, context=ADMIN)):
        with pytest.raises(ConfigError):
            call(ALICE.oid, "read", NOTE, at=at)


def test_a_time_without_zone_is_refused(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    for call in (access_of(ledger).check, partial(access_of(ledger).explain, context=ADMIN)):
        with pytest.raises(ConfigError, match="zone"):
            call(ALICE.oid, "read", NOTE, at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_what_a_resource_says_is_not_asked_of_the_past(ledger: Ledger) -> None:
    entry = ledger.append(note(), ALICE)
    with pytest.raises(ConfigError):
        access_of(ledger).check(ALICE.oid, "read", ResourcePredicate("notes", "n-1", type="x"), at=entry.seq)


def test_grants_made_together_begin_one_by_one(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    first, second = access.grant([to(BOB), to(CAROL)], ALICE)
    assert access.check(BOB.oid, "read", NOTE, at=first.seq)
    assert not access.check(CAROL.oid, "read", NOTE, at=first.seq)
    assert access.check(CAROL.oid, "read", NOTE, at=second.seq)


# explain


def test_explains_what_is_allowed(ledger: Ledger) -> None:
    created = ledger.append(note(), ALICE)
    access = access_of(ledger)
    (granted,) = access.grant(to(BOB, "full", exp=LAST_SECOND), ALICE)
    for who, entry, source in ((ALICE, created, "creator"), (BOB, granted, "grant")):
        explained = access.explain(who.oid, "write", NOTE, context=ADMIN)
        assert explained.allowed
        assert explained.period is not None
        assert explained.grant == explained.period.grant
        assert explained.grant is not None
        assert (explained.grant.source, explained.grant.scope, explained.grant.granted_by) == (
            source,
            "full",
            ALICE.oid,
        )
        assert (explained.grant.seq, explained.grant.created_at) == (entry.seq, recorded_at(entry))
        found = ledger.get(explained.period.hash, ADMIN)
        assert found == entry
        assert (explained.period.until_seq, explained.period.ended_by) == (None, None)
        assert explained.reason.startswith(who.oid)
        assert str(entry.seq) in explained.reason


def test_explains_a_grant_on_the_whole_kind(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    (entry,) = access_of(ledger).grant(to(BOB, id="*"), ADMIN)
    explained = access_of(ledger).explain(BOB.oid, "read", NOTE, context=ADMIN)
    assert explained.period is not None
    assert (explained.allowed, explained.period.hash, explained.period.grant.resource_id) == (True, entry.hash, "*")


def test_explains_the_administrator(ledger: Ledger) -> None:
    explained = access_of(ledger).explain(ADMIN.oid, "full", NOTE, context=ADMIN)
    assert (explained.allowed, explained.period, explained.grant) == (True, None, None)
    assert "administrator" in explained.reason


def test_explains_what_expired(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    (granted,) = access.grant(to(BOB, exp=1_234_567), ALICE)
    access.cleanup_expired(ADMIN)
    explained = access.explain(BOB.oid, "read", NOTE, context=ADMIN)
    assert not explained.allowed
    assert "expired" in explained.reason
    assert "1234567" in explained.reason
    assert explained.period is not None
    assert explained.period.hash == granted.hash


def test_explains_what_was_revoked(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    (granted,) = access.grant(to(BOB), ALICE)
    (revoked,) = access.revoke(to(BOB), ADMIN)
    explained = access.explain(BOB.oid, "read", NOTE, context=ADMIN)
    assert not explained.allowed
    assert explained.period is not None
    assert explained.period == AccessPeriod(
        explained.period.grant,
        granted.hash,
        until_seq=revoked.seq,
        until_hash=revoked.hash,
        ended_at=recorded_at(revoked),
        ended_by=ADMIN.oid,
    )
    assert ADMIN.oid in explained.reason
    assert str(revoked.seq) in explained.reason
    before = access.explain(BOB.oid, "read", NOTE, at=granted.seq, context=ADMIN)
    assert (before.allowed, before.period) == (True, explained.period)


def test_explains_what_never_was(ledger: Ledger) -> None:
    created = ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, "read"), ALICE)
    asked: list[tuple[RequestContext, Scope]] = [(STRANGER, "read"), (BOB, "write"), (BOB, "full")]
    for who, scope in asked:
        explained = access.explain(who.oid, scope, NOTE, context=ADMIN)
        assert (explained.allowed, explained.period) == (False, None)
        assert "no grant" in explained.reason
        assert scope in explained.reason
    assert not access.explain(BOB.oid, "read", NOTE, at=created.seq, context=ADMIN).allowed
    assert access.explain(BOB.oid, "read", ResourcePredicate("nothing", "n-0"), context=ADMIN).period is None


def test_explain_agrees_with_check(ledger: Ledger, story: list[ChainEntry]) -> None:
    access = access_of(ledger)
    for who in (ALICE, BOB, STRANGER, ADMIN):
        for scope in SCOPES:
            assert access.explain(who.oid, scope, NOTE, context=ADMIN).allowed == access.check(who.oid, scope, NOTE)
    assert len(story) == len(ledger)


# history


def test_history_says_who_when_and_by_which_entry(ledger: Ledger) -> None:
    created = ledger.append(note(), ALICE)
    access = access_of(ledger)
    (granted,) = access.grant(to(BOB, exp=LAST_SECOND), ALICE)
    (again,) = access.grant(to(BOB), ALICE)
    (revoked,) = access.revoke(to(BOB), ADMIN)
    expected = [
        AccessPeriod(
            AclGrant("notes", "n-1", ALICE.oid, "full", ALICE.oid, None, "creator", recorded_at(created), 0),
            created.hash,
        ),
        AccessPeriod(
            AclGrant("notes", "n-1", BOB.oid, "read", ALICE.oid, LAST_SECOND, "grant", recorded_at(granted), 1),
            granted.hash,
            again.seq,
            again.hash,
            recorded_at(again),
            ALICE.oid,
        ),
        AccessPeriod(
            AclGrant("notes", "n-1", BOB.oid, "read", ALICE.oid, None, "grant", recorded_at(again), 2),
            again.hash,
            revoked.seq,
            revoked.hash,
            recorded_at(revoked),
            ADMIN.oid,
        ),
    ]
    assert access.history(NOTE, context=ADMIN) == expected
    for context in (ALICE, ADMIN):
        assert access.history(NOTE, context=context) == expected


def test_hashes_of_history_are_those_of_a_verified_chain(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant([to(BOB), to(CAROL, "full")], ALICE)
    access.revoke(to(BOB), CAROL)
    entries = list(ledger.entries(ADMIN))
    assert verify_chain(entries, ledger_id=ledger.id).valid
    by_hash = {entry.hash: entry for entry in entries}
    periods = access.history(NOTE, context=ADMIN)
    assert len(periods) == 3
    for period in periods:
        assert by_hash[period.hash].seq == period.grant.seq
        if period.until_hash is not None:
            assert by_hash[period.until_hash].seq == period.until_seq


def test_history_of_a_transferred_asset(ledger: Ledger) -> None:
    assets = ledger.modules.get("asset")
    registered = assets.register("a-1", owner_oid=ALICE.oid, issuer_oid=ISSUER.oid, context=ALICE)
    moved = assets.transfer("a-1", to_oid=BOB.oid, context=ALICE)
    back = assets.transfer("a-1", to_oid=ALICE.oid, context=BOB)
    rows = {
        (period.grant.principal_oid, period.grant.source, period.grant.seq, period.until_seq, period.ended_by)
        for period in access_of(ledger).history(ASSET, context=ADMIN)
    }
    assert rows == {
        (ALICE.oid, "creator", registered.seq, moved.seq, ALICE.oid),
        (ALICE.oid, "owner", registered.seq, moved.seq, ALICE.oid),
        (ISSUER.oid, "issuer", registered.seq, None, None),
        (BOB.oid, "owner", moved.seq, back.seq, BOB.oid),
        (ALICE.oid, "owner", back.seq, None, None),
    }
    access = access_of(ledger)
    for who, expected in ((ALICE, [True, False, True]), (BOB, [False, True, False]), (ISSUER, [True, True, True])):
        answers = [access.check(who.oid, "full", ASSET, at=entry.seq) for entry in (registered, moved, back)]
        assert answers == expected
    assert access.explain(BOB.oid, "read", ASSET, context=ADMIN).reason.count(BOB.oid) == 2, (
        "who had it, and who ended it"
    )


def test_history_of_a_whole_kind_is_of_its_own_grants(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB), ALICE)
    (entry,) = access.grant(to(CAROL, id="*"), ADMIN)
    assert [period.hash for period in access.history(ResourcePredicate("notes"), context=ADMIN)] == [entry.hash]
    assert entry.hash not in {period.hash for period in access.history(NOTE, context=ADMIN)}
    assert access.history(ResourcePredicate("notes", "n-0"), context=ADMIN) == []


def test_history_outlives_a_restart(database: Path) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        access_of(ledger).grant(to(BOB, exp=1), ALICE)
        access_of(ledger).cleanup_expired(ADMIN)
        before = access_of(ledger).history(NOTE, context=ADMIN)
    with open_ledger(database) as ledger:
        assert access_of(ledger).history(NOTE, context=ADMIN) == before
        assert len(before) == 2


# Redaction.


def test_redacting_a_note_leaves_its_creator(ledger: Ledger) -> None:
    created = ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, "full"), ALICE)
    before = access.history(NOTE, context=ADMIN)
    ledger.redact(created.hash, "asked for", BOB)
    assert access.history(NOTE, context=ADMIN) == before
    assert access.check(ALICE.oid, "full", NOTE)
    found = ledger.get(created.hash, ALICE)
    assert found is not None
    assert found.redacted


def test_redacting_what_names_a_subject_ends_their_grant_and_erases_them(ledger: Ledger) -> None:
    """Whom an erased payload named is erased from history as well: the oid itself was erased."""
    proofs = ledger.modules.get("proof")
    proof = ResourcePredicate("proof", "p-1")
    issued = proofs.issue("p-1", subject_oid=BOB.oid, issuer_oid=ISSUER.oid, context=CAROL)
    access = access_of(ledger)
    assert len(access.grants_on(proof, context=ADMIN)) == 3
    ledger.redact(issued.hash, "asked for", ISSUER)
    assert [(grant.principal_oid, grant.source) for grant in access.grants_on(proof, context=ADMIN)] == [
        (CAROL.oid, "creator")
    ]
    for who in (BOB, ISSUER):
        assert not access.check(who.oid, "read", proof)
        assert ledger.get(issued.hash, who) is None
        assert who.oid not in {period.grant.principal_oid for period in access.history(proof, context=ADMIN)}
        assert access.explain(who.oid, "read", proof, context=ADMIN).allowed is access.check(who.oid, "read", proof)
    assert ledger.verify().valid
    table = access.grants_on(proof, context=ADMIN)
    access.rebuild(ADMIN)
    assert access.grants_on(proof, context=ADMIN) == table


def test_redacting_a_connect_grant_ends_the_apps(ledger: Ledger) -> None:
    grants = ledger.modules.get("connect")
    entry = grants.grant("c-1", subject_oid=ALICE.oid, app_oid=APP.oid, scopes=["mail"], context=ALICE)
    access = access_of(ledger)
    ledger.redact(entry.hash, "asked for", ALICE)
    assert access.grants_of(APP.oid, context=ADMIN) == []
    assert [grant.source for grant in access.grants_of(ALICE.oid, context=ADMIN)] == ["creator"]


def test_entries_that_grant_are_not_redacted(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    (entry,) = access_of(ledger).grant(to(BOB), ALICE)
    for who in (ALICE, ADMIN):
        with pytest.raises(NucleusError):
            ledger.redact(entry.hash, "asked for", who)
    assert access_of(ledger).check(BOB.oid, "read", NOTE)


def test_the_entry_of_a_redaction_is_shown_by_the_redacted_resource(ledger: Ledger) -> None:
    first = ledger.append(note("n-1"), ALICE)
    second = ledger.append(note("n-2"), BOB)
    about_first = ledger.redact(first.hash, "asked for", ALICE)
    about_second = ledger.redact(second.hash, "asked for", BOB)
    access_of(ledger).grant(to(CAROL), ALICE)

    def seen(who: RequestContext) -> list[str]:
        return [entry.hash for entry in ledger.query(QueryFilters(stream="redactions"), who).entries]

    assert seen(ALICE) == [about_first.hash]
    assert seen(BOB) == [about_second.hash]
    assert seen(CAROL) == [], "read is not enough"
    assert seen(ADMIN) == [about_first.hash, about_second.hash]


# Who may ask.


def test_questions_for_somebody(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    access.grant(to(BOB, "read"), ALICE)
    refused: list[Callable[[], object]] = [
        lambda: access.explain(ALICE.oid, "read", NOTE, context=BOB),
        lambda: access.history(NOTE, context=BOB),
        lambda: access.grants_on(NOTE, context=BOB),
        lambda: access.grants_of(ALICE.oid, context=BOB),
        lambda: access.grants_of(BOB.oid, context=ALICE),
        lambda: access.history(ResourcePredicate("notes"), context=ALICE),
        lambda: access.grants_on(ResourcePredicate("notes"), context=ALICE),
    ]
    for call in refused:
        with pytest.raises(AccessDeniedError):
            call()
    assert access.explain(BOB.oid, "read", NOTE, context=BOB).allowed
    assert not access.explain(STRANGER.oid, "read", NOTE, context=STRANGER).allowed
    assert access.explain(BOB.oid, "read", NOTE, context=ALICE).allowed
    assert len(access.grants_of(BOB.oid, context=BOB)) == len(access.grants_of(BOB.oid, context=ADMIN)) == 1


def test_a_refusal_reads_the_same_whether_the_resource_exists(ledger: Ledger) -> None:
    ledger.append(note("n-1"), ALICE)
    messages = []
    for name in ("n-1", "n-0"):
        with pytest.raises(AccessDeniedError) as caught:
            access_of(ledger).history(ResourcePredicate("notes", name), context=STRANGER)
        messages.append(str(caught.value).replace(name, "ID"))
    assert messages[0] == messages[1]


def test_a_stranger_learns_of_themselves_nothing_about_others(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    there = access.explain(STRANGER.oid, "read", NOTE, context=STRANGER)
    missing = access.explain(STRANGER.oid, "read", ResourcePredicate("notes", "n-0"), context=STRANGER)
    assert there.reason.replace("n-1", "ID") == missing.reason.replace("n-0", "ID")
