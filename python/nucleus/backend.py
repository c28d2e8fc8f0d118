"""What keeps the entries of a ledger, as everything above it sees it.

:class:`nucleus.Ledger` and all that hangs on it speak to a :class:`LedgerBackend`. The compiled engine is one; anything
else that keeps these promises can stand in its place. A backend decides everything: who may do what, what is refused,
what is durable. Whoever calls it says who asks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from nucleus._core import ChainEntry, ModuleInfo, QueryPage, Record, VerificationReport
from nucleus.access.grants import AccessPeriod, AclGrant, Explanation, Scope
from nucleus.figures import Head, LedgerStats
from nucleus.query import QueryFilters

Progress = Callable[[int, int], object]
"""Called as ``progress(done, total)`` now and then during long work; an exception it raises stops the work."""


class AccessBackend(Protocol):
    """Access control of one open ledger. A resource is a kind and an id, ``*`` for all of the kind."""

    @property
    def administrator(self) -> str:
        """OID of the principal who may do everything."""

    def grant(self, grants: Iterable[AclGrant], requester_oid: str) -> list[ChainEntry]:
        """Grant access, all or nothing; answer the entries that say so."""

    def revoke(
        self, grants: Iterable[AclGrant], requester_oid: str, *, allow_last_full: bool = False
    ) -> list[ChainEntry]:
        """End whatever gives principals these scopes, all or nothing; answer the entries that say so."""

    def check(self, principal_oid: str, scope: Scope, kind: str, id: str) -> bool:
        """Tell whether a principal may do something with a resource now."""

    def grants(self, *, principal_oid: str | None = None, resource: tuple[str, str] | None = None) -> list[AclGrant]:
        """Return the grants that count now: to this principal, on exactly this resource."""

    def authorise_inquiry(
        self, requester_oid: str, *, principal_oid: str | None = None, resource: tuple[str, str] | None = None
    ) -> None:
        """Raise AccessDeniedError unless who asks may be told of this principal, or of this resource."""

    def history(self, kind: str, id: str) -> list[AccessPeriod]:
        """Return every grant there ever was on exactly this resource."""

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
        """Tell why a principal may do something, or may not: now, after an entry, or at a time in milliseconds.

        It is told to whoever asks, who is told of no entry that they may not read; to None, the service itself, of any.
        """

    def streams_of_kind(self, kind: str) -> list[str]:
        """Return the streams whose records are resources of this kind."""

    def cleanup_expired(self, requester_oid: str) -> int:
        """Delete expired grants from the table; answer how many."""

    def rebuild(self, requester_oid: str) -> None:
        """Make the table of grants anew from the chain."""


class LedgerBackend(Protocol):
    """One open ledger. Every method may be called from any thread.

    ``requester_oid`` is the OID of whoever asks. What each method raises is what the method of
    :class:`nucleus.Ledger` with its name says.
    """

    @property
    def id(self) -> str:
        """The ledger's id."""

    @property
    def path(self) -> str | None:
        """The database file; None where there is none."""

    @property
    def closed(self) -> bool:
        """True once the ledger is closed, and no method answers any more."""

    def append(
        self, record: Record, requester_oid: str, *, unique: bool = False, expected_head: str | None = None
    ) -> ChainEntry:
        """Append one record durably."""

    def append_batch(
        self, records: Sequence[Record | Mapping[str, Any]], requester_oid: str, *, expected_head: str | None = None
    ) -> list[ChainEntry]:
        """Append several records durably, all or none."""

    def get(self, hash: str, requester_oid: str) -> ChainEntry | None:
        """Return the entry with this hash, or None."""

    def get_by_id(self, id: str, requester_oid: str, *, stream: str | None = None) -> ChainEntry | None:
        """Return the newest entry whose record has this id, or None."""

    def history(self, id: str, requester_oid: str, *, stream: str | None = None) -> list[ChainEntry]:
        """Return all entries whose record has this id, in chain order."""

    def query(self, filters: QueryFilters, requester_oid: str) -> QueryPage:
        """Return one page of the entries that match."""

    def field_values(
        self,
        stream: str,
        field: str,
        requester_oid: str,
        *,
        payload: Mapping[str, Any] | None = None,
        after: str | None = None,
        limit: int = ...,
    ) -> list[str]:
        """Return distinct string values of a payload member that a module declares, in a fixed order, behind ``after``.

        ``payload`` are the members that stand before it in the module's declaration, with their values.
        """

    def range(self, start_seq: int, limit: int, requester_oid: str) -> list[ChainEntry]:
        """Return at most ``limit`` entries from ``start_seq`` on, at least one while there are any."""

    def head(self) -> Head | None:
        """Return where the chain ends; None when it is empty."""

    def __len__(self) -> int:
        """Return the number of entries."""

    def stats(self) -> LedgerStats:
        """Return figures of one moment."""

    def verify(
        self,
        *,
        deep: bool = False,
        expected_head: str | None = None,
        expected_length: int | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        """Recompute the chain, and compare what is derived from it."""

    def redact(self, hash: str, reason: str, requester_oid: str) -> ChainEntry:
        """Erase one entry's payload; answer the entry that records it."""

    def scrub_pending(self) -> bool:
        """Tell whether bytes of an erased payload may still be kept somewhere for a while."""

    def authorise_export(self, requester_oid: str) -> None:
        """Raise AccessDeniedError unless who asks may export the ledger."""

    def import_entries(self, entries: Sequence[ChainEntry], requester_oid: str) -> int:
        """Append entries of an export unchanged, all or none; answer the number of entries now in the ledger."""

    def backup(self, path: str, progress: Progress | None = None) -> Head | None:
        """Write a verified copy to a new file; answer where it ends."""

    def modules(self) -> list[ModuleInfo]:
        """Return what is known of each module, in the order of registration."""

    def implementation(self, id: str) -> Any:
        """Return the object of a module written in Python; None for a built-in one. Raises UnknownModuleError."""

    def access(self) -> AccessBackend | None:
        """Return access control; None where it is off."""

    def close(self) -> None:
        """Close the ledger; closing twice does nothing. Where it is refused, the ledger stays open."""
