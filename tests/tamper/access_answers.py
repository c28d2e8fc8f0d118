"""Questions to access control: decisions, grants, and the pages of those who may read some of it."""

from collections.abc import Iterable
from typing import Any, Final

from tests.access.model import SCOPES, Grant, Model, ResourceName
from tests.tamper.bases import ADMIN, ISSUER, person
from tests.tamper.inquiry import Inquiry

from nucleus import ConfigError, QueryFilters, RequestContext
from nucleus.access import ResourceFilters, ResourcePredicate

_NOBODY: Final = person(999)
_PRINCIPALS: Final = (*(person(n) for n in range(7)), ISSUER, _NOBODY)
_MOST_RESOURCES: Final = 40


def ask(inquiry: Inquiry, model: Model) -> None:
    """Ask about everybody."""
    if inquiry.read_only and not _is_up_to_date(inquiry):
        return
    resources = _resources(inquiry, model)
    for context in _PRINCIPALS:
        _decisions(inquiry, model, context.oid, resources)
        live = [grant for grant in model.live_grants() if grant.principal == context.oid]
        inquiry.expect(f"grants of {context.oid}", _modelled(live), _granted, inquiry, principal=context.oid)
    for resource in resources:
        live = [grant for grant in model.live_grants() if (grant.kind, grant.id) == resource]
        inquiry.expect(f"grants on {resource}", _modelled(live), _granted, inquiry, resource=resource)
    for resource in inquiry.chance.sample(resources, min(5, len(resources))):
        _explanation(inquiry, model, resource)
    for context in inquiry.chance.sample(_PRINCIPALS, 3):
        _pages(inquiry, model, context)


def _is_up_to_date(inquiry: Inquiry) -> bool:
    """Whether grants are there to be asked for: a ledger written without access control has none yet."""
    try:
        inquiry.ledger.access.check(_NOBODY.oid, "read", ResourcePredicate("notes"))
    except ConfigError:
        return False
    return True


def _resources(inquiry: Inquiry, model: Model) -> list[ResourceName]:
    among = sorted({entry.resource for entry in model.entries if entry.resource})
    near = [entry.resource for entry in (model.entries[seq] for seq in sorted(inquiry.near)) if entry.resource]
    some = inquiry.chance.sample(among, min(_MOST_RESOURCES, len(among)))
    return sorted({*some, *near[:_MOST_RESOURCES], ("notes", "*")})


def _predicate(resource: ResourceName) -> ResourcePredicate:
    kind, named = resource
    return ResourcePredicate(kind, None if named == "*" else named)


def _decisions(inquiry: Inquiry, model: Model, oid: str, resources: list[ResourceName]) -> None:
    predicates = [_predicate(resource) for resource in resources]
    for scope in SCOPES:
        expected = [model.check(oid, scope, resource) for resource in resources]
        inquiry.expect(f"check {scope} of {oid}", expected, inquiry.ledger.access.check_many, oid, scope, predicates)


def _granted(inquiry: Inquiry, *, principal: str = "", resource: ResourceName | None = None) -> list[tuple[Any, ...]]:
    access = inquiry.ledger.access
    of_resource = None if resource is None else access.grants_on(_predicate(resource), ADMIN)
    grants = access.grants_of(principal, ADMIN) if of_resource is None else of_resource
    return sorted(
        (g.resource_kind, g.resource_id, g.principal_oid, g.scope, g.source, g.granted_by, g.exp or 0, g.seq)
        for g in grants
    )


def _modelled(grants: Iterable[Grant]) -> list[tuple[Any, ...]]:
    return sorted((g.kind, g.id, g.principal, g.scope, g.source, g.granted_by, g.exp or 0, g.seq) for g in grants)


def _explanation(inquiry: Inquiry, model: Model, resource: ResourceName) -> None:
    oid, scope = inquiry.chance.choice(_PRINCIPALS).oid, inquiry.chance.choice(SCOPES)
    inquiry.expect(
        f"explain {scope} of {oid} on {resource}",
        model.check(oid, scope, resource),
        lambda: inquiry.ledger.access.explain(oid, scope, _predicate(resource), context=ADMIN).allowed,
    )


def _pages(inquiry: Inquiry, model: Model, context: RequestContext) -> None:
    truth, ledger = inquiry.truth, inquiry.ledger
    visible = [truth.entries[entry.seq] for entry in model.readable(context.oid)]
    for stream in (None, "notes", "assets"):
        expected = [entry for entry in visible if stream in (None, entry.record.stream)]
        filters = QueryFilters(stream=stream, limit=1_000, with_total=True)
        page = inquiry.answer(f"page of {context.oid}", ledger.query, filters, context)
        inquiry.expect(f"page of {context.oid}, {stream}", (expected, len(expected)), tuple, (page.entries, page.total))
    for entry in inquiry.chance.sample(truth.entries, 5):
        seen = entry if entry in visible else None
        inquiry.expect(f"get by {context.oid}, entry {entry.seq}", seen, ledger.get, entry.hash, context)
    assets = ResourceFilters("asset", limit=500)
    inquiry.expect(
        f"list for {context.oid}",
        [named for named, _ in model.resources_of_kind(context.oid, "asset")],
        lambda: [item.id for item in ledger.access.list(context.oid, assets, context).items],
    )
