"""Access control as lists and loops: what a ledger with access control must answer, by the words of its promise."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.access.rules import State, next_state

from nucleus.access import Scope, Source

Outcome = Literal["done", "denied", "conflict", "refused", "invalid"]
ResourceName = tuple[str, str]

KINDS = {"assets": "asset", "proofs": "proof", "tokens": "token", "connect_grants": "connect_grant"}
OWN_STREAMS = frozenset({"acl_grants", "redactions"})
IRREMOVABLE = frozenset({"assets", "tokens"})
SCOPES: tuple[Scope, ...] = ("read", "write", "full")

ROLES: dict[str, dict[Source, Scope]] = {
    "assets": {"owner": "full", "issuer": "full"},
    "proofs": {"issuer": "full", "subject": "read"},
    "tokens": {"issuer": "full"},
    "connect_grants": {"subject": "full", "app": "read"},
}


@dataclass(frozen=True)
class Grant:
    """A grant, and by which entry it ended."""

    kind: str
    id: str
    principal: str
    scope: Scope
    source: Source
    granted_by: str
    exp: int | None
    seq: int
    until: int | None = None

    def counts(self, now: int, at: int | None) -> bool:
        """Whether it is live; with ``at``, whether it was after that entry."""
        ended = self.until is not None if at is None else not self.seq <= at < (self.until or at + 1)
        return not ended and (self.exp is None or now < self.exp)


@dataclass(frozen=True)
class Entry:
    """An entry: ``resource`` decides who reads it, None leaves it to the administrator; ``takes`` is the scope."""

    seq: int
    stream: str
    id: str
    resource: ResourceName | None
    takes: Scope
    requester: str
    erased_by: str | None = None

    @property
    def erased(self) -> bool:
        return self.erased_by is not None


class OutcomeError(Exception):
    """What is asked for is not done."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass
class Model:
    """A ledger with access control. ``now`` is its clock, in seconds; tests choose exps that lie far from it."""

    administrator: str
    creation: Literal["anyone", "granted"]
    now: int
    entries: list[Entry] = field(default_factory=list)
    grants: dict[ResourceName, list[Grant]] = field(default_factory=lambda: defaultdict(list))
    states: dict[tuple[str, str], State] = field(default_factory=dict)
    newest: dict[tuple[str, str], int] = field(default_factory=dict)
    # What anything was ever granted or revoked on: it is nobody's for the taking.
    reserved: set[ResourceName] = field(default_factory=set)

    # Questions.

    def resource_of(self, stream: str, record_id: str) -> ResourceName | None:
        """Return the resource of a record; None where the stream is nobody's but the administrator's."""
        if stream in OWN_STREAMS or stream in KINDS.values():
            return None
        return KINDS.get(stream, stream), record_id

    def grants_allowing(self, principal: str, scope: Scope, resource: ResourceName, at: int | None) -> list[Grant]:
        """Return the live grants to a principal that let them do something."""
        kind, record_id = resource
        return [
            grant
            for named in dict.fromkeys([(kind, record_id), (kind, "*")])
            for grant in self.grants.get(named, ())
            if grant.principal == principal and grant.scope in (scope, "full") and grant.counts(self.now, at)
        ]

    def check(self, principal: str, scope: Scope, resource: ResourceName | None, *, at: int | None = None) -> bool:
        """Whether a principal may do something, now or after the entry ``at``."""
        if principal == self.administrator:
            return True
        return resource is not None and bool(self.grants_allowing(principal, scope, resource, at))

    def readable(self, principal: str) -> list[Entry]:
        """Return the entries that a principal may read, in chain order."""
        may: dict[tuple[ResourceName | None, Scope], bool] = {}
        for entry in self.entries:
            key = (entry.resource, entry.takes)
            if key not in may:
                may[key] = self.check(principal, entry.takes, entry.resource)
        return [entry for entry in self.entries if may[entry.resource, entry.takes]]

    def resources_of_kind(self, principal: str, kind: str) -> list[tuple[str, int]]:
        """Return the resources that a principal may read, as (id, seq of the newest entry), in the order of these."""
        return [
            (entry.id, entry.seq)
            for entry in self.readable(principal)
            if entry.resource == (kind, entry.id) and self.newest[entry.stream, entry.id] == entry.seq
        ]

    def live_grants(self) -> list[Grant]:
        """Return all grants that count now."""
        return [grant for grants in self.grants.values() for grant in grants if grant.counts(self.now, None)]

    # Operations: done, or OutcomeError.

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undo everything where something is not done."""
        entries, states, newest = list(self.entries), dict(self.states), dict(self.newest)
        reserved = set(self.reserved)
        grants = {named: list(of) for named, of in self.grants.items()}
        try:
            yield
        except OutcomeError:
            self.entries, self.states, self.newest, self.reserved = entries, states, newest, reserved
            self.grants = defaultdict(list, grants)
            raise

    def append(self, stream: str, record_id: str, payload: dict[str, Any], requester: str) -> None:
        """Append one record."""
        if record_id == "*" or stream in OWN_STREAMS:
            raise OutcomeError("invalid")
        resource = self.resource_of(stream, record_id)
        if not self._may_append(stream, record_id, resource, requester):
            raise OutcomeError("denied")
        before = self.states.get((stream, record_id))
        state = next_state(stream, before, payload, requester)
        if state is None:
            raise OutcomeError("refused")
        seq = self._add(stream, record_id, resource, "read", requester)
        self.states[stream, record_id] = state
        if resource is not None:
            if before is None and resource not in self.reserved:
                self._add_grant(resource, requester, "full", "creator", by=requester, exp=None, seq=seq)
            self._imply(stream, resource, before, state, requester=requester, seq=seq)

    def append_unique(self, stream: str, record_id: str, payload: dict[str, Any], requester: str) -> int:
        """Append one record unless it is there; return the seq of the one that is. No module rules the stream."""
        if record_id == "*":
            raise OutcomeError("invalid")
        if not self._may_append(stream, record_id, self.resource_of(stream, record_id), requester):
            raise OutcomeError("denied")
        # What others have under the same id in streams of other kinds does not stand in the way.
        resource = self.resource_of(stream, record_id)
        versions = [
            entry
            for entry in self.entries
            if entry.id == record_id
            and (
                entry.stream == stream
                or (resource is not None and self.resource_of(entry.stream, entry.id) == resource)
            )
        ]
        if not versions:
            self.append(stream, record_id, payload, requester)
            return len(self.entries) - 1
        newest = versions[-1]
        # Nobody finds out by trial what an entry says that they may not read; whoever wrote it may try again.
        told = self.check(requester, "read", newest.resource) or newest.requester == requester
        if told and newest.stream == stream and not newest.erased and self.states[stream, record_id] == payload:
            return newest.seq
        raise OutcomeError("conflict")

    def append_batch(self, records: Iterable[tuple[str, str, dict[str, Any]]], requester: str) -> None:
        """Append several records, all or none."""
        with self.all_or_nothing():
            for stream, record_id, payload in records:
                self.append(stream, record_id, payload, requester)

    def grant(self, grants: Iterable[tuple[ResourceName, str, Scope, int | None]], requester: str) -> None:
        """Grant all or nothing."""
        with self.all_or_nothing():
            for resource, principal, scope, exp in grants:
                fulls = self._authority(requester, resource)
                bounds = [full.exp for full in fulls]
                cap = None if requester == self.administrator or None in bounds else max(filter(None, bounds))
                capped = cap if exp is None else exp if cap is None else min(exp, cap)
                seq = self._add("acl_grants", "", resource, "full", requester)
                self.reserved.add(resource)
                self._end(
                    resource,
                    seq,
                    [
                        grant
                        for grant in self._open(resource, principal)
                        if (grant.source, grant.granted_by, grant.scope) == ("grant", requester, scope)
                    ],
                )
                self._add_grant(resource, principal, scope, "grant", by=requester, exp=capped, seq=seq)

    def revoke(
        self, grants: Iterable[tuple[ResourceName, str, Scope]], requester: str, *, allow_last_full: bool
    ) -> None:
        """Revoke all or nothing; what is not there is passed over."""
        with self.all_or_nothing():
            for resource, principal, scope in grants:
                self._authority(requester, resource)
                ended = [grant for grant in self._open(resource, principal) if grant.scope == scope]
                if not any(grant.counts(self.now, None) for grant in ended):
                    continue
                if scope == "full" and not allow_last_full and not self._others_govern(resource, principal):
                    raise OutcomeError("conflict")
                self._end(resource, self._add("acl_grants", "", resource, "full", requester), ended)
                self.reserved.add(resource)

    def redact(self, seq: int, requester: str) -> None:
        """Erase an entry; erasing it again does nothing."""
        entry = self.entries[seq]
        if entry.erased_by == requester:
            return
        if not self.check(requester, entry.takes, entry.resource):
            raise OutcomeError("conflict")
        resource = self.resource_of(entry.stream, entry.id)
        if not self.check(requester, "full", resource):
            raise OutcomeError("denied")
        if entry.stream in OWN_STREAMS:
            raise OutcomeError("conflict")
        if entry.erased:
            return
        if entry.stream in IRREMOVABLE:
            raise OutcomeError("refused")
        self.entries[seq] = replace(entry, erased_by=requester)
        if self.newest[entry.stream, entry.id] == seq:
            self.states[entry.stream, entry.id] = {}
        if resource is not None:
            # Whom it named is erased with it, from every moment of the past as well; who appended it is not.
            self.grants[resource] = [
                grant for grant in self.grants[resource] if grant.seq != seq or grant.source == "creator"
            ]
        self._add("redactions", "", resource, "full", requester)

    # What they consist of.

    def _add(self, stream: str, record_id: str, resource: ResourceName | None, takes: Scope, requester: str) -> int:
        seq = len(self.entries)
        self.entries.append(Entry(seq, stream, record_id, resource, takes, requester))
        self.newest[stream, record_id] = seq
        return seq

    def _add_grant(
        self,
        resource: ResourceName,
        principal: str,
        scope: Scope,
        source: Source,
        *,
        by: str,
        exp: int | None,
        seq: int,
    ) -> None:
        self.grants[resource].append(Grant(*resource, principal, scope, source, by, exp, seq))

    def _open(self, resource: ResourceName, principal: str) -> list[Grant]:
        return [grant for grant in self.grants[resource] if grant.principal == principal and grant.until is None]

    def _end(self, resource: ResourceName, seq: int, ended: list[Grant]) -> None:
        self.grants[resource] = [
            replace(grant, until=seq) if grant in ended else grant for grant in self.grants[resource]
        ]

    def _may_append(self, stream: str, record_id: str, resource: ResourceName | None, requester: str) -> bool:
        if self.check(requester, "write", resource):
            return True
        if resource is None or self.creation == "granted" or (stream, record_id) in self.states:
            return False
        return resource not in self.reserved

    def _authority(self, requester: str, resource: ResourceName) -> list[Grant]:
        fulls = self.grants_allowing(requester, "full", resource, None)
        if not fulls and requester != self.administrator:
            raise OutcomeError("denied")
        return fulls

    def _others_govern(self, resource: ResourceName, principal: str) -> bool:
        return any(
            grant.scope == "full" and grant.principal != principal and grant.counts(self.now, None)
            for grant in self.grants[resource]
        )

    def _imply(
        self, stream: str, resource: ResourceName, before: State | None, state: State, *, requester: str, seq: int
    ) -> None:
        for role, scope in ROLES.get(stream, {}).items():
            member = f"{role}_oid"
            holder, old = state.get(member), None if before is None else before.get(member)
            if holder is None or holder == old:
                continue
            if old is not None:
                self._end(
                    resource, seq, [grant for grant in self._open(resource, old) if grant.source in (role, "creator")]
                )
            exp = state.get("exp") if role == "app" else None
            self._add_grant(resource, holder, scope, role, by=requester, exp=exp, seq=seq)
