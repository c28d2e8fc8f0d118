"""Notes: records that no module rules, and grants on them."""

from tests.access.conftest import access_of

from nucleus import Ledger, Record, RequestContext
from nucleus.access import AclGrant, ResourcePredicate, Scope

NOTE = ResourcePredicate("notes", "n-1")
NOTES = ResourcePredicate("notes")
SCOPES: tuple[Scope, ...] = ("read", "write", "full")


def note(id: str = "n-1", **payload: object) -> Record:
    """Return a note."""
    return Record(id, "notes", payload)


def to(who: RequestContext, scope: Scope = "read", *, id: str = "n-1", exp: int | None = None) -> AclGrant:
    """Return a grant on a note."""
    return AclGrant("notes", id, who.oid, scope, exp=exp)


def may(ledger: Ledger, who: RequestContext, resource: ResourcePredicate = NOTE) -> set[str]:
    """Return the scopes that somebody has."""
    return {scope for scope in SCOPES if access_of(ledger).check(who.oid, scope, resource)}
