"""What access control speaks about: the resources of a ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from nucleus._core import ChainEntry
from nucleus.query import PAGE_ENTRIES, Status


@dataclass(frozen=True, slots=True)
class ResourcePredicate:
    """One resource, or all of a kind.

    Attributes:
        kind: its kind.
        id: its id; None is about the whole kind, never about "any of it".
        subject_oid, issuer_oid, type: what its newest entry must say, where given.
        status: what it must have come to, where given: ``active``, ``revoked``, ``expired`` or ``retired``.
    """

    kind: str
    id: str | None = None
    subject_oid: str | None = None
    issuer_oid: str | None = None
    status: Status | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceFilters:
    """Which resources of a kind are listed; absent members match everything.

    Attributes:
        kind: their kind.
        subject_oid, issuer_oid, type: what their newest entry must say.
        status: what they must have come to: ``active``, ``revoked``, ``expired`` or ``retired``.
        limit: most resources on the page, 1 to 10,000.
        cursor: ``next_cursor`` of the page before.
    """

    kind: str
    subject_oid: str | None = None
    issuer_oid: str | None = None
    status: Status | None = None
    type: str | None = None
    limit: int = PAGE_ENTRIES
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource.

    Attributes:
        kind: its kind.
        id: its id; ``*`` for the whole kind.
        entry: its newest entry; None for a whole kind, and where nothing was appended yet.
    """

    kind: str
    id: str
    entry: ChainEntry | None = field(default=None, repr=False)
