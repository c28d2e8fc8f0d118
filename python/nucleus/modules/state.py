"""What the handles share: reading what a record has come to, by its newest entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from nucleus._core import WHOLE_KIND, ChainEntry
from nucleus.auth.context import RequestContext, require_oid
from nucleus.backend import LedgerBackend
from nucleus.errors import AccessDeniedError, ModuleError
from nucleus.listing import ListResult
from nucleus.query import QueryFilters, Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class State:
    """An entry that says what a record has come to, member by member.

    Attributes:
        entry: the entry.
        module_id: the module that rules its stream.
        members: its payload; empty once redacted.

    The rules hold for what was appended while the module ran. Where a payload is not as they leave it, because it was
    appended or redacted while it did not, every method raises ModuleError.
    """

    entry: ChainEntry
    module_id: str
    members: Mapping[str, Any]

    @classmethod
    def of(cls, entry: ChainEntry, module_id: str) -> State:
        """Read the payload of an entry."""
        payload = {} if entry.redacted else entry.record.payload
        if isinstance(payload, dict):
            return cls(entry, module_id, payload)
        raise cls(entry, module_id, {})._unruled("its payload is not an object")

    def text(self, name: str) -> str:
        """Return a string."""
        value = self.members.get(name)
        if not isinstance(value, str):
            raise self._unruled(f"$.payload.{name} is not a string")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a string, or None where there is none."""
        return self.text(name) if name in self.members else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self.members.get(name)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self._unruled(f"$.payload.{name} is not a list of strings")
        return tuple(values)

    def integer(self, name: str) -> int:
        """Return an integer."""
        value = self.members.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._unruled(f"$.payload.{name} is not an integer")
        return value

    def optional_integer(self, name: str) -> int | None:
        """Return an integer, or None where there is none."""
        return self.integer(name) if name in self.members else None

    def amount(self, name: str) -> int:
        """Return an amount, which stands there as a decimal string."""
        text = self.text(name)
        # 2^127 has 39 digits.
        if not (text.isascii() and text.isdecimal() and len(text) <= 39):
            raise self._unruled(f"$.payload.{name} is not an amount")
        return int(text)

    def granted_status(self) -> str:
        """Return ``active``, ``revoked``, ``expired``, or ``redacted``, for what can be revoked and can expire."""
        if self.entry.redacted:
            return "redacted"
        if self.members.get("action") == "revoke":
            return "revoked"
        exp = self.optional_integer("exp")
        return "expired" if exp is not None and exp <= time.time() else "active"

    def _unruled(self, what: str) -> ModuleError:
        record = self.entry.record
        what = "it was redacted" if self.entry.redacted else what
        return ModuleError(
            f"entry {self.entry.seq}, of `{record.id}` in stream `{record.stream}`, is not as module "
            f"`{self.module_id}` leaves it: {what}. That happened while the ledger ran without the module; "
            "read it with ledger.get",
            module_id=self.module_id,
        )


def refuse_unreadable(backend: LedgerBackend, kind: str, id: str | None, context: RequestContext) -> None:
    """Refuse to state as a fact of a resource what only follows from its entries being hidden.

    It is called where nothing was found, and refuses alike whether there is such a resource or not; without an id, it
    is about all of the kind.

    Raises:
        AccessDeniedError: access control is on, and who asks may not read the resource.
    """
    control = backend.access()
    requester_oid = require_oid(context)
    if control is None or control.check(requester_oid, "read", kind, WHOLE_KIND if id is None else id):
        return
    what = f"all of kind {kind}" if id is None else f"{kind} `{id}`"
    raise AccessDeniedError(
        f"{requester_oid} has no `read` on {what}, and so is told nothing of it, nor whether there is any; whoever has "
        "`full` on it, or the administrator, can grant that"
    )


def list_newest(
    backend: LedgerBackend,
    stream: str,
    payload: Mapping[str, Any],
    read: Callable[[ChainEntry], T],
    *,
    status: Status | None,
    limit: int,
    cursor: str | None,
    context: RequestContext,
) -> ListResult[T]:
    """Return one page of the newest entries of a stream, each as what ``read`` makes of it."""
    filters = QueryFilters(
        stream=stream, payload=payload or None, latest_only=True, status=status, limit=limit, cursor=cursor
    )
    page = backend.query(filters, require_oid(context))
    return ListResult([read(entry) for entry in page.entries], page.has_more, page.next_cursor)
