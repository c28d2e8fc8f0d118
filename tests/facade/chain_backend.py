"""A backend in plain Python: a chain in a list, made by the reference, and grants in a set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.reference import building, chain

from nucleus import (
    AccessDeniedError,
    ChainEntry,
    ConfigError,
    Head,
    LedgerClosedError,
    LedgerStats,
    ModuleInfo,
    QueryFilters,
    QueryPage,
    Record,
    UnknownModuleError,
    VerificationReport,
    verify_chain,
)
from nucleus.access import AccessPeriod, AclGrant, Explanation, Scope
from nucleus.backend import AccessBackend, Progress

SALT = bytes(range(16))


@dataclass
class SetOfGrants:
    """Access control with explicit grants alone, which nothing ends but a revocation."""

    administrator: str
    held: list[AclGrant] = field(default_factory=list)

    def grant(self, grants: Iterable[AclGrant], requester_oid: str) -> list[ChainEntry]:
        for each in grants:
            self.authorise_inquiry(requester_oid, resource=(each.resource_kind, each.resource_id))
            self.held.append(replace(each, granted_by=requester_oid))
        return []

    def revoke(
        self, grants: Iterable[AclGrant], requester_oid: str, *, allow_last_full: bool = False
    ) -> list[ChainEntry]:
        ended = {(each.resource_kind, each.resource_id, each.principal_oid, each.scope) for each in grants}
        for kind, name, _, _ in ended:
            self.authorise_inquiry(requester_oid, resource=(kind, name))
        self.held = [
            each
            for each in self.held
            if (each.resource_kind, each.resource_id, each.principal_oid, each.scope) not in ended
        ]
        return []

    def check(self, principal_oid: str, scope: Scope, kind: str, id: str) -> bool:
        return principal_oid == self.administrator or any(
            each.principal_oid == principal_oid and each.scope in (scope, "full")
            for each in self.grants(resource=(kind, id))
        )

    def grants(self, *, principal_oid: str | None = None, resource: tuple[str, str] | None = None) -> list[AclGrant]:
        return [
            each
            for each in self.held
            if principal_oid in (None, each.principal_oid)
            and resource in (None, (each.resource_kind, each.resource_id))
        ]

    def authorise_inquiry(
        self, requester_oid: str, *, principal_oid: str | None = None, resource: tuple[str, str] | None = None
    ) -> None:
        governs = resource is not None and self.check(requester_oid, "full", *resource)
        if requester_oid not in (self.administrator, principal_oid) and not governs:
            raise AccessDeniedError(f"{requester_oid} may not ask")

    def history(self, kind: str, id: str) -> list[AccessPeriod]:
        return [AccessPeriod(each, "0" * 64) for each in self.grants(resource=(kind, id))]

    def explain(
        self,
        principal_oid: str,
        scope: Scope,
        kind: str,
        id: str,
        *,
        requester_oid: str | None = None,
        at_seq: int | None = None,
        at_time: int | None = None,
    ) -> Explanation:
        told = "the service" if requester_oid is None else requester_oid
        return Explanation(self.check(principal_oid, scope, kind, id), f"{told} asked at {at_seq}, {at_time}")

    def streams_of_kind(self, kind: str) -> list[str]:
        return [kind]

    def cleanup_expired(self, requester_oid: str) -> int:
        return 0

    def rebuild(self, requester_oid: str) -> None:
        self.authorise_inquiry(requester_oid)


class ChainBackend:
    """Keeps a ledger's entries in a list. Without rules: whoever asks may do everything.

    Attributes:
        refusal: what the next closing raises.
    """

    def __init__(self, id: str, access: SetOfGrants | None = None) -> None:
        self.id = id
        self.path: str | None = None
        self.closed = False
        self.refusal: Exception | None = None
        self._chain: list[chain.Entry] = []
        self._access = access

    @property
    def _entries(self) -> list[ChainEntry]:
        if self.closed:
            raise LedgerClosedError("the ledger is closed")
        return [ChainEntry.from_json(building.line(entry)) for entry in self._chain]

    def append(
        self, record: Record, requester_oid: str, *, unique: bool = False, expected_head: str | None = None
    ) -> ChainEntry:
        return self.append_batch([record], requester_oid, expected_head=expected_head)[0]

    def append_batch(
        self, records: Sequence[Record | Mapping[str, Any]], requester_oid: str, *, expected_head: str | None = None
    ) -> list[ChainEntry]:
        for each in records:
            record = each if isinstance(each, Record) else Record.from_dict(each)
            members = record.to_dict() | {"meta": {**(record.meta or {}), "requester_oid": requester_oid}}
            building.append(self._chain, self.id, members, SALT)
        return self._entries[len(self._chain) - len(records) :]

    def get(self, hash: str, requester_oid: str) -> ChainEntry | None:
        return next((entry for entry in self._entries if entry.hash == hash), None)

    def get_by_id(self, id: str, requester_oid: str, *, stream: str | None = None) -> ChainEntry | None:
        versions = self.history(id, requester_oid, stream=stream)
        return versions[-1] if versions else None

    def history(self, id: str, requester_oid: str, *, stream: str | None = None) -> list[ChainEntry]:
        return [entry for entry in self._entries if entry.record.id == id and stream in (None, entry.record.stream)]

    def query(self, filters: QueryFilters, requester_oid: str) -> QueryPage:
        found = [entry for entry in self._entries if self._matches(entry, filters)]
        if filters.order == "desc":
            found.reverse()
        start = filters.offset if filters.cursor is None else int(filters.cursor)
        page = found[start : start + filters.limit]
        end = start + len(page)
        return QueryPage(page, str(end) if end < len(found) else None, len(found) if filters.with_total else None)

    def _matches(self, entry: ChainEntry, filters: QueryFilters) -> bool:
        record = entry.record
        payload = record.payload if isinstance(record.payload, dict) else {}
        newest = self.get_by_id(record.id, "", stream=record.stream) if filters.latest_only else entry
        return (
            filters.stream in (None, record.stream)
            and filters.id in (None, record.id)
            and newest == entry
            and all(payload.get(name) == value for name, value in (filters.payload or {}).items())
        )

    def field_values(
        self,
        stream: str,
        field: str,
        requester_oid: str,
        *,
        payload: Mapping[str, Any] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[str]:
        matching = [entry for entry in self._entries if self._matches(entry, QueryFilters(payload=payload))]
        values = {entry.record.payload[field] for entry in matching if field in (entry.record.payload or {})}
        return sorted(value for value in values if after is None or value > after)[:limit]

    def range(self, start_seq: int, limit: int, requester_oid: str) -> list[ChainEntry]:
        return self._entries[start_seq : start_seq + limit]

    def head(self) -> Head | None:
        entries = self._entries
        return Head(entries[-1].seq, entries[-1].hash) if entries else None

    def __len__(self) -> int:
        return len(self._entries)

    def stats(self) -> LedgerStats:
        entries = self._entries
        streams = [entry.record.stream for entry in entries]
        timestamps = [entry.record.timestamp for entry in entries]
        return LedgerStats(
            entries=len(entries),
            head=self.head(),
            streams={name: streams.count(name) for name in streams},
            redacted=sum(entry.redacted for entry in entries),
            first_timestamp=min(timestamps, default=None),
            last_timestamp=max(timestamps, default=None),
            created_at=1,
            database_bytes=0,
            wal_bytes=0,
            scrub_pending=False,
        )

    def verify(
        self,
        *,
        deep: bool = False,
        expected_head: str | None = None,
        expected_length: int | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        return verify_chain(self._entries, self.id, expected_head=expected_head, expected_length=expected_length)

    def redact(self, hash: str, reason: str, requester_oid: str) -> ChainEntry:
        (erased,) = (entry for entry in self._chain if entry["hash"] == hash)
        self._chain[erased["seq"]] = building.erase(erased)
        record = building.redaction_record(erased, reason, 1, {"requester_oid": requester_oid})
        return ChainEntry.from_json(building.line(building.append(self._chain, self.id, record, SALT)))

    def scrub_pending(self) -> bool:
        return False

    def authorise_export(self, requester_oid: str) -> None:
        if self._access is not None:
            self._access.authorise_inquiry(requester_oid)

    def import_entries(self, entries: Sequence[ChainEntry], requester_oid: str) -> int:
        raise ConfigError("this backend imports nothing")

    def backup(self, path: str, progress: Progress | None = None) -> Head | None:
        raise ConfigError("this backend writes no files")

    def modules(self) -> list[ModuleInfo]:
        return []

    def implementation(self, id: str) -> Any:
        raise UnknownModuleError(f"the ledger runs no module `{id}`", module_id=id)

    def access(self) -> AccessBackend | None:
        return self._access

    def close(self) -> None:
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal
        self.closed = True
