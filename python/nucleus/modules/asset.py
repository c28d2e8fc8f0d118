"""The handle of the module ``asset``: things with one owner at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nucleus._core import ChainEntry, Record
from nucleus.auth.context import RequestContext, names_requester, require_oid
from nucleus.backend import LedgerBackend
from nucleus.errors import InvalidRecordError, RecordRefusedError
from nucleus.listing import ListResult
from nucleus.members import given
from nucleus.modules.state import State, list_newest, refuse_unreadable
from nucleus.query import PAGE_ENTRIES, Status

KIND = "asset"
STREAM = "assets"
RESERVED = frozenset({"action", "status", "reason", "owner_oid", "issuer_oid"})


@dataclass(frozen=True, slots=True)
class Asset:
    """What an asset has come to.

    Attributes:
        id: the asset's id.
        status: ``active`` or ``retired``.
        owner_oid: its current owner.
        issuer_oid: who issued it.
        payload: its further members.
        reason: why it was transferred or retired last, where that was said.
        entry: the newest entry of it.
    """

    id: str
    status: str
    owner_oid: str
    issuer_oid: str | None
    payload: Mapping[str, Any]
    reason: str | None
    entry: ChainEntry = field(repr=False)


def _read(entry: ChainEntry) -> Asset:
    state = State.of(entry, "asset")
    return Asset(
        id=entry.record.id,
        status="retired" if state.members.get("action") == "retire" else "active",
        owner_oid=state.text("owner_oid"),
        issuer_oid=state.optional_text("issuer_oid"),
        payload={name: value for name, value in state.members.items() if name not in RESERVED},
        reason=state.optional_text("reason"),
        entry=entry,
    )


def _members(payload: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(payload, Mapping):
        raise InvalidRecordError(f"$.payload: must be a mapping, not {type(payload).__name__}", path="$.payload")
    members = dict(payload)
    taken = sorted(RESERVED & members.keys())
    if taken:
        raise RecordRefusedError(
            f"module `asset` refused the payload: `{taken[0]}` is reserved; the handle's own arguments say it",
            module_id="asset",
        )
    return members


class Assets:
    """Registers, transfers and finds assets. ``ledger.modules.get("asset")`` makes one; it holds no state.

    Besides what is named below, every method raises what :class:`~nucleus.Ledger` raises.
    """

    def __init__(self, backend: LedgerBackend) -> None:
        self._backend = backend

    def __repr__(self) -> str:
        return f"<Assets of ledger {self._backend.id!r}>"

    @names_requester
    def register(
        self,
        id: str,
        *,
        owner_oid: str,
        payload: Mapping[str, Any] | None = None,
        issuer_oid: str | None = None,
        context: RequestContext,
    ) -> ChainEntry:
        """Register an asset.

        Args:
            id: the asset's id, not in use yet.
            owner_oid: its first owner.
            payload: further members; ``action``, ``status``, ``reason``, ``exp``, ``owner_oid`` and ``issuer_oid`` are
                reserved.
            issuer_oid: who issues it, and may update and retire it besides its owner.
            context: who asks.

        Raises:
            RecordRefusedError: an OID is malformed, a name is reserved, or there is an asset with this id.
            InvalidRecordError: ``payload`` is not a mapping or has no canonical form, or ``id`` is out of its bounds.
        """
        own = {"action": "register", "owner_oid": owner_oid, **given(issuer_oid=issuer_oid)}
        return self._backend.append(
            Record(id, STREAM, {**_members({} if payload is None else payload), **own}), require_oid(context)
        )

    @names_requester
    def transfer(self, id: str, *, to_oid: str, reason: str | None = None, context: RequestContext) -> ChainEntry:
        """Give an asset to another owner.

        Raises:
            RecordRefusedError: there is none, it is retired, or another than its current owner asks.
        """
        payload = {"action": "transfer", "owner_oid": to_oid, **given(reason=reason)}
        return self._backend.append(Record(id, STREAM, payload), require_oid(context))

    @names_requester
    def update(self, id: str, *, payload: Mapping[str, Any], context: RequestContext) -> ChainEntry:
        """Replace members of an asset; those that are None are removed, those that are not named stay.

        Raises:
            RecordRefusedError: there is none, it is retired, nothing is named, a name is reserved, or another than its
                current owner or issuer asks.
        """
        return self._backend.append(Record(id, STREAM, {**_members(payload), "action": "update"}), require_oid(context))

    @names_requester
    def retire(self, id: str, *, reason: str | None = None, context: RequestContext) -> ChainEntry:
        """End an asset, for good.

        Raises:
            RecordRefusedError: there is none, it is retired already, or another than its current owner or issuer asks.
        """
        return self._backend.append(
            Record(id, STREAM, {"action": "retire", **given(reason=reason)}), require_oid(context)
        )

    @names_requester
    def get(self, id: str, context: RequestContext) -> Asset | None:
        """Return an asset as it is now; None where there is none that who asks may read."""
        entry = self._backend.get_by_id(id, require_oid(context), stream=STREAM)
        return None if entry is None else _read(entry)

    @names_requester
    def owner(self, id: str, context: RequestContext) -> str | None:
        """Return the OID of the current owner; None where there is no such asset.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the asset.
        """
        asset = self.get(id, context)
        if asset is None:
            refuse_unreadable(self._backend, KIND, id, context)
        return None if asset is None else asset.owner_oid

    @names_requester
    def status(self, id: str, context: RequestContext) -> str | None:
        """Return ``active`` or ``retired``; None where there is no such asset.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the asset.
        """
        asset = self.get(id, context)
        if asset is None:
            refuse_unreadable(self._backend, KIND, id, context)
        return None if asset is None else asset.status

    @names_requester
    def history(self, id: str, context: RequestContext) -> list[ChainEntry]:
        """Return all entries of an asset, oldest first.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the asset.
        """
        entries = self._backend.history(id, require_oid(context), stream=STREAM)
        if not entries:
            refuse_unreadable(self._backend, KIND, id, context)
        return entries

    @names_requester
    def list(
        self,
        *,
        owner_oid: str | None = None,
        issuer_oid: str | None = None,
        status: Status | None = None,
        limit: int = PAGE_ENTRIES,
        cursor: str | None = None,
        context: RequestContext,
    ) -> ListResult[Asset]:
        """Return one page of assets, by their current owner and issuer, in the order of their newest entries."""
        members = given(owner_oid=owner_oid, issuer_oid=issuer_oid)
        return list_newest(
            self._backend, STREAM, members, _read, status=status, limit=limit, cursor=cursor, context=context
        )
