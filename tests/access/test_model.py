"""Thousands of random operations, and whatever can be asked after them, against a naive model."""

import random
import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest
from tests.access.conftest import ADMIN, access_of, open_ledger
from tests.access.model import SCOPES, Entry, Model, ResourceName
from tests.access.operations import REQUESTERS, RESOURCE_IDS, RESOURCES, Operations, outcome_of

from nucleus import ChainEntry, ConflictError, Ledger, QueryFilters, RequestContext
from nucleus.access import AclGrant, ResourceFilters, ResourcePredicate

# Nobody ever names them.
NOBODY = RequestContext.local("oid:onoal:user:nobody")
PRINCIPALS = (*REQUESTERS, NOBODY)
STREAMS = ("notes", "lists", "asset", "assets", "proofs", "tokens", "connect_grants", "acl_grants", "redactions")

GrantRow = tuple[object, ...]


def predicate(resource: ResourceName) -> ResourcePredicate:
    kind, record_id = resource
    return ResourcePredicate(kind, None if record_id == "*" else record_id)


class Comparison:
    """A ledger and its model, and every question that both can answer."""

    def __init__(self, ledger: Ledger, creation: Literal["anyone", "granted"], seed: int) -> None:
        self.ledger = ledger
        self.access = access_of(ledger)
        self.model = Model(ADMIN.oid, creation, int(time.time()))
        self.chain: list[ChainEntry] = []
        self.hashes: list[str] = []
        self.random = random.Random(seed)
        self.operations = iter(Operations(seed, self.model, self.hashes))

    def read_new(self) -> None:
        """Take what was appended, as the administrator reads it."""
        for entry in self.ledger.entries(ADMIN, start_seq=len(self.chain)):
            self.chain.append(entry)
            self.hashes.append(entry.hash)
        streams = [entry.stream for entry in self.model.entries]
        assert [entry.record.stream for entry in self.chain] == streams

    def everything(self) -> None:
        """Compare every question for every principal."""
        self.decisions()
        self.grant_lists()
        for context in PRINCIPALS:
            visible = self.model.readable(context.oid)
            self.pages(context, visible)
            self.single_reads(context, visible)
            self.resource_lists(context)
        self.periods()
        self.past()
        assert self.ledger.verify().valid

    def decisions(self, resources: Iterable[ResourceName] = RESOURCES) -> None:
        """``check`` and ``check_many``."""
        named = list(resources)
        for context in PRINCIPALS:
            for scope in SCOPES:
                expected = [self.model.check(context.oid, scope, resource) for resource in named]
                found = self.access.check_many(context.oid, scope, [predicate(resource) for resource in named])
                assert dict(zip(named, found, strict=True)) == dict(zip(named, expected, strict=True)), (context, scope)

    def grant_lists(self) -> None:
        """``grants_of`` and ``grants_on``."""
        live = self.model.live_grants()
        rows = [
            (grant.kind, grant.id, grant.principal, grant.scope, grant.source, grant.granted_by, grant.exp, grant.seq)
            for grant in live
        ]
        for context in PRINCIPALS:
            expected = [row for row in rows if row[2] == context.oid]
            assert self.rows(self.access.grants_of(context.oid, context=ADMIN)) == Counter(expected)
        for kind, record_id in RESOURCES:
            expected = [row for row in rows if row[:2] == (kind, record_id)]
            assert self.rows(self.access.grants_on(predicate((kind, record_id)), context=ADMIN)) == Counter(expected)

    def rows(self, grants: Iterable[AclGrant]) -> Counter[GrantRow]:
        """Grants as the model says them; when they were made, their entry says."""
        rows: Counter[GrantRow] = Counter()
        for grant in grants:
            assert grant.seq is not None
            meta = self.chain[grant.seq].record.meta
            assert meta is not None
            assert grant.created_at == meta["recorded_at"]
            named = (grant.resource_kind, grant.resource_id, grant.principal_oid, grant.scope)
            rows[*named, grant.source, grant.granted_by, grant.exp, grant.seq] += 1
        return rows

    def pages(self, context: RequestContext, visible: list[Entry]) -> None:
        """``entries``, and ``query`` from the first page to the last."""
        assert [entry.seq for entry in self.ledger.entries(context)] == [entry.seq for entry in visible]
        for stream in (None, self.random.choice(STREAMS)):
            matching = [entry for entry in visible if stream in (None, entry.stream)]
            self.walk(context, matching, QueryFilters(stream=stream))
        stream = self.random.choice(("notes", "assets", "proofs", "connect_grants"))
        newest = [
            entry
            for entry in visible
            if entry.stream == stream and self.model.newest[entry.stream, entry.id] == entry.seq
        ]
        self.walk(context, newest, QueryFilters(stream=stream, latest_only=True))

    def walk(self, context: RequestContext, matching: list[Entry], filters: QueryFilters) -> None:
        """Read all pages of a query, of a random size in a random order."""
        order: Literal["asc", "desc"] = self.random.choice(["asc", "desc"])
        limit = self.random.randint(1, 12) if len(matching) < 100 else self.random.randint(10, 60)
        expected = [entry.seq for entry in (matching if order == "asc" else matching[::-1])]
        found: list[int] = []
        cursor = None
        while True:
            page = self.ledger.query(
                QueryFilters(
                    stream=filters.stream,
                    latest_only=filters.latest_only,
                    limit=limit,
                    cursor=cursor,
                    order=order,
                    with_total=True,
                ),
                context=context,
            )
            assert page.total == len(expected)
            found += [entry.seq for entry in page.entries]
            assert found == expected[: len(found)]
            assert page.has_more == (len(found) < len(expected)) == (page.next_cursor is not None)
            if not page.has_more:
                return
            assert len(page.entries) == limit, "a page that is not the last is full"
            cursor = page.next_cursor

    def single_reads(self, context: RequestContext, visible: list[Entry]) -> None:
        """``get``, ``get_by_id`` and ``history``, of what may be read and of what may not."""
        seqs = {entry.seq for entry in visible}
        for seq in self.random.sample(range(len(self.chain)), min(25, len(self.chain))):
            entry = self.chain[seq]
            found = self.ledger.get(entry.hash, context)
            assert (None if found is None else found.seq) == (seq if seq in seqs else None)
            assert found is None or found.redacted == self.model.entries[seq].erased
            record_id = entry.record.id
            for stream in (None, entry.record.stream):
                records = [
                    (other.seq, other.record.stream)
                    for other in self.chain
                    if other.seq in seqs and other.record.id == record_id and stream in (None, other.record.stream)
                ]
                versions = [seq for seq, _ in records]
                # A stream that is nobody's counts as a kind of its own.
                if len({self.model.resource_of(of, record_id) or of for _, of in records}) > 1:
                    for call in (self.ledger.history, self.ledger.get_by_id):
                        with pytest.raises(ConflictError, match="stream=") as refused:
                            call(record_id, context)
                        assert refused.value.existing_hash is None
                        named = set(re.findall(r"`([^`]*)`", str(refused.value))) - {record_id}
                        assert len(named) > 1
                        assert named <= {of for _, of in records}
                    continue
                assert [other.seq for other in self.ledger.history(record_id, context, stream=stream)] == versions
                newest = self.ledger.get_by_id(record_id, context, stream=stream)
                assert (None if newest is None else newest.seq) == (versions[-1] if versions else None)

    def resource_lists(self, context: RequestContext) -> None:
        """``list``, page by page."""
        for kind in RESOURCE_IDS:
            limit, cursor = self.random.randint(1, 9), None
            found: list[tuple[str, int]] = []
            expected = self.model.resources_of_kind(context.oid, kind)
            while True:
                page = self.access.list(context.oid, ResourceFilters(kind, limit=limit, cursor=cursor), context=ADMIN)
                found += [(item.id, item.entry.seq) for item in page if item.entry is not None]
                assert found == expected[: len(found)]
                assert page.has_more == (len(found) < len(expected))
                if not page.has_more:
                    break
                assert len(page) == limit
                cursor = page.next_cursor

    def periods(self) -> None:
        """``history`` of a resource."""
        for resource in self.random.sample(RESOURCES, 15):
            expected = [
                (
                    *(grant.kind, grant.id, grant.principal, grant.scope),
                    *(grant.source, grant.granted_by, grant.exp),
                    *(grant.seq, grant.until),
                )
                for grant in self.model.grants.get(resource, ())
            ]
            periods = self.access.history(predicate(resource), context=ADMIN)
            assert [period.grant.seq for period in periods] == sorted(row[7] for row in expected)
            found: Counter[GrantRow] = Counter()
            for period in periods:
                ((row, _),) = self.rows([period.grant]).items()
                found[*row, period.until_seq] += 1
                assert period.hash == self.hashes[int(str(row[7]))]
                end = None if period.until_seq is None else self.chain[period.until_seq]
                meta = {} if end is None else end.record.meta
                assert meta is not None
                assert period.until_hash == (None if end is None else end.hash)
                assert (period.ended_at, period.ended_by) == (meta.get("recorded_at"), meta.get("requester_oid"))
            assert found == Counter(expected)

    def past(self) -> None:
        """``check(at=seq)`` and ``explain``."""
        for _ in range(60 if self.chain else 0):
            principal, scope = self.random.choice(PRINCIPALS).oid, self.random.choice(SCOPES)
            resource, seq = self.random.choice(RESOURCES), self.random.randrange(len(self.chain))
            if granted := self.model.grants.get(resource):
                grant = self.random.choice(granted)
                # About the entries that something begins or ends with.
                moments = [grant.seq, (grant.until or seq + 1) - 1, grant.until or seq]
                principal, seq = grant.principal, self.random.choice(moments)
            expected = self.model.check(principal, scope, resource, at=seq)
            assert self.access.check(principal, scope, predicate(resource), at=seq) == expected, (resource, seq)
            explained = self.access.explain(principal, scope, predicate(resource), context=ADMIN)
            assert explained.allowed == self.model.check(principal, scope, resource)

    def step(self) -> str:
        """Do one random operation on both sides; return what came of it."""
        operation = next(self.operations)
        answers: list[object] = []
        length = len(self.model.entries)
        expected = outcome_of(lambda: answers.append(operation.on_model(self.model)))
        found = outcome_of(lambda: answers.append(operation.on_ledger(self.ledger)))
        assert (found, len(self.ledger)) == (expected, len(self.model.entries)), operation.says
        if "uniquely" in operation.says and answers:
            assert answers[0] == answers[1], operation.says
        self.read_new()
        changed = {entry.resource for entry in self.model.entries[length:] if entry.resource is not None}
        self.decisions(changed)
        return f"{operation.says.split()[1]} {found}"


@pytest.mark.parametrize(
    ("creation", "in_file", "seed"),
    [
        ("anyone", False, 1),
        ("anyone", False, 2),
        ("anyone", True, 3),
        ("granted", False, 4),
        ("granted", True, 5),
        ("anyone", False, 6),
    ],
)
def test_random_operations_agree_with_the_model(
    database: Path, creation: Literal["anyone", "granted"], in_file: bool, seed: int
) -> None:
    outcomes: Counter[str] = Counter()
    with open_ledger(database if in_file else None, creation=creation) as ledger:
        both = Comparison(ledger, creation, seed)
        for number in range(1, 1_501):
            outcomes[both.step()] += 1
            if number % 100 == 0:
                both.everything()
                access_of(ledger).rebuild(ADMIN)
                both.decisions()
                both.grant_lists()
        assert ledger.verify(deep=True).valid
    for action in ("appends", "grants", "revokes", "redacts"):
        assert outcomes[f"{action} done"] >= 10, outcomes
        # Few are denied an erasure: whoever may not read the entry is told that there is none.
        assert outcomes[f"{action} denied"] >= (3 if action == "redacts" else 10), outcomes
    assert outcomes["revokes conflict"] >= 3, outcomes
