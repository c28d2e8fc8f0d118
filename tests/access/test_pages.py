"""Pages of principals with few, some and many grants, against a naive selection from the whole chain.

Where the entries of a page are looked for depends on how many grants there are; what is on it must not.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.access.conftest import ADMIN, access_of

from nucleus import ChainEntry, Ledger, QueryFilters, RequestContext, create_ledger
from nucleus.access import AccessConfig, AclGrant, Scope

ENTRIES = 6_000
STREAMS = ("orders", "invoices", "payments", "assets-old")
GRANTS: dict[str, tuple[int, Scope]] = {
    "nobody": (0, "read"),
    "one": (1, "read"),
    "few": (50, "read"),
    "some": (60, "full"),
    "several": (600, "read"),
    "many": (3_000, "read"),
}
QUESTIONS = 60


def context(name: str) -> RequestContext:
    return RequestContext.local(f"oid:onoal:user:{name}")


@dataclass(frozen=True)
class World:
    """A ledger, its chain, and which entries each principal may read."""

    ledger: Ledger
    chain: list[ChainEntry]
    visible: dict[str, list[ChainEntry]]


def record(number: int) -> dict[str, Any]:
    # Every third entry is another version of something: one in twelve of the same ten resources.
    resource = number % 10 if number % 12 == 0 else number // 2 if number % 3 == 0 else number
    return {
        "id": f"r-{resource}",
        "stream": STREAMS[resource % len(STREAMS)],
        "payload": {"n": number % 7},
        "timestamp": 1_000 + number,
    }


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    chosen = random.Random("pages")
    with create_ledger("pages", access=AccessConfig(ADMIN.oid)) as ledger:
        ledger.append_batch([record(number) for number in range(ENTRIES)], ADMIN)
        resources = sorted({(entry.record.stream, entry.record.id) for entry in ledger.entries(ADMIN)})
        granted: dict[str, set[tuple[str, str]]] = {}
        for name, (count, scope) in GRANTS.items():
            granted[name] = set(chosen.sample(resources, count))
            access_of(ledger).grant(
                [
                    AclGrant(*resource, principal_oid=context(name).oid, scope=scope)
                    for resource in sorted(granted[name])
                ],
                ADMIN,
            )
        whole = {"kind": {"payments"}, "kinds": set(STREAMS[:3])}
        for name, kinds in whole.items():
            access_of(ledger).grant([AclGrant(kind, "*", context(name).oid, "read") for kind in sorted(kinds)], ADMIN)
            granted[name] = set(chosen.sample(resources, 40))
            access_of(ledger).grant(
                [
                    AclGrant(*resource, principal_oid=context(name).oid, scope="read")
                    for resource in sorted(granted[name])
                ],
                ADMIN,
            )
        for entry in chosen.sample(list(ledger.entries(ADMIN, end_seq=ENTRIES)), 40):
            ledger.redact(entry.hash, "asked for", ADMIN)
        ledger.append_batch([record(number) for number in range(ENTRIES, ENTRIES + 300)], ADMIN)
        chain = list(ledger.entries(ADMIN))

        def sees(name: str, entry: ChainEntry) -> bool:
            stream, payload = entry.record.stream, entry.record.payload
            full = granted[name] if GRANTS.get(name, (0, "read"))[1] == "full" else set()
            if stream == "acl_grants":
                assert payload is not None
                return (payload["resource_kind"], payload["resource_id"]) in full
            if stream == "redactions":
                assert payload is not None
                about = chain[payload["seq"]].record
                return (about.stream, about.id) in full
            return stream in whole.get(name, ()) or (stream, entry.record.id) in granted[name]

        visible = {name: [entry for entry in chain if sees(name, entry)] for name in granted}
        yield World(ledger, chain, visible)


def question(chosen: random.Random, world: World, name: str) -> dict[str, Any]:
    """Return filters, each of them now and then."""
    known = world.visible[name] or world.chain
    optional: dict[str, Any] = {
        "stream": chosen.choice([*STREAMS, "acl_grants", "redactions", "missing"]),
        "id": chosen.choice([chosen.choice(known).record.id, chosen.choice(world.chain).record.id, "missing"]),
        "since": 1_000 + chosen.randrange(ENTRIES),
        "until": 1_000 + chosen.randrange(ENTRIES),
        "payload": {"n": chosen.randrange(8)},
        "latest_only": True,
        "offset": chosen.choice([1, 7, 100, 1_030]),
    }
    given = {key: value for key, value in optional.items() if chosen.random() < 0.2}
    return given | {"order": chosen.choice(["asc", "desc"]), "limit": chosen.choice([1, 3, 10, 100, 1_023, 10_000])}


def expected(entries: list[ChainEntry], asked: dict[str, Any]) -> list[int]:
    """Select from what is visible, with the offset taken off."""

    def matches(entry: ChainEntry) -> bool:
        record, payload = entry.record, entry.record.payload
        return (
            record.stream == asked.get("stream", record.stream)
            and record.id == asked.get("id", record.id)
            and asked.get("since", record.timestamp) <= record.timestamp < asked.get("until", record.timestamp + 1)
            and all(
                payload is not None and payload.get(key) == value for key, value in asked.get("payload", {}).items()
            )
        )

    # Access goes by stream and id, so that the newest version is as visible as all others.
    newest = {(entry.record.stream, entry.record.id): entry.seq for entry in entries}
    found = [
        entry.seq
        for entry in entries
        if matches(entry)
        and (not asked.get("latest_only") or newest[entry.record.stream, entry.record.id] == entry.seq)
    ]
    return (found if asked["order"] == "asc" else found[::-1])[asked.get("offset", 0) :]


@pytest.mark.parametrize("name", [*GRANTS, "kind", "kinds"])
def test_pages(world: World, name: str) -> None:
    chosen = random.Random(name)
    who, answered = context(name), 0
    for _ in range(QUESTIONS):
        asked = question(chosen, world, name)
        wanted = expected(world.visible[name], asked)
        page = world.ledger.query(QueryFilters(**asked, with_total=True), who)
        assert page.total == len(expected(world.visible[name], {**asked, "offset": 0})), asked
        found = [entry.seq for entry in page.entries]
        pages = 1
        while page.next_cursor is not None and pages < 40:
            assert len(page.entries) == asked["limit"], "every page is full while there is more"
            following = {key: value for key, value in asked.items() if key != "offset"}
            page = world.ledger.query(QueryFilters(**following, cursor=page.next_cursor), who)
            found += [entry.seq for entry in page.entries]
            pages += 1
        assert found == wanted[: len(found)], asked
        assert page.next_cursor is not None or len(found) == len(wanted), asked
        answered += bool(found)
    assert answered == 0 if name == "nobody" else answered >= 5


def test_grants_that_somebody_else_made_up_do_not_hide_the_others() -> None:
    """Anybody may create resources in streams of their own and grant them to whomever they like."""
    with create_ledger("flood", access=AccessConfig(ADMIN.oid)) as ledger:
        victim, mallory = context("victim"), context("mallory")
        for stream in range(70):
            batch = [{"id": f"r-{n}", "stream": f"m-{stream}", "payload": {}} for n in range(20)]
            ledger.append_batch(batch, mallory)
            access_of(ledger).grant([AclGrant(f"m-{stream}", f"r-{n}", victim.oid, "read") for n in range(20)], mallory)
        entry = ledger.append({"id": "mine", "stream": "notes", "payload": {}}, victim)
        assert len(list(ledger.entries(victim))) == 70 * 20 + 1
        newest = ledger.query(QueryFilters(limit=1, order="desc", with_total=True), victim)
        assert (newest.entries[0].hash, newest.total) == (entry.hash, 70 * 20 + 1)
        assert len(ledger.query(QueryFilters(payload={}, limit=10_000), victim).entries) == 70 * 20 + 1


@pytest.mark.parametrize("kinds", [1, 16, 17, 40, 70])
def test_many_whole_kinds(kinds: int) -> None:
    with create_ledger("kinds", access=AccessConfig(ADMIN.oid)) as ledger:
        ledger.append_batch([{"id": "a", "stream": f"s-{n}", "payload": {}} for n in range(kinds)], ADMIN)
        who = context("kinds")
        grants = [AclGrant(f"s-{n}", "*", who.oid, "read") for n in range(kinds)]
        access_of(ledger).grant([*grants, AclGrant("s-0", "*", who.oid, "full")], ADMIN)
        access_of(ledger).grant(AclGrant("other", "b", who.oid, "read"), ADMIN)
        page = ledger.query(QueryFilters(with_total=True), who)
        # With `full` on a kind come the two entries that grant it.
        assert page.total == len(page.entries) == kinds + 2
