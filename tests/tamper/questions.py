"""Whatever a ledger can be asked, compared with what a list of its entries says.

Nothing here looks anything up: each expected answer is a walk over the list (or, for access control, the model).
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeVar

from tests.access.model import SCOPES, Model
from tests.tamper.bases import ADMIN, ISSUER, LAST_SECOND, SYMBOLS, Base, person

from nucleus import (
    ChainEntry,
    Ledger,
    NucleusError,
    QueryFilters,
    Record,
    RecordRefusedError,
)
from nucleus.access import ResourceFilters, ResourcePredicate

T = TypeVar("T")

MANY: Final = 150
"""Of so many entries or ids all are asked for; of more, a sample."""
SAMPLE: Final = 60
NOBODY: Final = person(999)


class WrongAnswerError(Exception):
    """A ledger answered something that its entries do not say."""


class Truth:
    """A chain, and naive answers from it."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.entries = base.entries
        self.versions: dict[str, list[ChainEntry]] = defaultdict(list)
        self.in_stream: dict[str | None, list[ChainEntry]] = defaultdict(list)
        self.newest: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            self.versions[entry.record.id].append(entry)
            self.in_stream[entry.record.stream].append(entry)
            self.newest[entry.record.stream, entry.record.id] = entry.seq
        self.in_stream[None] = self.entries
        self.streams = {stream: len(of) for stream, of in self.in_stream.items() if stream is not None}
        self.latest = set(self.newest.values())
        self.payloads = [entry.record.payload for entry in self.entries]
        self.timestamps = [entry.record.timestamp for entry in self.entries]

    def matching(self, filters: QueryFilters) -> list[ChainEntry]:
        """Return the entries that match, in the order asked for."""
        candidates = self.in_stream[filters.stream] if filters.id is None else self.versions[filters.id]
        found = [entry for entry in candidates if self._matches(entry, filters)]
        return found if filters.order == "asc" else found[::-1]

    def _matches(self, entry: ChainEntry, filters: QueryFilters) -> bool:
        seq = entry.seq
        return (
            (filters.since is None or self.timestamps[seq] >= filters.since)
            and (filters.until is None or self.timestamps[seq] < filters.until)
            and (filters.payload is None or _contains(self.payloads[seq], filters.payload))
            and (filters.id is None or filters.stream in (None, entry.record.stream))
            and (not filters.latest_only or seq in self.latest)
        )

    def newest_in(self, stream: str, **members: str) -> list[str]:
        """Return the ids of records whose newest payload has these members, in the order of the newest entries."""
        return [
            entry.record.id
            for entry in self.matching(QueryFilters(stream=stream, payload=members or None, latest_only=True))
        ]

    def balances(self, symbol: str) -> Counter[str]:
        """Return what each account holds of a token, summed up from its operations."""
        sums: Counter[str] = Counter()
        for payload in (self.payloads[entry.seq] for entry in self.in_stream["tokens"]):
            if payload["symbol"] == symbol and "amount" in payload:
                for side, sign in (("from_oid", -1), ("to_oid", 1)):
                    if side in payload:
                        sums[payload[side]] += sign * int(payload["amount"])
        return sums


def _contains(payload: Any, members: Any) -> bool:
    return isinstance(payload, dict) and all(
        name in payload and payload[name] == value and type(payload[name]) is type(value)
        for name, value in members.items()
    )


@dataclass
class Inquiry:
    """The questions put to one opened ledger.

    Attributes:
        ledger: the ledger.
        truth: what is so.
        chance: decides what is asked where not everything is.
        near: seqs of entries that an edit is about; they are asked for in any case.
        plain: it was opened without modules and access control.
    """

    ledger: Ledger
    truth: Truth
    chance: random.Random
    near: frozenset[int]
    plain: bool = False

    def everything(self) -> None:
        """Ask all questions that change nothing.

        Raises:
            WrongAnswerError: an answer differs, or is an error.
        """
        self._chain()
        self._single_entries()
        self._ids()
        self._queries()
        if self.truth.base.modules and not self.plain:
            self._modules()
        if self.truth.base.model and not self.plain:
            self._access(self.truth.base.model)

    def expect(self, what: str, answer: Callable[[], object], expected: object) -> None:
        """Compare one answer; an error is none."""
        try:
            found = answer()
        except NucleusError as error:
            raise WrongAnswerError(f"{what}: {type(error).__name__}: {str(error)[:200]}") from error
        if found != expected:
            raise WrongAnswerError(f"{what}: {_short(found)} instead of {_short(expected)}")

    # The chain.

    def _chain(self) -> None:
        entries, last = self.truth.entries, self.truth.entries[-1]
        self.expect("len", lambda: len(self.ledger), len(entries))
        self.expect("head", self.ledger.head, (last.seq, last.hash))
        self.expect("stats", self._stats, self._true_stats())
        self._all_entries(entries)

    def _all_entries(self, entries: list[ChainEntry]) -> None:
        if len(entries) <= 2_000:
            self.expect("entries", lambda: list(self.ledger.entries(ADMIN)), entries)
            return
        for seq in self._some(range(len(entries)), 8):
            part = entries[seq : seq + 50]
            self.expect(
                f"entries from {seq}",
                lambda seq=seq: list(self.ledger.entries(ADMIN, start_seq=seq, end_seq=seq + 50)),
                part,
            )

    def _stats(self) -> object:
        stats = self.ledger.stats()
        names = ("entries", "redacted", "head", "streams", "first_timestamp", "last_timestamp")
        return {name: stats[name] for name in names}

    def _true_stats(self) -> object:
        entries = self.truth.entries
        return {
            "entries": len(entries),
            "redacted": sum(entry.redacted for entry in entries),
            "head": (entries[-1].seq, entries[-1].hash),
            "streams": dict(self.truth.streams),
            "first_timestamp": min(self.truth.timestamps),
            "last_timestamp": max(self.truth.timestamps),
        }

    def _single_entries(self) -> None:
        for seq in self._some(range(len(self.truth.entries)), SAMPLE) | self._near():
            entry = self.truth.entries[seq]
            self.expect(f"get, entry {seq}", lambda entry=entry: self.ledger.get(entry.hash, ADMIN), entry)
        self.expect("get, no entry", lambda: self.ledger.get("0" * 64, ADMIN), None)

    def _ids(self) -> None:
        ids = {self.truth.entries[seq].record.id for seq in self._near()}
        ids |= self._some(self.truth.versions, SAMPLE)
        for record_id in sorted(ids):
            versions = self.truth.versions[record_id]
            stream = self.chance.choice(versions).record.stream
            inside = [entry for entry in versions if entry.record.stream == stream]
            self.expect(
                f"history of {record_id}",
                lambda record_id=record_id: self.ledger.history(record_id, ADMIN),
                versions,
            )
            self.expect(
                f"history of {record_id} in {stream}",
                lambda record_id=record_id, stream=stream: self.ledger.history(record_id, ADMIN, stream=stream),
                inside,
            )
            self.expect(
                f"get_by_id of {record_id}",
                lambda record_id=record_id: self.ledger.get_by_id(record_id, ADMIN),
                versions[-1],
            )
            self.expect(
                f"get_by_id of {record_id} in {stream}",
                lambda record_id=record_id, stream=stream: self.ledger.get_by_id(record_id, ADMIN, stream=stream),
                inside[-1],
            )
        self.expect("get_by_id, no such id", lambda: self.ledger.get_by_id("nothing", ADMIN), None)

    def _near(self) -> set[int]:
        return {seq for seq in self.near if 0 <= seq < len(self.truth.entries)}

    def _some(self, all: Iterable[T], number: int) -> set[T]:
        listed = list(all)
        return set(listed if len(listed) <= MANY else self.chance.sample(listed, number))

    # Queries.

    def _queries(self) -> None:
        few = len(self.truth.entries) > 2_000
        streams = sorted(self.truth.streams)
        for stream in self.chance.sample(streams, min(2, len(streams))) if few else streams:
            self._walk(QueryFilters(stream=stream, order=self._order()), limit=10_000)
        for _ in range(2 if few else 5):
            self._walk(self._filters(few), limit=self.chance.choice([37, 200, 10_000]))

    def _filters(self, few: bool) -> QueryFilters:
        chance, near = self.chance, sorted(self._near())
        seq = chance.choice(near) if near and chance.random() < 0.5 else chance.randrange(len(self.truth.entries))
        entry = self.truth.entries[seq]
        filters = QueryFilters(order=self._order(), latest_only=chance.random() < 0.3)
        if chance.random() < 0.6:
            filters = replace(filters, stream=entry.record.stream)
        if chance.random() < 0.5 or few:
            since = entry.record.timestamp - chance.randrange(20_000)
            filters = replace(filters, since=since, until=since + chance.choice([40, 4_000, 40_000]))
        if isinstance(payload := self.truth.payloads[seq], dict) and payload and chance.random() < 0.5:
            name = chance.choice(sorted(payload))
            filters = replace(filters, payload={name: payload[name]})
        if chance.random() < 0.2:
            filters = replace(filters, id=entry.record.id)
        return filters

    def _order(self) -> Literal["asc", "desc"]:
        return self.chance.choice(["asc", "desc"])

    def _walk(self, filters: QueryFilters, limit: int) -> None:
        """Read pages from the first to the last, at most eight of them."""
        expected = self.truth.matching(filters)
        at, cursor = 0, None
        for _ in range(8):
            asked = replace(filters, limit=limit, cursor=cursor, with_total=True)
            end = at + limit
            more = len(expected) > end
            self.expect(f"{asked}", lambda asked=asked: self._page(asked), (expected[at:end], more, len(expected)))
            if not more:
                return
            at, cursor = end, self.ledger.query(asked, ADMIN).next_cursor

    def _page(self, filters: QueryFilters) -> object:
        page = self.ledger.query(filters, ADMIN)
        return page.entries, page.has_more, page.total

    # Modules.

    def _modules(self) -> None:
        truth, modules = self.truth, self.ledger.modules
        people = [person(n).oid for n in range(9)]
        for oid in people:
            lists: dict[str, Callable[..., Any]] = {
                "assets": lambda oid=oid: modules.get("asset").list(owner_oid=oid, limit=1_000, context=ADMIN),
                "proofs": lambda oid=oid: modules.get("proof").list(subject_oid=oid, limit=1_000, context=ADMIN),
                "connect_grants": lambda oid=oid: modules.get("connect").list(app_oid=oid, limit=1_000, context=ADMIN),
            }
            members = {"assets": "owner_oid", "proofs": "subject_oid", "connect_grants": "app_oid"}
            for stream, listed in lists.items():
                expected = truth.newest_in(stream, **{members[stream]: oid})
                self.expect(f"list of {stream} of {oid}", lambda listed=listed: [f.id for f in listed()], expected)
        self._owners()
        for symbol in SYMBOLS:
            self._token(symbol, people)

    def _owners(self) -> None:
        for entry in self.truth.matching(QueryFilters(stream="assets", latest_only=True)):
            self.expect(
                f"owner of {entry.record.id}",
                lambda entry=entry: self.ledger.modules.get("asset").owner(entry.record.id, ADMIN),
                entry.record.payload["owner_oid"],
            )

    def _token(self, symbol: str, people: list[str]) -> None:
        tokens, balances = self.ledger.modules.get("token"), self.truth.balances(symbol)
        self.expect(f"supply of {symbol}", lambda: tokens.supply(symbol, ADMIN), balances.total())
        for oid in people:
            self.expect(f"balance of {oid}", lambda oid=oid: tokens.balance(symbol, oid, ADMIN), balances.get(oid, 0))
        held = sorted((oid, balance) for oid, balance in balances.items() if balance)
        holders = lambda: [(holder.oid, holder.balance) for holder in tokens.holders(symbol, context=ADMIN)]  # noqa: E731
        self.expect(f"holders of {symbol}", holders, held)

    # Access control.

    def _access(self, model: Model) -> None:
        access = self.ledger.access
        resources = sorted({entry.resource for entry in model.entries if entry.resource})
        asked = [*(resources if len(resources) < 40 else self.chance.sample(resources, 40)), ("notes", "*")]
        asked += [entry.resource for seq in self._near() if (entry := model.entries[seq]).resource][:40]
        principals = [person(n).oid for n in range(7)] + [ISSUER.oid, NOBODY.oid]
        named = [ResourcePredicate(kind, None if id == "*" else id) for kind, id in asked]
        for oid in principals:
            for scope in SCOPES:
                expected = [model.check(oid, scope, resource) for resource in asked]
                self.expect(
                    f"check {scope} of {oid}",
                    lambda oid=oid, scope=scope: access.check_many(oid, scope, named),
                    expected,
                )
            live = [grant for grant in model.live_grants() if grant.principal == oid]
            self.expect(
                f"grants of {oid}",
                lambda oid=oid: _rows(access.grants_of(oid)),
                sorted((g.kind, g.id, g.principal, g.scope, g.source, g.granted_by, g.exp or 0, g.seq) for g in live),
            )
        for resource, predicate in zip(asked, named, strict=True):
            live = [grant for grant in model.live_grants() if (grant.kind, grant.id) == resource]
            self.expect(
                f"grants on {resource}",
                lambda predicate=predicate: _rows(access.grants_on(predicate)),
                sorted((g.kind, g.id, g.principal, g.scope, g.source, g.granted_by, g.exp or 0, g.seq) for g in live),
            )
        self._explanations(model, self.chance.sample(asked, 5), principals)
        for oid in self.chance.sample(principals, 3):
            self._pages_of(model, oid)

    def _explanations(self, model: Model, resources: list[tuple[str, str]], principals: list[str]) -> None:
        for kind, id in resources:
            oid, scope = self.chance.choice(principals), self.chance.choice(SCOPES)
            predicate = ResourcePredicate(kind, None if id == "*" else id)
            self.expect(
                f"explain {scope} of {oid} on {kind} {id}",
                lambda oid=oid, scope=scope, predicate=predicate: (
                    self.ledger.access.explain(oid, scope, predicate).allowed
                ),
                model.check(oid, scope, (kind, id)),
            )

    def _pages_of(self, model: Model, oid: str) -> None:
        context = next(c for c in (*(person(n) for n in range(7)), ISSUER, NOBODY) if c.oid == oid)
        visible = [self.truth.entries[entry.seq] for entry in model.readable(oid)]
        for stream in (None, "notes", "assets"):
            expected = [entry for entry in visible if stream in (None, entry.record.stream)]

            def page(stream: str | None = stream) -> object:
                found = self.ledger.query(QueryFilters(stream=stream, limit=1_000, with_total=True), context)
                return found.entries, found.total

            self.expect(f"page of {oid}, stream {stream}", page, (expected, len(expected)))
        entry = self.chance.choice(self.truth.entries)
        self.expect(
            f"get by {oid}, entry {entry.seq}",
            lambda: self.ledger.get(entry.hash, context),
            entry if entry in visible else None,
        )
        self.expect(
            f"list for {oid}",
            lambda: [item.id for item in self.ledger.access.list(oid, ResourceFilters("asset", limit=500)).items],
            [id for id, _ in model.resources_of_kind(oid, "asset")],
        )

    # Writing.

    def appends(self) -> None:
        """Append what is there, what a rule forbids, and something new; then read the whole chain again.

        Raises:
            WrongAnswerError: something was appended twice, or against a rule, or was lost.
        """
        self._unique()
        if self.truth.base.modules and not self.plain:
            self._overspend()
        added = [
            Record(f"new-{n}", "afterwards", {"n": n, "text": "z" * 700}, LAST_SECOND, {"of": n}) for n in range(24)
        ]
        try:
            new = self.ledger.append_batch(added, ADMIN)
        except NucleusError as error:
            raise WrongAnswerError(f"append: {type(error).__name__}: {str(error)[:200]}") from error
        self._all_entries([*self.truth.entries, *new])
        for entry in (new[0], new[-1]):
            self.expect("get of a new entry", lambda entry=entry: self.ledger.get(entry.hash, ADMIN), entry)
        self.expect("verify after appends", lambda: self.ledger.verify().valid, True)

    def _unique(self) -> None:
        """What is there is found, and appended no second time."""
        candidates = [seq for seq in self._near() if self._can_repeat(seq)][:5]
        candidates += [seq for seq in self._some(range(len(self.truth.entries)), 5) if self._can_repeat(seq)][:5]
        for seq in candidates:
            newest = self.truth.versions[self.truth.entries[seq].record.id][-1]
            try:
                found = self._append_again(newest)
            except NucleusError as error:
                raise WrongAnswerError(
                    f"unique append of entry {newest.seq}: {type(error).__name__}: {error}"
                ) from error
            if found != newest:
                raise WrongAnswerError(f"unique append of {record.id}: entry {found.seq} instead of {newest.seq}")
        self.expect("len after unique appends", lambda: len(self.ledger), len(self.truth.entries))

    def _append_again(self, entry: ChainEntry) -> ChainEntry:
        record, meta = entry.record, dict(entry.record.meta or {})
        # Added by the ledger, and no part of what is compared.
        del meta["requester_oid"], meta["recorded_at"]
        again = Record(record.id, record.stream, record.payload, record.timestamp, meta or None)
        return self.ledger.append(again, ADMIN, unique=True)

    def _can_repeat(self, seq: int) -> bool:
        newest = self.truth.versions[self.truth.entries[seq].record.id][-1]
        ruled = {"redactions", "acl_grants", "assets", "tokens", "proofs", "connect_grants"}
        return not newest.redacted and newest.record.stream not in ruled

    def _overspend(self) -> None:
        """Nobody spends more than they have, nor what they had before."""
        tokens = self.ledger.modules.get("token")
        for symbol in SYMBOLS:
            balances = self.truth.balances(symbol)
            for n in self.chance.sample(range(9), 3):
                giver, taker = person(n), person(n + 1)
                try:
                    tokens.transfer(
                        symbol, from_oid=giver.oid, to_oid=taker.oid, amount=balances[giver.oid] + 1, context=giver
                    )
                except RecordRefusedError:
                    continue
                except NucleusError as error:
                    raise WrongAnswerError(f"transfer of {symbol}: {type(error).__name__}: {error}") from error
                raise WrongAnswerError(f"{giver.oid} spent {balances[giver.oid] + 1} {symbol}")


def _rows(grants: Iterable[Any]) -> list[tuple[object, ...]]:
    return sorted(
        (g.resource_kind, g.resource_id, g.principal_oid, g.scope, g.source, g.granted_by, g.exp or 0, g.seq)
        for g in grants
    )


def _short(value: object) -> str:
    """Return what differs, in a few words."""
    if isinstance(value, ChainEntry):
        return f"entry {value.seq}"
    if isinstance(value, list | tuple) and value and isinstance(value[0], ChainEntry):
        return f"{len(value)} entries {[entry.seq for entry in value[:20]]}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_short, value))})"
    return repr(value)[:200]
