"""Access control of a ledger, asked for somebody: ``ledger.access``."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime

from nucleus._core import ChainEntry
from nucleus.access.grants import AccessPeriod, AclGrant, Explanation, Scope
from nucleus.access.naming import grant_requests, not_utf8, principal_name, refuse_members, resource_name
from nucleus.access.resources import Resource, ResourceFilters, ResourcePredicate
from nucleus.access.service import ServiceAccess, explained
from nucleus.auth.context import RequestContext, names_requester, require_oid
from nucleus.backend import AccessBackend, LedgerBackend
from nucleus.listing import ListResult


class LedgerAccess:
    """Grants access to the resources of a ledger, and tells who has it. ``ledger.access`` is one; it holds no state.

    A resource is a kind and an id; what is granted stands in the ledger itself. ``full`` lets its holder read, append,
    redact and grant; ``read`` and ``write`` imply only themselves. Whoever creates a resource has ``full`` on it, and
    so has whom its module names: an asset's owner and issuer, a proof's issuer, a token's issuer, a connect grant's
    subject; a proof's subject may read it, and so may the application of a connect grant until that expires.

    Everything here is asked for somebody. ``check``, ``check_many`` and ``require`` are asked for the principal whom
    they name: whether that one may do something. The other questions are asked for whoever ``context`` names: such a
    one is told of themselves, of resources that they have ``full`` on, and, as the administrator, of everything. What
    the service may ask for itself is :attr:`service`.

    Every method raises what :class:`~nucleus.Ledger` raises.
    """

    __slots__ = ("_access", "_backend", "_service")

    def __init__(self, backend: LedgerBackend, access: AccessBackend) -> None:
        self._backend = backend
        self._access = access
        self._service = ServiceAccess(backend, access)

    @property
    def administrator(self) -> str:
        """OID of the principal who may do everything."""
        return self._access.administrator

    @property
    def service(self) -> ServiceAccess:
        """What the service may ask for itself, of anybody and anything, without a context."""
        return self._service

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
        return self._access.grant(grant_requests(grants, requester_oid), requester_oid)

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
        return self._access.revoke(grant_requests(grants, None), requester_oid, allow_last_full=allow_last_full)

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
        return self._service.check(principal_oid, scope, resource, at=at)

    def check_many(
        self, principal_oid: str, scope: Scope, resources: Iterable[ResourcePredicate]
    ) -> builtins.list[bool]:
        """Tell it of several resources, in their order."""
        return self._service.check_many(principal_oid, scope, resources)

    def require(self, principal_oid: str, scope: Scope, resource: ResourcePredicate) -> Resource:
        """Return the resource, with its newest entry where the principal may read it.

        Raises:
            AccessDeniedError: the principal may not do that with it.
        """
        return self._service.require(principal_oid, scope, resource)

    @names_requester
    def list(self, principal_oid: str, filters: ResourceFilters, context: RequestContext) -> ListResult[Resource]:
        """Return one page of the resources of a kind that a principal may read, in the order of their newest entries.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is neither the principal's nor the administrator's.
            ConfigError: the cursor is not one that a list with these filters answered, or ``limit`` is out of bounds.
        """
        self._authorise(context, principal_oid=principal_name(principal_oid))
        return self._service.list(principal_oid, filters)

    @names_requester
    def grants_of(self, principal_oid: str, context: RequestContext) -> builtins.list[AclGrant]:
        """Return the grants to a principal that count now, by resource.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is neither the principal's nor the administrator's.
        """
        self._authorise(context, principal_oid=principal_name(principal_oid))
        return self._service.grants_of(principal_oid)

    @names_requester
    def grants_on(self, resource: ResourcePredicate, context: RequestContext) -> builtins.list[AclGrant]:
        """Return the grants on exactly this resource that count now, by principal; those on its whole kind apart.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is of nobody who has ``full`` on it.
        """
        self._authorise_governing(resource, context)
        return self._service.grants_on(resource)

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
        refuse_members(resource, "in an explanation")
        named = resource_name(resource)
        requester_oid = self._authorise(context, principal_oid=principal_oid, resource=named)
        return explained(self._access, principal_oid, scope, named, at=at, requester_oid=requester_oid)

    @names_requester
    def history(self, resource: ResourcePredicate, context: RequestContext) -> builtins.list[AccessPeriod]:
        """Return every grant there ever was on exactly this resource, in the order of their entries, from the chain.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: ``context`` is of nobody who has ``full`` on it.
        """
        self._authorise_governing(resource, context)
        return self._service.history(resource)

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
        return f"<LedgerAccess of ledger {self._backend.id!r}, administrator {self.administrator!r}>"

    def _authorise_governing(self, resource: ResourcePredicate, context: RequestContext) -> None:
        refuse_members(resource, "here")
        self._authorise(context, resource=resource_name(resource))

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
            raise not_utf8(error) from None
        return requester_oid
