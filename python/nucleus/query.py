"""What a query asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nucleus.errors import ConfigError

PAGE_ENTRIES = 100
"""Most entries, or other items, on a page where nothing else is said."""

MAX_PAGE_ENTRIES = 10_000
"""Most entries, or other items, that a page may be asked to have."""

Status = Literal["active", "revoked", "expired", "retired"]
"""What a record of a module's stream has come to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryFilters:
    """Which entries a query answers, how many, and in which order. A filter that is None matches everything.

    Args:
        stream: exactly this stream.
        id: exactly this record id, in all its versions.
        since: timestamp at least this, in milliseconds since the Unix epoch.
        until: timestamp below this, in milliseconds since the Unix epoch.
        payload: top-level members of the payload that must have exactly these values; ``True`` is not ``1``.
        latest_only: only entries that no newer one with the same id and stream supersedes.
        status: only entries by which a record of a module's stream is ``"active"``, ``"revoked"``, ``"retired"`` or
            ``"expired"`` now: by the payload's ``action``, then by its ``exp``, in seconds since the Unix epoch.
            Together with ``latest_only`` that is what the record has come to.
        limit: most entries on the page, 1 to 10,000.
        offset: matching entries to pass over first. Its cost grows with it: prefer ``cursor``.
        cursor: ``next_cursor`` of the page before, with otherwise unchanged filters.
        order: ``"asc"`` by seq, oldest entry first, or ``"desc"``.
        with_total: also count all matching entries.

    Raises:
        ConfigError: ``limit`` or ``offset`` is out of its bounds.
    """

    stream: str | None = None
    id: str | None = None
    since: int | None = None
    until: int | None = None
    payload: Mapping[str, Any] | None = None
    latest_only: bool = False
    status: Status | None = None
    limit: int = PAGE_ENTRIES
    offset: int = 0
    cursor: str | None = None
    order: Literal["asc", "desc"] = "asc"
    with_total: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_PAGE_ENTRIES:
            raise ConfigError(f"limit must be 1 to {MAX_PAGE_ENTRIES:,}, not {self.limit}")
        if self.offset < 0:
            raise ConfigError(f"offset must not be negative, but is {self.offset}")
