"""The handle of the module ``proof``: statements by an issuer about a subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nucleus._core import ChainEntry, Record
from nucleus.auth.context import RequestContext, names_requester, require_oid
from nucleus.backend import LedgerBackend
from nucleus.listing import ListResult
from nucleus.members import given
from nucleus.modules.state import State, list_newest, refuse_unreadable
from nucleus.query import PAGE_ENTRIES, Status

KIND = "proof"
STREAM = "proofs"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof has come to.

    Attributes:
        id: the proof's id.
        status: ``active``, ``revoked``, ``expired``, or ``redacted``: then nothing else is known of it.
        subject_oid: whom it is about.
        issuer_oid: who states it.
        type: what kind of statement.
        target: what it refers to.
        data: the statement.
        exp: when it expires, in seconds since the Unix epoch.
        reason: why it was revoked.
        entry: the newest entry of it.
    """

    id: str
    status: str
    subject_oid: str | None
    issuer_oid: str | None
    type: str | None
    target: str | None
    data: Any
    exp: int | None
    reason: str | None
    entry: ChainEntry = field(repr=False)


def _read(entry: ChainEntry) -> Proof:
    state = State.of(entry, "proof")
    return Proof(
        id=entry.record.id,
        status=state.granted_status(),
        subject_oid=state.optional_text("subject_oid"),
        issuer_oid=state.optional_text("issuer_oid"),
        type=state.optional_text("type"),
        target=state.optional_text("target"),
        data=state.members.get("data"),
        exp=state.optional_integer("exp"),
        reason=state.optional_text("reason"),
        entry=entry,
    )


class Proofs:
    """Issues, revokes and finds proofs. ``ledger.modules.get("proof")`` makes one; it holds no state.

    Besides what is named below, every method raises what :class:`~nucleus.Ledger` raises.
    """

    def __init__(self, backend: LedgerBackend) -> None:
        self._backend = backend

    def __repr__(self) -> str:
        return f"<Proofs of ledger {self._backend.id!r}>"

    @names_requester
    def issue(
        self,
        id: str,
        *,
        subject_oid: str,
        issuer_oid: str,
        type: str | None = None,
        target: str | None = None,
        data: Any = None,
        exp: int | None = None,
        context: RequestContext,
    ) -> ChainEntry:
        """Issue a proof.

        Args:
            id: the proof's id, not in use yet.
            subject_oid: whom it is about.
            issuer_oid: who states it, and alone may revoke it.
            type: what kind of statement.
            target: what it refers to.
            data: the statement, any JSON value.
            exp: when it expires, in whole seconds since the Unix epoch.
            context: who asks.

        Raises:
            RecordRefusedError: a member is out of its bounds, or there is a proof with this id.
        """
        members = given(type=type, target=target, data=data, exp=exp)
        payload = {"action": "issue", "subject_oid": subject_oid, "issuer_oid": issuer_oid, **members}
        return self._backend.append(Record(id, STREAM, payload), require_oid(context))

    @names_requester
    def revoke(self, id: str, *, reason: str, context: RequestContext) -> ChainEntry:
        """Revoke a proof, for good.

        Raises:
            RecordRefusedError: there is none, it is revoked already, ``reason`` is empty, or another than its issuer
                asks.
        """
        return self._backend.append(Record(id, STREAM, {"action": "revoke", "reason": reason}), require_oid(context))

    @names_requester
    def get(self, id: str, context: RequestContext) -> Proof | None:
        """Return a proof as it is now; None where there is none that who asks may read."""
        entry = self._backend.get_by_id(id, require_oid(context), stream=STREAM)
        return None if entry is None else _read(entry)

    @names_requester
    def status(self, id: str, context: RequestContext) -> str | None:
        """Return ``active``, ``revoked``, ``expired`` or ``redacted``; None where there is no such proof.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the proof.
        """
        proof = self.get(id, context)
        if proof is None:
            refuse_unreadable(self._backend, KIND, id, context)
        return None if proof is None else proof.status

    @names_requester
    def history(self, id: str, context: RequestContext) -> list[ChainEntry]:
        """Return all entries of a proof, oldest first.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the proof.
        """
        entries = self._backend.history(id, require_oid(context), stream=STREAM)
        if not entries:
            refuse_unreadable(self._backend, KIND, id, context)
        return entries

    @names_requester
    def list(
        self,
        *,
        subject_oid: str | None = None,
        issuer_oid: str | None = None,
        type: str | None = None,
        status: Status | None = None,
        limit: int = PAGE_ENTRIES,
        cursor: str | None = None,
        context: RequestContext,
    ) -> ListResult[Proof]:
        """Return one page of proofs, in the order of their newest entries."""
        members = given(subject_oid=subject_oid, issuer_oid=issuer_oid, type=type)
        return list_newest(
            self._backend, STREAM, members, _read, status=status, limit=limit, cursor=cursor, context=context
        )
