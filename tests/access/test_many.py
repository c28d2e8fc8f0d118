"""Numbers that somebody else can drive up: entries of one id, streams of one id, kinds, grants, members of a filter.

How long it takes is for the benchmarks; here it is that every way of looking gives the answer of the plain one.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.access.conftest import ADMIN, ALICE, BOB, STRANGER, access_of

from nucleus import (
    AccessDeniedError,
    ChainEntry,
    ConfigError,
    ConflictError,
    Ledger,
    Module,
    ModuleConfig,
    QueryFilters,
    Record,
    RequestContext,
    create_ledger,
)
from nucleus.access import AccessConfig, AclGrant, ResourceFilters

MANY_STREAMS = 1_200
IDS = ("one", "two", "three")


@dataclass(frozen=True)
class World:
    """A ledger in which a few ids are in use in many streams, with its chain."""

    ledger: Ledger
    chain: list[ChainEntry]

    def versions(self, record_id: str, stream: str) -> list[int]:
        """Return the seqs of a record's versions, found one by one."""
        return [entry.seq for entry in self.chain if (entry.record.id, entry.record.stream) == (record_id, stream)]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    chosen = random.Random("many")
    with create_ledger("many", access=AccessConfig(ADMIN.oid)) as ledger:
        ledger.append(Record("one", "orders", {"n": 0}), ALICE)
        # A stream with many entries of other ids, between them the versions of one.
        bulk = [Record("two" if n % 700 == 350 else f"b-{n}", "bulk", {"n": n}) for n in range(2_000)]
        ledger.append_batch(bulk, BOB)
        # In one batch, so that each record is decided with those before it in the open transaction.
        ledger.append_batch([Record("one", f"m-{n}", {"n": n}) for n in range(MANY_STREAMS)], STRANGER)
        ledger.append_batch([Record(chosen.choice(IDS), f"m-{n}", {"n": n}) for n in range(MANY_STREAMS)], STRANGER)
        again = [Record(chosen.choice(IDS), f"m-{chosen.randrange(40)}", {"n": n}) for n in range(600)]
        ledger.append_batch(again, STRANGER)
        ledger.append(Record("one", "orders", {"n": 1}), ALICE)
        yield World(ledger, list(ledger.entries(ADMIN)))


def test_versions_are_those_of_their_stream(world: World) -> None:
    streams = ["orders", "bulk", *(f"m-{n}" for n in (0, 1, 7, 39, 40, 41, MANY_STREAMS - 1)), "nothing"]
    for record_id in (*IDS, "b-7"):
        for stream in streams:
            for who in (ADMIN, ALICE if stream == "orders" else BOB if stream == "bulk" else STRANGER):
                seqs = world.versions(record_id, stream)
                assert [entry.seq for entry in world.ledger.history(record_id, who, stream=stream)] == seqs
                newest = world.ledger.get_by_id(record_id, who, stream=stream)
                assert (None if newest is None else newest.seq) == (seqs[-1] if seqs else None)
                filters = QueryFilters(stream=stream, id=record_id, order="desc", limit=1, with_total=True)
                page = world.ledger.query(filters, who)
                assert ([entry.seq for entry in page.entries], page.total) == (seqs[-1:], len(seqs))


def test_others_are_answered_their_own(world: World) -> None:
    seqs = world.versions("one", "orders")
    newest = world.ledger.get_by_id("one", ALICE)
    assert newest is not None
    assert newest.seq == seqs[-1]
    assert [entry.seq for entry in world.ledger.history("one", ALICE)] == seqs
    for order in ("asc", "desc"):
        page = world.ledger.query(QueryFilters(id="one", order=order, with_total=True), ALICE)
        assert sorted(entry.seq for entry in page.entries) == seqs
        assert page.total == len(seqs)
    assert world.ledger.query(QueryFilters(id="one", with_total=True), BOB).total == 0
    for who in (STRANGER, ADMIN):
        with pytest.raises(ConflictError, match="stream="):
            world.ledger.get_by_id("one", who)


def test_newest_versions_of_many_streams(world: World) -> None:
    newest = {(entry.record.stream, entry.record.id): entry.seq for entry in world.chain}
    expected = sorted(seq for (stream, _), seq in newest.items() if stream.startswith("m-"))
    found, cursor = [], None
    while True:
        page = world.ledger.query(QueryFilters(latest_only=True, limit=1_000, cursor=cursor), STRANGER)
        found += [entry.seq for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == expected


def test_who_may_write_is_decided_alike_in_a_batch(world: World) -> None:
    before = world.ledger.head()
    for records in ([Record("one", "orders", {})], [Record("one", "new", {}), Record("one", "orders", {})]):
        with pytest.raises(AccessDeniedError):
            world.ledger.append_batch(records, BOB)
    assert world.ledger.head() == before


# Grants that nobody asked for.


@pytest.mark.parametrize("kinds", [1_100, 1_500])
def test_grants_in_many_kinds_hide_nothing(kinds: int) -> None:
    with create_ledger("flood", access=AccessConfig(ADMIN.oid)) as ledger:
        ledger.append_batch([Record(f"b-{n}", "bulk", {}) for n in range(3_000)], ADMIN)
        own = [entry.seq for entry in ledger.append_batch([Record(f"o-{n}", "orders", {}) for n in range(5)], ALICE)]
        spam = ledger.append_batch([Record(f"x-{n}", f"kind-{n}", {}) for n in range(kinds)], STRANGER)
        access_of(ledger).grant([AclGrant(f"kind-{n}", f"x-{n}", ALICE.oid, "read") for n in range(kinds)], STRANGER)
        expected = [*own, *(entry.seq for entry in spam)]
        page = ledger.query(QueryFilters(limit=10_000, with_total=True), ALICE)
        assert ([entry.seq for entry in page.entries], page.total) == (expected, len(expected))
        first = ledger.query(QueryFilters(limit=3), ALICE)
        assert [entry.seq for entry in first.entries] == expected[:3]
        last = ledger.query(QueryFilters(limit=3, order="desc"), ALICE)
        assert [entry.seq for entry in last.entries] == expected[:-4:-1]


def test_many_grants_on_one_id() -> None:
    """So many that they are gone through kind by kind."""
    with create_ledger("many", access=AccessConfig(ADMIN.oid)) as ledger:
        people = [RequestContext.local(f"oid:onoal:user:p-{n}") for n in range(60)]
        ledger.append(Record("x", "orders", {"n": 0}), ALICE)
        access_of(ledger).grant([AclGrant("orders", "x", who.oid, "read") for who in people], ALICE)
        newest = ledger.append(Record("x", "orders", {"n": 1}), ALICE)
        for who in (ALICE, people[0], people[-1], ADMIN):
            assert ledger.get_by_id("x", who) == newest
        assert ledger.get_by_id("x", BOB) is None
        ledger.append_batch([Record("x", f"evil-{n}", {}) for n in range(80)], STRANGER)
        access_of(ledger).grant([AclGrant(f"evil-{n}", "x", BOB.oid, "read") for n in range(40)], STRANGER)
        assert ledger.get_by_id("x", people[7]) == newest
        with pytest.raises(ConflictError, match="evil-"):
            ledger.get_by_id("x", BOB)


# Lists by somebody's OID.


@pytest.mark.parametrize("own", [3, 100, 700])
def test_lists_by_owner_show_what_may_be_read(own: int) -> None:
    modules = [ModuleConfig("asset", "1.0.0")]
    with create_ledger("lists", modules=modules, access=AccessConfig(ADMIN.oid)) as ledger:
        assets = ledger.modules.get("asset")
        ledger.append_batch([Record(f"a-{n}", "assets", {"owner_oid": ALICE.oid}) for n in range(own)], ALICE)
        ledger.append_batch([Record(f"b-{n}", "assets", {"owner_oid": BOB.oid}) for n in range(500)], ADMIN)
        access_of(ledger).grant([AclGrant("asset", f"b-{n}", ALICE.oid, "read") for n in (3, 400)], BOB)
        assert [asset.id for asset in assets.list(owner_oid=BOB.oid, context=ALICE)] == ["b-3", "b-400"]
        mine = assets.list(owner_oid=ALICE.oid, limit=1_000, context=ALICE)
        assert [asset.id for asset in mine] == [f"a-{n}" for n in range(own)]
        assert list(assets.list(owner_oid=STRANGER.oid, context=ALICE)) == []


# Bounds.


@pytest.mark.parametrize("access", [None, AccessConfig(ADMIN.oid)], ids=["without", "with"])
@pytest.mark.parametrize("members", [16, 17, 88, 100, 256])
def test_many_members_are_compared(members: int, access: AccessConfig | None) -> None:
    with create_ledger("members", access=access) as ledger:
        payload = {f"k{n}": n for n in range(members)}
        wanted = ledger.append(Record("a", "notes", payload), ALICE)
        for name in (f"k{members - 1}", "k0"):
            ledger.append(Record("b", "notes", {**payload, name: -1}), ALICE)
        for stream in (None, "notes"):
            page = ledger.query(QueryFilters(stream=stream, payload=payload, with_total=True), ALICE)
            assert (page.entries, page.total) == ([wanted], 1)


@pytest.mark.parametrize("access", [None, AccessConfig(ADMIN.oid)], ids=["without", "with"])
def test_too_many_members_are_refused(access: AccessConfig | None) -> None:
    with create_ledger("members", access=access) as ledger:
        payload = {f"k{n}": n for n in range(257)}
        with pytest.raises(ConfigError, match="at most 256 members, not 257"):
            ledger.query(QueryFilters(payload=payload), ALICE)


def opened_with(streams: int, access: AccessConfig | None) -> Ledger:
    """Open a ledger whose module says the kind of many streams."""
    names = tuple(f"things-{n}" for n in range(streams))
    module = type("Things", (Module,), {"streams": names, "resource_kind": "thing"})
    return create_ledger("streams", modules=[ModuleConfig("Things", "1.0.0", implementation=module)], access=access)


def test_many_streams_of_a_module() -> None:
    with opened_with(990, AccessConfig(ADMIN.oid)) as ledger:
        records = [Record(f"t-{n}", f"things-{n}", {}) for n in range(0, 990, 9)]
        expected = [entry.seq for entry in ledger.append_batch(records, ALICE)]
        ledger.append(Record("t-9", "things-0", {}), ALICE)
        assert ledger.query(QueryFilters(with_total=True), ALICE).total == len(expected) + 1
        assert [entry.record.stream for entry in ledger.history("t-9", ALICE)] == ["things-9", "things-0"]
        with pytest.raises(AccessDeniedError):
            ledger.append(Record("t-9", "things-700", {}), BOB)
        access_of(ledger).grant(AclGrant("thing", "*", BOB.oid, "full"), ADMIN)
        page = ledger.query(QueryFilters(limit=50), BOB)
        assert [entry.seq for entry in page.entries] == expected[:50]
        assert len(access_of(ledger).list(BOB.oid, ResourceFilters("thing", limit=5), context=BOB)) == 5


def test_too_many_streams_of_modules_are_refused_when_opening() -> None:
    with pytest.raises(ConfigError, match="at most 1000 streams"):
        opened_with(3_000, AccessConfig(ADMIN.oid))
    with opened_with(3_000, None) as ledger:
        assert ledger.append(Record("t-1", "things-2999", {}), ALICE).seq == 0
