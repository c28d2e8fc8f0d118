"""What services depend on, whoever decides."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, runtime_checkable

from nucleus._core import ChainEntry
from nucleus.access.grants import AccessPeriod, AclGrant, Explanation, Scope
from nucleus.access.resources import Resource, ResourceFilters, ResourcePredicate
from nucleus.auth.context import RequestContext
from nucleus.listing import ListResult


@runtime_checkable
class UnifiedAccessLayer(Protocol):
    """Decides who may do what with which resource. :class:`nucleus.access.LedgerAccess` documents each method."""

    def grant(self, grants: AclGrant | Iterable[AclGrant], context: RequestContext) -> builtins.list[ChainEntry]:
        """Grant access, all or nothing."""

    def revoke(
        self,
        grants: AclGrant | Iterable[AclGrant],
        context: RequestContext,
        *,
        allow_last_full: bool = False,
    ) -> builtins.list[ChainEntry]:
        """End whatever gives principals these scopes."""

    def check(
        self, principal_oid: str, scope: Scope, resource: ResourcePredicate, *, at: int | datetime | None = None
    ) -> bool:
        """Tell whether a principal may do something with a resource."""

    def check_many(
        self, principal_oid: str, scope: Scope, resources: Iterable[ResourcePredicate]
    ) -> builtins.list[bool]:
        """Tell it of several resources."""

    def require(self, principal_oid: str, scope: Scope, resource: ResourcePredicate) -> Resource:
        """Return the resource, or raise AccessDeniedError."""

    def list(self, principal_oid: str, filters: ResourceFilters, context: RequestContext) -> ListResult[Resource]:
        """Return one page of the resources that a principal may read."""

    def grants_of(self, principal_oid: str, context: RequestContext) -> builtins.list[AclGrant]:
        """Return what a principal has been granted."""

    def grants_on(self, resource: ResourcePredicate, context: RequestContext) -> builtins.list[AclGrant]:
        """Return what has been granted on a resource."""

    def explain(
        self,
        principal_oid: str,
        scope: Scope,
        resource: ResourcePredicate,
        *,
        at: int | datetime | None = None,
        context: RequestContext,
    ) -> Explanation:
        """Tell why a principal may do something with a resource, or may not."""

    def history(self, resource: ResourcePredicate, context: RequestContext) -> builtins.list[AccessPeriod]:
        """Return who had access when, and who authorised it."""
