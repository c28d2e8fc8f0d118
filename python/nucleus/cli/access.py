"""``nucleus grant``, ``revoke`` and ``access``: who may do what in a ledger, and why."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial

import click

from nucleus._core import WHOLE_KIND, ChainEntry
from nucleus.access.grants import AclGrant, Explanation, Scope
from nucleus.access.ledger_access import LedgerAccess
from nucleus.access.resources import ResourcePredicate
from nucleus.auth.context import RequestContext
from nucleus.cli.access_options import (
    administrator_option,
    at_option,
    check_principal,
    id_option,
    kind_option,
    principal_option,
    scope_option,
    until_option,
)
from nucleus.cli.access_output import echo_blocks, grant_members, period_members, recorded_text, resource_text
from nucleus.cli.failures import Command
from nucleus.cli.opening import open_access
from nucleus.cli.options import json_option, path_argument, requester_option, rollback_option, verify_option
from nucleus.cli.output import counted, echo_json, echo_members, entry_members, printable, progress_bar
from nucleus.cli.verify import echo_report


@click.command(cls=Command)
@path_argument
@kind_option
@id_option
@principal_option
@scope_option
@until_option
@administrator_option
@rollback_option
@requester_option
@json_option
def grant(
    *,
    path: str,
    kind: str,
    resource_id: str | None,
    principal: str,
    scope: Scope,
    until: int | None,
    administrator: str,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """Grant somebody access to a resource of the ledger PATH, or to a whole kind.

    It takes full on the resource, or the administrator. A grant ends at the latest when the full does that it is made
    under; what is printed is what was recorded.
    """
    wanted = AclGrant(kind, _whole(resource_id), principal, scope, exp=until)
    with open_access(path, administrator, read_only=False, accept_rollback=accept_rollback) as (_, control):
        recorded = control.grant(wanted, context)
    _echo_recorded(recorded, as_json)


@click.command(cls=Command)
@path_argument
@kind_option
@id_option
@principal_option
@scope_option
@click.option("--allow-last-full", is_flag=True, help="Also leave nobody with full on the resource.")
@administrator_option
@rollback_option
@requester_option
@json_option
def revoke(
    *,
    path: str,
    kind: str,
    resource_id: str | None,
    principal: str,
    scope: Scope,
    allow_last_full: bool,
    administrator: str,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """End whatever gives somebody this scope on exactly this resource of the ledger PATH.

    That is grants, whoever made them, and what entries imply. It takes full on the resource, or the administrator.
    Where there is nothing to end, nothing is written, and the exit code is 0 all the same: what was asked for holds.
    """
    wanted = AclGrant(kind, _whole(resource_id), principal, scope)
    with open_access(path, administrator, read_only=False, accept_rollback=accept_rollback) as (_, control):
        recorded = control.revoke(wanted, context, allow_last_full=allow_last_full)
    _echo_recorded(recorded, as_json)
    if not recorded and not as_json:
        resource = resource_text(wanted.resource_kind, wanted.resource_id)
        click.echo(printable(f"nothing to revoke: nothing gives {principal} `{scope}` on exactly {resource}"))


def _whole(resource_id: str | None) -> str:
    return WHOLE_KIND if resource_id is None else resource_id


def _echo_recorded(entries: Sequence[ChainEntry], as_json: bool) -> None:
    if as_json:
        echo_json({"entries": [entry_members(entry) for entry in entries]})
        return
    for entry in entries:
        click.echo(printable(recorded_text(entry)))


@click.group()
def access() -> None:
    """Tell who has access and why; every one of these prints JSON for programs with --json.

    Whoever asks is told of themselves and of what they have full on, the administrator of everything. All but rebuild
    open the ledger read-only; where list is refused because grants are not up to date, rebuild brings them there.
    """


@access.command(cls=Command)
@path_argument
@kind_option
@id_option
@principal_option
@scope_option
@at_option
@administrator_option
@verify_option
@rollback_option
@requester_option
@json_option
def explain(
    *,
    path: str,
    kind: str,
    resource_id: str | None,
    principal: str,
    scope: Scope,
    at: int | datetime | None,
    administrator: str,
    verify_first: bool,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """Say whether somebody may do something with a resource of the ledger PATH, and by which entry.

    It is answered from the chain. The exit code is 0 when they may, 1 when they may not, or when the question is
    refused, which is then said on standard error.
    """
    resource = ResourcePredicate(kind, resource_id)
    with open_access(
        path, administrator, read_only=True, verify_first=verify_first, accept_rollback=accept_rollback
    ) as (_, control):
        explanation = control.explain(principal, scope, resource, at=at, context=context)
    if as_json:
        echo_json(asdict(explanation))
    else:
        _echo_explanation(explanation, at)
    click.get_current_context().exit(0 if explanation.allowed else 1)


def _echo_explanation(explanation: Explanation, at: int | datetime | None) -> None:
    members: list[tuple[str, object]] = [("allowed", "yes" if explanation.allowed else "no")]
    if at is not None:
        members.append(("as of", f"seq {at:,}" if isinstance(at, int) else at.isoformat()))
    members.append(("reason", explanation.reason))
    if explanation.period is not None:
        members += period_members(explanation.period)
    echo_members(members)


@access.command(cls=Command)
@path_argument
@kind_option
@id_option
@administrator_option
@verify_option
@rollback_option
@requester_option
@json_option
def history(
    *,
    path: str,
    kind: str,
    resource_id: str | None,
    administrator: str,
    verify_first: bool,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """Print every grant there ever was on exactly this resource of the ledger PATH, oldest first.

    It is answered from the chain: who had access when, and who gave and who ended it.
    """
    with open_access(
        path, administrator, read_only=True, verify_first=verify_first, accept_rollback=accept_rollback
    ) as (_, control):
        periods = control.history(ResourcePredicate(kind, resource_id), context=context)
    if as_json:
        echo_json({"periods": [asdict(period) for period in periods]})
        return
    echo_blocks(map(period_members, periods))
    click.echo(counted(len(periods), "grant", "grants"))


@access.command("list", cls=Command)
@path_argument
@click.option("--principal", metavar="OID", callback=check_principal, help="The grants to this principal.")
@click.option("--kind", help="The grants on a resource of this kind, or without --id on the whole kind.")
@id_option
@administrator_option
@verify_option
@rollback_option
@requester_option
@json_option
def list_grants(
    *,
    path: str,
    principal: str | None,
    kind: str | None,
    resource_id: str | None,
    administrator: str,
    verify_first: bool,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """List the grants of the ledger PATH that count now: to one principal, or on exactly one resource."""
    find: Callable[[LedgerAccess, RequestContext], list[AclGrant]]
    match (principal, kind):
        case (str(), None) if resource_id is None:
            find = partial(_grants_of, principal)
        case (None, str()):
            find = partial(_grants_on, ResourcePredicate(kind, resource_id))
        case _:
            raise click.UsageError("name either whose grants with --principal, or on what with --kind and --id")
    with open_access(
        path, administrator, read_only=True, verify_first=verify_first, accept_rollback=accept_rollback
    ) as (_, control):
        grants = find(control, context)
    if as_json:
        echo_json({"grants": [asdict(each) for each in grants]})
        return
    echo_blocks(map(grant_members, grants))
    click.echo(counted(len(grants), "grant", "grants"))


def _grants_of(principal: str, control: LedgerAccess, context: RequestContext) -> list[AclGrant]:
    return control.grants_of(principal, context=context)


def _grants_on(resource: ResourcePredicate, control: LedgerAccess, context: RequestContext) -> list[AclGrant]:
    return control.grants_on(resource, context=context)


@access.command(cls=Command)
@path_argument
@administrator_option
@rollback_option
@requester_option
@json_option
def rebuild(*, path: str, administrator: str, accept_rollback: bool, context: RequestContext, as_json: bool) -> None:
    """Make the table of grants of the ledger PATH anew from the chain, as its administrator, and verify the ledger.

    It is for a ledger whose grants were altered (grant_mismatch), or are behind its chain. Where the service runs
    modules of its own that say of what kind resources are, it is the service that rebuilds. Ends with exit code 1 when
    anything is still wrong.
    """
    with open_access(path, administrator, read_only=False, verify_first=False, accept_rollback=accept_rollback) as (
        ledger,
        control,
    ):
        control.rebuild(context)
        with progress_bar("verifying") as progress:
            report = ledger.verify(progress=progress)
    if as_json:
        echo_json(report.to_dict())
    else:
        click.echo("the grants were made anew from the chain")
        echo_report(report)
    click.get_current_context().exit(0 if report.valid else 1)
