"""How grants, and the time they held, are printed."""

from collections.abc import Iterable, Iterator

import click

from nucleus._core import ChainEntry
from nucleus.access.grants import AccessPeriod, AclGrant
from nucleus.cli.output import echo_members, instant

Member = tuple[str, object]


def resource_text(kind: str, resource_id: str) -> str:
    """Return the name of a resource, as the engine's messages have it."""
    return f"{kind} `{resource_id}`"


def entry_text(seq: int | None, hash: str | None) -> str:
    """Return which entry is meant."""
    return f"{hash} at seq {seq:,}"


def recorded_text(entry: ChainEntry) -> str:
    """Return what an entry of the stream ``acl_grants`` says, and where it stands.

    It is told from the entry, not from what was asked for: a grant may have been cut to the time of its granter's own.
    """
    said = entry.record.payload
    resource = resource_text(said["resource_kind"], said["resource_id"])
    done, whom = ("granted", "to") if said["action"] == "grant" else ("revoked", "from")
    until = f" until {instant(said['exp'] * 1000)}" if "exp" in said else ""
    return (
        f"{done} `{said['scope']}` on {resource} {whom} {said['principal_oid']}{until}; "
        f"recorded at seq {entry.seq:,} with hash {entry.hash}"
    )


def grant_members(grant: AclGrant) -> Iterator[Member]:
    """Yield a grant's names and values."""
    yield "resource", resource_text(grant.resource_kind, grant.resource_id)
    yield "principal", grant.principal_oid
    yield "scope", grant.scope
    yield "source", grant.source
    yield "granted", f"{instant(grant.created_at)} by {grant.granted_by}"
    yield "expires", "-" if grant.exp is None else instant(grant.exp * 1000)


def period_members(period: AccessPeriod) -> Iterator[Member]:
    """Yield the names and values of a grant and its time."""
    yield from grant_members(period.grant)
    yield "entry", entry_text(period.grant.seq, period.hash)
    if period.until_seq is not None:
        yield "ended", f"{instant(period.ended_at)} by {period.ended_by}"
        yield "ended by entry", entry_text(period.until_seq, period.until_hash)


def echo_blocks(blocks: Iterable[Iterable[Member]]) -> None:
    """Print blocks of names and values, each with an empty line behind it."""
    for block in blocks:
        echo_members(block)
        click.echo()
