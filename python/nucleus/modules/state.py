"""What the handles share: reading what a record has come to, by its newest entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from nucleus._core import ChainEntry
from nucleus.auth.context import RequestContext
from nucleus.modules.listing import ListResult
from nucleus.query import QueryFilters

if TYPE_CHECKING:
    from nucleus.ledger import Ledger

T = TypeVar("T")

Status = Literal["active", "revoked", "expired", "retired"]
"""What queries can ask for."""

_ENDED = {"revoke": "revoked", "retire": "retired"}


def given(**members: Any) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def status_of(entry: ChainEntry) -> str:
    """Return ``active``, ``revoked``, ``retired``, ``expired``, or ``redacted`` where the payload was erased."""
    payload: Mapping[str, Any] | None = entry.record.payload
    if payload is None:
        return "redacted"
    ended = _ENDED.get(payload.get("action", ""))
    if ended is not None:
        return ended
    expires = payload.get("exp")
    return "expired" if expires is not None and expires <= time.time() else "active"


def list_newest(
    ledger: Ledger,
    stream: str,
    payload: Mapping[str, Any],
    read: Callable[[ChainEntry], T],
    *,
    status: Status | None,
    limit: int,
    cursor: str | None,
    context: RequestContext | None,
) -> ListResult[T]:
    """Return one page of the newest entries of a stream, each as what ``read`` makes of it."""
    filters = QueryFilters(
        stream=stream, payload=payload or None, latest_only=True, status=status, limit=limit, cursor=cursor
    )
    page = ledger.query(filters, context)
    return ListResult([read(entry) for entry in page.entries], page.has_more, page.next_cursor)
