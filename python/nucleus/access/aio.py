"""Access control for asyncio services: the same methods, awaited."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from nucleus._core import ChainEntry
from nucleus.access.grants import AccessPeriod, AclGrant, Explanation, Scope
from nucleus.access.ledger_access import LedgerAccess
from nucleus.access.resources import Resource, ResourceFilters, ResourcePredicate
from nucleus.access.service import ServiceAccess
from nucleus.auth.context import RequestContext, names_requester
from nucleus.listing import ListResult
from nucleus.worker_threads import WorkerThreads

T = TypeVar("T")


class AsyncLedgerAccess:
    """Access control of an :class:`~nucleus.AsyncLedger`: arguments, answers and errors of :class:`LedgerAccess`."""

    def __init__(self, threads: WorkerThreads, access: LedgerAccess) -> None:
        self._threads = threads
        self._access = access

    @property
    def administrator(self) -> str:
        """OID of the principal who may do everything."""
        return self._access.administrator

    @property
    def service(self) -> AsyncServiceAccess:
        """What the service may ask for itself, of anybody and anything, without a context. Does not wait."""
        return AsyncServiceAccess(self._threads, self._access.service)

    @names_requester
    async def grant(self, grants: AclGrant | Iterable[AclGrant], context: RequestContext) -> builtins.list[ChainEntry]:
        """Grant access, all or nothing; see :meth:`LedgerAccess.grant`."""
        batch = _batch(grants)
        return await self._run(lambda access: access.grant(batch, context))

    @names_requester
    async def revoke(
        self,
        grants: AclGrant | Iterable[AclGrant],
        context: RequestContext,
        *,
        allow_last_full: bool = False,
    ) -> builtins.list[ChainEntry]:
        """End whatever gives principals these scopes; see :meth:`LedgerAccess.revoke`."""
        batch = _batch(grants)
        return await self._run(lambda access: access.revoke(batch, context, allow_last_full=allow_last_full))

    async def check(
        self, principal_oid: str, scope: Scope, resource: ResourcePredicate, *, at: int | datetime | None = None
    ) -> bool:
        """Tell whether a principal may do something with a resource; see :meth:`LedgerAccess.check`."""
        return await self._run(lambda access: access.check(principal_oid, scope, resource, at=at))

    async def check_many(
        self, principal_oid: str, scope: Scope, resources: Iterable[ResourcePredicate]
    ) -> builtins.list[bool]:
        """Tell it of several resources; see :meth:`LedgerAccess.check_many`."""
        batch = list(resources)
        return await self._run(lambda access: access.check_many(principal_oid, scope, batch))

    async def require(self, principal_oid: str, scope: Scope, resource: ResourcePredicate) -> Resource:
        """Return the resource, or raise AccessDeniedError; see :meth:`LedgerAccess.require`."""
        return await self._run(lambda access: access.require(principal_oid, scope, resource))

    @names_requester
    async def list(self, principal_oid: str, filters: ResourceFilters, context: RequestContext) -> ListResult[Resource]:
        """Return one page of the resources that a principal may read; see :meth:`LedgerAccess.list`."""
        return await self._run(lambda access: access.list(principal_oid, filters, context))

    @names_requester
    async def grants_of(self, principal_oid: str, context: RequestContext) -> builtins.list[AclGrant]:
        """Return the grants to a principal; see :meth:`LedgerAccess.grants_of`."""
        return await self._run(lambda access: access.grants_of(principal_oid, context=context))

    @names_requester
    async def grants_on(self, resource: ResourcePredicate, context: RequestContext) -> builtins.list[AclGrant]:
        """Return the grants on a resource; see :meth:`LedgerAccess.grants_on`."""
        return await self._run(lambda access: access.grants_on(resource, context=context))

    @names_requester
    async def explain(
        self,
        principal_oid: str,
        scope: Scope,
        resource: ResourcePredicate,
        *,
        at: int | datetime | None = None,
        context: RequestContext,
    ) -> Explanation:
        """Tell why a principal may do something, or may not; see :meth:`LedgerAccess.explain`."""
        return await self._run(lambda access: access.explain(principal_oid, scope, resource, at=at, context=context))

    @names_requester
    async def history(self, resource: ResourcePredicate, context: RequestContext) -> builtins.list[AccessPeriod]:
        """Return every grant there ever was on a resource; see :meth:`LedgerAccess.history`."""
        return await self._run(lambda access: access.history(resource, context=context))

    @names_requester
    async def cleanup_expired(self, context: RequestContext) -> int:
        """Delete expired grants from the table; see :meth:`LedgerAccess.cleanup_expired`."""
        return await self._run(lambda access: access.cleanup_expired(context))

    @names_requester
    async def rebuild(self, context: RequestContext) -> None:
        """Make the table of grants anew from the chain; see :meth:`LedgerAccess.rebuild`."""
        await self._run(lambda access: access.rebuild(context))

    def __repr__(self) -> str:
        return f"<AsyncLedgerAccess of {self._access!r}>"

    async def _run(self, work: Callable[[LedgerAccess], T]) -> T:
        return await self._threads.run(lambda: work(self._access))


class AsyncServiceAccess:
    """What an asyncio service may ask for itself: arguments, answers and errors of :class:`ServiceAccess`."""

    def __init__(self, threads: WorkerThreads, access: ServiceAccess) -> None:
        self._threads = threads
        self._access = access

    @property
    def administrator(self) -> str:
        """OID of the principal who may do everything."""
        return self._access.administrator

    async def check(
        self, principal_oid: str, scope: Scope, resource: ResourcePredicate, *, at: int | datetime | None = None
    ) -> bool:
        """Tell whether a principal may do something with a resource; see :meth:`ServiceAccess.check`."""
        return await self._run(lambda access: access.check(principal_oid, scope, resource, at=at))

    async def check_many(
        self, principal_oid: str, scope: Scope, resources: Iterable[ResourcePredicate]
    ) -> builtins.list[bool]:
        """Tell it of several resources; see :meth:`ServiceAccess.check_many`."""
        batch = list(resources)
        return await self._run(lambda access: access.check_many(principal_oid, scope, batch))

    async def require(self, principal_oid: str, scope: Scope, resource: ResourcePredicate) -> Resource:
        """Return the resource, or raise AccessDeniedError; see :meth:`ServiceAccess.require`."""
        return await self._run(lambda access: access.require(principal_oid, scope, resource))

    async def list(self, principal_oid: str, filters: ResourceFilters) -> ListResult[Resource]:
        """Return one page of the resources that a principal may read; see :meth:`ServiceAccess.list`."""
        return await self._run(lambda access: access.list(principal_oid, filters))

    async def grants_of(self, principal_oid: str) -> builtins.list[AclGrant]:
        """Return the grants to a principal; see :meth:`ServiceAccess.grants_of`."""
        return await self._run(lambda access: access.grants_of(principal_oid))

    async def grants_on(self, resource: ResourcePredicate) -> builtins.list[AclGrant]:
        """Return the grants on a resource; see :meth:`ServiceAccess.grants_on`."""
        return await self._run(lambda access: access.grants_on(resource))

    async def explain(
        self,
        principal_oid: str,
        scope: Scope,
        resource: ResourcePredicate,
        *,
        at: int | datetime | None = None,
    ) -> Explanation:
        """Tell why a principal may do something, or may not; see :meth:`ServiceAccess.explain`."""
        return await self._run(lambda access: access.explain(principal_oid, scope, resource, at=at))

    async def history(self, resource: ResourcePredicate) -> builtins.list[AccessPeriod]:
        """Return every grant there ever was on a resource; see :meth:`ServiceAccess.history`."""
        return await self._run(lambda access: access.history(resource))

    def __repr__(self) -> str:
        return f"<AsyncServiceAccess of {self._access!r}>"

    async def _run(self, work: Callable[[ServiceAccess], T]) -> T:
        return await self._threads.run(lambda: work(self._access))


def _batch(grants: AclGrant | Iterable[AclGrant]) -> list[AclGrant]:
    # The caller's iterable is consumed here: it need not be fit for another thread.
    return [grants] if isinstance(grants, AclGrant) else list(grants)
