"""What a service may ask for itself: ``ledger.access.service``."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime

from nucleus._core import WHOLE_KIND
from nucleus.access.grants import AccessPeriod, AclGrant, Explanation, Scope
from nucleus.access.naming import moment, not_utf8, principal_name, refuse_members, resource_name
from nucleus.access.reading import ResourceReader
from nucleus.access.resources import Resource, ResourceFilters, ResourcePredicate
from nucleus.backend import AccessBackend, LedgerBackend
from nucleus.cursors import place_cursor, read_place
from nucleus.errors import AccessDeniedError
from nucleus.listing import ListResult


class ServiceAccess:
    """Tells the service that embeds the ledger everything about access to it. ``ledger.access.service`` is one.

    Nobody's right is asked here, because it is the service's own: whoever holds the open ledger may ask. What it
    answers is not for a requester; what a requester may be told is answered by
    :class:`~nucleus.access.LedgerAccess`, which asks for whom. It holds no state and changes nothing.

    Every method raises what :class:`~nucleus.Ledger` raises.
    """

    __slots__ = ("_access", "_backend", "_resources")

    def __init__(self, backend: LedgerBackend, access: AccessBackend) -> None:
        self._backend = backend
        self._access = access
        self._resources = ResourceReader(backend, access)

    @property
    def administrator(self) -> str:
        """OID of the principal who may do everything."""
        return self._access.administrator

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
            refuse_members(resource, "with at=")
            return explained(
                self._access, principal_oid, scope, resource_name(resource), at=at, requester_oid=None
            ).allowed
        kind, resource_id = resource_name(resource)
        if resource.id is None:
            refuse_members(resource, "of a whole kind")
        try:
            return self._access.check(principal_oid, scope, kind, resource_id) and self._resources.says(resource)
        except UnicodeEncodeError as error:
            raise not_utf8(error) from None

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
        kind, resource_id = resource_name(resource)
        if not self.check(principal_oid, scope, resource):
            raise AccessDeniedError(f"{principal_oid} has no `{scope}` on {kind} `{resource_id}`")
        shown = resource_id != WHOLE_KIND and (scope != "write" or self.check(principal_oid, "read", resource))
        return Resource(kind, resource_id, self._resources.newest(kind, resource_id) if shown else None)

    def list(self, principal_oid: str, filters: ResourceFilters) -> ListResult[Resource]:
        """Return one page of the resources of a kind that a principal may read, in the order of their newest entries.

        Raises:
            ConfigError: the cursor is not one that a list with these filters answered, or ``limit`` is out of bounds.
        """
        principal_name(principal_oid)
        streams = self._access.streams_of_kind(filters.kind)
        items: builtins.list[Resource] = []
        place = read_place(filters.cursor, len(streams))
        while place is not None and (not items or len(items) < filters.limit):
            found, place = self._resources.page(principal_oid, filters, streams, place, filters.limit - len(items))
            items += found
        has_more = self._resources.any_behind(principal_oid, filters, streams, place)
        return ListResult(items, has_more, place_cursor(place) if place is not None and has_more else None)

    def grants_of(self, principal_oid: str) -> builtins.list[AclGrant]:
        """Return the grants to a principal that count now, by resource."""
        return self._access.grants(principal_oid=principal_name(principal_oid))

    def grants_on(self, resource: ResourcePredicate) -> builtins.list[AclGrant]:
        """Return the grants on exactly this resource that count now, by principal; those on its whole kind apart."""
        refuse_members(resource, "here")
        try:
            return self._access.grants(resource=resource_name(resource))
        except UnicodeEncodeError as error:
            raise not_utf8(error) from None

    def explain(
        self,
        principal_oid: str,
        scope: Scope,
        resource: ResourcePredicate,
        *,
        at: int | datetime | None = None,
    ) -> Explanation:
        """Tell why a principal may do something with a resource, or may not: by which grant, since which entry.

        It is answered from the chain, not from the table of grants.

        Args:
            principal_oid: whom it is about.
            scope: ``read``, ``write`` or ``full``.
            resource: one resource; without an id, the whole kind.
            at: as for :meth:`check`.

        Raises:
            ConfigError: the scope is none, ``at`` names no entry, or has no zone.
        """
        refuse_members(resource, "in an explanation")
        return explained(self._access, principal_oid, scope, resource_name(resource), at=at, requester_oid=None)

    def history(self, resource: ResourcePredicate) -> builtins.list[AccessPeriod]:
        """Return every grant there ever was on exactly this resource, in the order of their entries, from the chain."""
        refuse_members(resource, "here")
        try:
            return self._access.history(*resource_name(resource))
        except UnicodeEncodeError as error:
            raise not_utf8(error) from None

    def __repr__(self) -> str:
        return f"<ServiceAccess of ledger {self._backend.id!r}, administrator {self.administrator!r}>"


def explained(
    access: AccessBackend,
    principal_oid: str,
    scope: Scope,
    resource: tuple[str, str],
    *,
    at: int | datetime | None,
    requester_oid: str | None,
) -> Explanation:
    """Explain it to a requester; to None, the service itself, at any seq."""
    seq, time = moment(at)
    try:
        return access.explain(principal_oid, scope, *resource, requester_oid=requester_oid, at_seq=seq, at_time=time)
    except UnicodeEncodeError as error:
        raise not_utf8(error) from None
