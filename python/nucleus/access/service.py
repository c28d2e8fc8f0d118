"""Access control of a ledger: ``ledger.access``."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from nucleus._core import AccessControl, ChainEntry, Engine
from nucleus.access.types import (
    WHOLE_KIND,
    AccessPeriod,
    AclGrant,
    Explanation,
    Resource,
    ResourceFilters,
    ResourcePredicate,
    Scope,
)
from nucleus.auth.context import RequestContext, names_requester, require_oid
from nucleus.errors import AccessDeniedError, ConfigError, InvalidRecordError
from nucleus.modules.listing import ListResult
from nucleus.modules.state import given

_Place = tuple[int, str | None]
"""Where a list goes on: the position among the streams of the kind, and the cursor of a query of that stream."""

_LARGEST_EXACT_INTEGER = 2**53 - 1


class LedgerAccess:
    """Grants access to the resources of a ledger, and tells who has it. ``ledger.access`` is one; it holds no state.

    A resource is a kind and an id; what is granted stands in the ledger itself. ``full`` lets its holder read, append,
    redact and grant; ``read`` and ``write`` imply only themselves. Whoever creates a resource has ``full`` on it, and
    so has whom its module names: an asset's owner and issuer, a proof's issuer, a token's issuer, a connect grant's
    subject; a proof's subject may read it, and so may the application of a connect grant until that expires.

    ``check``, ``check_many`` and ``require`` are asked by the service, about the principal they name. The other
    questions are asked for whoever ``context`` names: such a one is told of themselves, of resources that they have
    ``full`` on, and, as the administrator, of everything.

    Every method raises what :class:`~nucleus.Ledger` raises.
    """

    def __init__(self, engine: Engine, access: AccessControl) -> None:
        self._engine = engine
        self._access = access

    @property
    def administrator(self) -> str:
        """OID of the principal who may do everything."""
        return self._access.administrator

    @names_requester
    def grant(self, grants: AclGrant | Iterable[AclGrant], context: RequestContext) -> builtins.list[ChainEntry]:
        """Grant access, all or nothing; each grant becomes an entry of the stream ``acl_grants``.

        What is granted on a resource before its first entry reserves it: whoever creates it then has what they were
        granted, and no ``full`` as its creator; those whom its first entry names (owner, issuer, subject) have their
        roles. A grant ends at the latest when the ``full`` does that it is made under; the entry says when that is.

        Args:
            grants: what is granted; ``granted_by`` is the one who asks, or left out.
            context: who asks: somebody with ``full`` on each resource, or the administrator.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: who asks may not grant that, or another is named as ``granted_by``.
            InvalidRecordError: a grant is out of its bounds; the message names which and where.
        """
        requester_oid = require_oid(context)
        return self._access.grant(_requests(grants, requester_oid), requester_oid)

    @names_requester
    def revoke(
        self,
        grants: AclGrant | Iterable[AclGrant],
        context: RequestContext,
        *,
        allow_last_full: bool = False,
    ) -> builtins.list[ChainEntry]:
        """End whatever gives principals these scopes on these resources, all or nothing.

        That is explicit grants, whoever made them, and those that entries imply. It holds for the next call in every
        thread and process.

        Args:
            grants: of each, the resource, the principal and the scope count.
            context: who asks: somebody with ``full`` on each resource, or the administrator.
            allow_last_full: leave a resource without anybody who has ``full`` on it.

        Returns:
            An entry for each that had anything to end.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: who asks may not revoke that.
            ConflictError: nobody else has ``full`` on the resource.
            InvalidRecordError: a grant is out of its bounds; the message names which and where.
        """
        requester_oid = require_oid(context)
        return self._access.revoke(_requests(grants, None), requester_oid, allow_last_full=allow_last_full)

    def check(
        self, principal_oid: str, scope: Scope, resource: ResourcePredicate, *, at: int | datetime | None = None
    ) -> bool:
        """Tell whether a principal may do something with a resource.

        What the resource must say is compared with its newest entry, also for a principal who may not read it: the
        answer is for the service.

        Args:
            principal_oid: whom it is about.
            scope: ``read``, ``write`` or ``full``.
            resource: one resource; without an id, the whole kind.
            at: a seq, for the state after that entry, or a time with its zone; answered from the chain as it is now:
                what a redaction erased implies nothing any more, and of a time to come only the ends of grants are
                known. Who is the administrator now counts as the administrator of then.

        Raises:
            ConfigError: the scope is none, or what the resource must say does not go with a whole kind or with ``at``.
        """
        if at is not None:
            _refuse_members(resource, "with at=")
            return self._explain(principal_oid, scope, _named(resource), at, None).allowed
        kind, resource_id = _named(resource)
        if resource.id is None:
            _refuse_members(resource, "of a whole kind")
        try:
            return self._access.check(principal_oid, scope, kind, resource_id) and self._says(resource)
        except UnicodeEncodeError as error:
            raise _not_utf8(error) from None

    def check_many(
        self, principal_oid: str, scope: Scope, resources: Iterable[ResourcePredicate]
    ) -> builtins.list[bool]:
        """Tell it of several resources, in their order."""
        return [self.check(principal_oid, scope, resource) for resource in resources]

    def require(self, principal_oid: str, scope: Scope, resource: ResourcePredicate) -> Resource:
        """Return the resource, with its newest entry where the principal may read it.

        Raises:
            AccessDeniedError: the principal may not do that with it.
        """
        kind, resource_id = _named(resource)
        if not self.check(principal_oid, scope, resource):
            raise AccessDeniedError(f"{principal_oid} has no `{scope}` on {kind} `{resource_id}`")
        shown = resource_id != WHOLE_KIND and (scope != "write" or self.check(principal_oid, "read", resource))
        return Resource(kind, resource_id, self._newest_of_all(kind, resource_id) if shown else None)

    @names_requester
    def list(self, principal_oid: str, filters: ResourceFilters, context: RequestContext) -> ListResult[Resource]:
        """Return one page of the resources of a kind that a principal may read, in the order of their newest entries.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is neither the principal's nor the administrator's.
            ConfigError: the cursor is not one that a list with these filters answered, or ``limit`` is out of bounds.
        """
        self._authorise(context, principal_oid=_principal(principal_oid))
        streams = self._access.streams_of_kind(filters.kind)
        items: builtins.list[Resource] = []
        place = _read_cursor(filters.cursor, len(streams))
        while place is not None and (not items or len(items) < filters.limit):
            found, place = self._page(principal_oid, filters, streams, place, filters.limit - len(items))
            items += found
        has_more = self._any_behind(principal_oid, filters, streams, place)
        return ListResult(items, has_more, _cursor(place) if has_more else None)

    @names_requester
    def grants_of(self, principal_oid: str, context: RequestContext) -> builtins.list[AclGrant]:
        """Return the grants to a principal that count now, by resource.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is neither the principal's nor the administrator's.
        """
        self._authorise(context, principal_oid=_principal(principal_oid))
        return [_grant(row) for row in self._access.grants(principal_oid=principal_oid)]

    @names_requester
    def grants_on(self, resource: ResourcePredicate, context: RequestContext) -> builtins.list[AclGrant]:
        """Return the grants on exactly this resource that count now, by principal; those on its whole kind apart.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is of nobody who has ``full`` on it.
        """
        named = self._governed(resource, context)
        return [_grant(row) for row in self._access.grants(resource=named)]

    @names_requester
    def explain(
        self,
        principal_oid: str,
        scope: Scope,
        resource: ResourcePredicate,
        *,
        at: int | datetime | None = None,
        context: RequestContext,
    ) -> Explanation:
        """Tell why a principal may do something with a resource, or may not: by which grant, since which entry.

        It is answered from the chain, not from the table of grants.

        Args:
            principal_oid: whom it is about.
            scope: ``read``, ``write`` or ``full``.
            resource: one resource; without an id, the whole kind.
            at: as for :meth:`check`, but that a seq is one of an entry that ``context`` may read, or that the
                explanation names; the administrator may name any. Of other entries, nobody is told whether there
                are any.
            context: for whom it is asked.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is neither the principal's nor of anybody who has ``full`` on the resource.
            ConfigError: the scope is none, ``at`` names no entry that ``context`` may ask about, or has no zone.
        """
        _refuse_members(resource, "in an explanation")
        kind, resource_id = _named(resource)
        requester_oid = self._authorise(context, principal_oid=principal_oid, resource=(kind, resource_id))
        return self._explain(principal_oid, scope, (kind, resource_id), at, requester_oid)

    @names_requester
    def history(self, resource: ResourcePredicate, context: RequestContext) -> builtins.list[AccessPeriod]:
        """Return every grant there ever was on exactly this resource, in the order of their entries, from the chain.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is of nobody who has ``full`` on it.
        """
        kind, resource_id = self._governed(resource, context)
        return [_period(period) for period in self._access.history(kind, resource_id)]

    @names_requester
    def cleanup_expired(self, context: RequestContext) -> int:
        """Delete expired grants from the table, to save space: they count for nothing as it is.

        Returns:
            How many were deleted.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: another than the administrator asks.
        """
        return self._access.cleanup_expired(require_oid(context))

    @names_requester
    def rebuild(self, context: RequestContext) -> None:
        """Make the table of grants anew from the chain, after verification found it altered.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: another than the administrator asks.
        """
        self._access.rebuild(require_oid(context))

    def __repr__(self) -> str:
        return f"<LedgerAccess of ledger {self._engine.id!r}, administrator {self.administrator!r}>"

    def _governed(self, resource: ResourcePredicate, context: RequestContext) -> tuple[str, str]:
        _refuse_members(resource, "here")
        named = _named(resource)
        self._authorise(context, resource=named)
        return named

    def _authorise(
        self,
        context: RequestContext,
        *,
        principal_oid: str | None = None,
        resource: tuple[str, str] | None = None,
    ) -> str:
        """Return who asks, if they may be told of the principal or of the resource."""
        requester_oid = require_oid(context)
        try:
            self._access.authorise_inquiry(requester_oid, principal_oid=principal_oid, resource=resource)
        except UnicodeEncodeError as error:
            raise _not_utf8(error) from None
        return requester_oid

    def _explain(
        self,
        principal_oid: str,
        scope: Scope,
        resource: tuple[str, str],
        at: int | datetime | None,
        requester_oid: str | None,
    ) -> Explanation:
        """Explain it to a requester; to None, the service itself, at any seq."""
        try:
            at_seq, at_time = _moment(at)
            allowed, reason, period = self._access.explain(
                principal_oid, scope, *resource, requester_oid=requester_oid, at_seq=at_seq, at_time=at_time
            )
        except UnicodeEncodeError as error:
            raise _not_utf8(error) from None
        return Explanation(allowed, f"{principal_oid} {reason}", None if period is None else _period(period))

    def _says(self, resource: ResourcePredicate) -> bool:
        members = _members(resource)
        if not members and resource.status is None:
            return True
        pages = (
            self._engine.query(
                self.administrator,
                stream=stream,
                id=resource.id,
                payload=members or None,
                status=resource.status,
                latest_only=True,
                limit=1,
            )
            for stream in self._access.streams_of_kind(resource.kind)
        )
        return any(self._is_newest(resource.kind, entry) for page in pages for entry in page.entries)

    def _any_behind(
        self, principal_oid: str, filters: ResourceFilters, streams: builtins.list[str], place: _Place | None
    ) -> bool:
        """Return whether a next page has anything on it."""
        if len(streams) == 1:
            return place is not None
        while place is not None:
            found, place = self._page(principal_oid, filters, streams, place, 1)
            if found:
                return True
        return False

    def _is_newest(self, kind: str, entry: ChainEntry) -> bool:
        newest = self._newest_of_all(kind, entry.record.id)
        return newest is not None and newest.seq == entry.seq

    def _page(
        self,
        principal_oid: str,
        filters: ResourceFilters,
        streams: builtins.list[str],
        place: _Place,
        limit: int,
    ) -> tuple[builtins.list[Resource], _Place | None]:
        """Return resources of one stream, at most ``limit``, and the place behind them; None at the end of all."""
        position, cursor = place
        page = self._engine.query(
            principal_oid,
            stream=streams[position],
            payload=_members(filters) or None,
            status=filters.status,
            latest_only=True,
            limit=limit,
            cursor=cursor,
        )
        # A resource with entries in several streams is listed where its newest one is.
        entries = page.entries
        if len(streams) > 1:
            entries = [each for each in page.entries if self._is_newest(filters.kind, each)]
        items = [Resource(filters.kind, entry.record.id, entry) for entry in entries]
        if page.next_cursor is not None:
            return items, (position, page.next_cursor)
        return items, (position + 1, None) if position + 1 < len(streams) else None

    def _newest_of_all(self, kind: str, id: str) -> ChainEntry | None:
        streams = self._access.streams_of_kind(kind)
        versions = (self._engine.get_by_id(id, self.administrator, stream=stream) for stream in streams)
        return max((entry for entry in versions if entry is not None), key=lambda entry: entry.seq, default=None)


def _requests(
    grants: AclGrant | Iterable[AclGrant], granted_by: str | None
) -> list[tuple[str, str, str, str, int | None]]:
    if isinstance(grants, Mapping):
        raise _refused("$", "must be AclGrant objects, not a mapping")
    batch = [grants] if isinstance(grants, AclGrant) else list(grants)
    for position, grant in enumerate(batch):
        if not isinstance(grant, AclGrant):
            raise _refused(f"$[{position}]", f"must be an AclGrant, not {type(grant).__name__}")
        _check_types(grant, f"$[{position}]")
        if granted_by is not None and grant.granted_by not in (None, granted_by):
            raise AccessDeniedError(
                f"$[{position}].granted_by: {grant.granted_by} is not the one who asks, {granted_by}; leave it out"
            )
    return [(each.resource_kind, each.resource_id, each.principal_oid, each.scope, each.exp) for each in batch]


def _check_types(grant: AclGrant, path: str) -> None:
    """Refuse what the compiled core could not be handed."""
    for name in ("resource_kind", "resource_id", "principal_oid", "scope"):
        value = getattr(grant, name)
        if not isinstance(value, str):
            raise _refused(f"{path}.{name}", f"must be a string, not {type(value).__name__}")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise _refused(f"{path}.{name}", "a string with a lone surrogate has no UTF-8 form")
    if grant.exp is None:
        return
    if isinstance(grant.exp, bool) or not isinstance(grant.exp, int):
        raise _refused(f"{path}.exp", f"must be whole seconds since the Unix epoch, not {type(grant.exp).__name__}")
    if abs(grant.exp) > _LARGEST_EXACT_INTEGER:
        raise _refused(f"{path}.exp", "is not a time in seconds since the Unix epoch")


def _refused(path: str, reason: str) -> InvalidRecordError:
    return InvalidRecordError(f"{path}: {reason}", path=path)


def _principal(principal_oid: str) -> str:
    if not isinstance(principal_oid, str):
        raise ConfigError(f"a principal is named by an OID, not by an object of type {type(principal_oid).__name__}")
    return principal_oid


def _named(resource: ResourcePredicate) -> tuple[str, str]:
    if not isinstance(resource, ResourcePredicate):
        raise ConfigError(
            f"a resource is named by a ResourcePredicate, not by an object of type {type(resource).__name__}"
        )
    return resource.kind, WHOLE_KIND if resource.id is None else resource.id


def _not_utf8(error: UnicodeEncodeError) -> ConfigError:
    return ConfigError(f"{error.object!r} has a lone surrogate and so no UTF-8 form; nothing bears that name")


def _members(resource: ResourcePredicate | ResourceFilters) -> dict[str, Any]:
    return given(subject_oid=resource.subject_oid, issuer_oid=resource.issuer_oid, type=resource.type)


def _refuse_members(resource: ResourcePredicate, where: str) -> None:
    if _members(resource) or resource.status is not None:
        raise ConfigError(
            f"subject_oid, issuer_oid, status and type cannot be asked for {where}; name kind and id alone"
        )


def _moment(at: int | datetime | None) -> tuple[int | None, int | None]:
    """Return a seq or a time in ms."""
    if at is None:
        return None, None
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise ConfigError("at has no time zone; pass e.g. datetime.now(timezone.utc)")
        return None, round(at.timestamp() * 1000)
    if isinstance(at, bool) or not isinstance(at, int):
        raise ConfigError(f"at must be a seq or a time with its zone, not an object of type {type(at).__name__}")
    if not 0 <= at <= _LARGEST_EXACT_INTEGER:
        raise ConfigError(f"at must be a seq, and there is no entry {at}")
    return at, None


def _read_cursor(cursor: str | None, streams: int) -> _Place | None:
    """Return where a list goes on; None where there is nothing to list."""
    if cursor is None:
        return (0, None) if streams else None
    position, colon, rest = cursor.partition(":")
    places = {str(position): position for position in range(streams)}
    if not colon or position not in places:
        raise ConfigError("the cursor is not one that a list with these filters answered")
    return places[position], rest or None


def _cursor(place: _Place | None) -> str | None:
    return None if place is None else f"{place[0]}:{place[1] or ''}"


def _grant(row: tuple[Any, ...]) -> AclGrant:
    kind, resource_id, principal_oid, scope, source, granted_by, exp, created_at, seq = row
    return AclGrant(kind, resource_id, principal_oid, scope, granted_by, exp, source, created_at, seq)


def _period(row: tuple[Any, ...]) -> AccessPeriod:
    grant, entry_hash, end = row
    return AccessPeriod(_grant(grant), entry_hash, *(end or ()))
