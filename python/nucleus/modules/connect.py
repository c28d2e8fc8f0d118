"""The handle of the module ``connect``: what a subject allows an application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nucleus._core import ChainEntry, Record
from nucleus.auth.context import RequestContext, names_requester, require_oid
from nucleus.backend import LedgerBackend
from nucleus.listing import ListResult
from nucleus.members import given
from nucleus.modules.state import State, list_newest, refuse_unreadable
from nucleus.query import MAX_PAGE_ENTRIES, PAGE_ENTRIES, Status

KIND = "connect_grant"
STREAM = "connect_grants"


@dataclass(frozen=True, slots=True)
class ConnectGrant:
    """What a grant has come to.

    Attributes:
        id: the grant's id.
        status: ``active``, ``revoked``, ``expired``, or ``redacted``: then nothing else is known of it.
        subject_oid: who allows.
        app_oid: which application is allowed.
        scopes: what it is allowed.
        controller_oid: who answers for the application.
        resource: what the scopes are about.
        policy: under which policy.
        lawful_basis: on which lawful basis.
        exp: when it expires, in seconds since the Unix epoch.
        reason: why it was revoked.
        entry: the newest entry of it.
    """

    id: str
    status: str
    subject_oid: str | None
    app_oid: str | None
    scopes: tuple[str, ...]
    controller_oid: str | None
    resource: str | None
    policy: str | Mapping[str, Any] | None
    lawful_basis: str | None
    exp: int | None
    reason: str | None
    entry: ChainEntry = field(repr=False)


def _read(entry: ChainEntry) -> ConnectGrant:
    state = State.of(entry, "connect")
    return ConnectGrant(
        id=entry.record.id,
        status=state.granted_status(),
        subject_oid=state.optional_text("subject_oid"),
        app_oid=state.optional_text("app_oid"),
        scopes=() if entry.redacted else state.texts("scopes"),
        controller_oid=state.optional_text("controller_oid"),
        resource=state.optional_text("resource"),
        policy=state.members.get("policy"),
        lawful_basis=state.optional_text("lawful_basis"),
        exp=state.optional_integer("exp"),
        reason=state.optional_text("reason"),
        entry=entry,
    )


class ConnectGrants:
    """Grants, revokes and checks. ``ledger.modules.get("connect")`` makes one; it holds no state.

    Besides what is named below, every method raises what :class:`~nucleus.Ledger` raises.
    """

    def __init__(self, backend: LedgerBackend) -> None:
        self._backend = backend

    def __repr__(self) -> str:
        return f"<ConnectGrants of ledger {self._backend.id!r}>"

    @names_requester
    def grant(
        self,
        id: str,
        *,
        subject_oid: str,
        app_oid: str,
        scopes: Sequence[str],
        controller_oid: str | None = None,
        resource: str | None = None,
        policy: str | Mapping[str, Any] | None = None,
        lawful_basis: str | None = None,
        exp: int | None = None,
        context: RequestContext,
    ) -> ChainEntry:
        """Record that a subject allows an application something.

        Args:
            id: the grant's id, not in use yet.
            subject_oid: who allows.
            app_oid: which application is allowed.
            scopes: what it is allowed: at least one, no one twice.
            controller_oid: who answers for the application.
            resource: what the scopes are about.
            policy: under which policy.
            lawful_basis: on which lawful basis.
            exp: when it expires, in whole seconds since the Unix epoch.
            context: who asks.

        Raises:
            RecordRefusedError: a member is out of its bounds, or there is a grant with this id.
        """
        optional = given(
            controller_oid=controller_oid, resource=resource, policy=policy, lawful_basis=lawful_basis, exp=exp
        )
        # A single string would pass for a sequence of its letters.
        scope_list: Any = scopes if isinstance(scopes, str) else list(scopes)
        own = {"action": "grant", "subject_oid": subject_oid, "app_oid": app_oid, "scopes": scope_list}
        return self._backend.append(Record(id, STREAM, {**own, **optional}), require_oid(context))

    @names_requester
    def revoke(self, id: str, *, reason: str | None = None, context: RequestContext) -> ChainEntry:
        """Revoke a grant, for good.

        Raises:
            RecordRefusedError: there is none, it is revoked already, or another than its subject or application asks.
        """
        return self._backend.append(
            Record(id, STREAM, {"action": "revoke", **given(reason=reason)}), require_oid(context)
        )

    @names_requester
    def get(self, id: str, context: RequestContext) -> ConnectGrant | None:
        """Return a grant as it is now; None where there is none that who asks may read."""
        entry = self._backend.get_by_id(id, require_oid(context), stream=STREAM)
        return None if entry is None else _read(entry)

    @names_requester
    def status(self, id: str, context: RequestContext) -> str | None:
        """Return ``active``, ``revoked``, ``expired`` or ``redacted``; None where there is no such grant.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the grant.
        """
        found = self.get(id, context)
        if found is None:
            refuse_unreadable(self._backend, KIND, id, context)
        return None if found is None else found.status

    @names_requester
    def history(self, id: str, context: RequestContext) -> list[ChainEntry]:
        """Return all entries of a grant, oldest first.

        Raises:
            AccessDeniedError: access control is on, and who asks may not read the grant.
        """
        entries = self._backend.history(id, require_oid(context), stream=STREAM)
        if not entries:
            refuse_unreadable(self._backend, KIND, id, context)
        return entries

    @names_requester
    def check(self, *, app_oid: str, subject_oid: str, scope: str, context: RequestContext) -> bool:
        """Return whether an active grant of the subject allows the application this scope now.

        Raises:
            AccessDeniedError: access control is on, and no grant that who asks may read allows it: only the subject,
                the application and who may read all grants are told that there is none.
        """
        cursor = None
        while True:
            page = self.list(
                subject_oid=subject_oid,
                app_oid=app_oid,
                status="active",
                limit=MAX_PAGE_ENTRIES,
                cursor=cursor,
                context=context,
            )
            if any(scope in found.scopes for found in page.items):
                return True
            if not page.has_more:
                if require_oid(context) not in (subject_oid, app_oid):
                    refuse_unreadable(self._backend, KIND, None, context)
                return False
            cursor = page.next_cursor

    @names_requester
    def list(
        self,
        *,
        subject_oid: str | None = None,
        app_oid: str | None = None,
        status: Status | None = None,
        limit: int = PAGE_ENTRIES,
        cursor: str | None = None,
        context: RequestContext,
    ) -> ListResult[ConnectGrant]:
        """Return one page of grants, in the order of their newest entries."""
        members = given(subject_oid=subject_oid, app_oid=app_oid)
        return list_newest(
            self._backend, STREAM, members, _read, status=status, limit=limit, cursor=cursor, context=context
        )
