"""Options of the commands on access: who, what, which resource, when."""

import re
from datetime import datetime

import click

from nucleus._core import check_oid
from nucleus.cli.output import printable
from nucleus.errors import NucleusError

ADMINISTRATOR_VARIABLE = "NUCLEUS_ADMINISTRATOR"

_WHOLE_NUMBER = "[0-9]{1,18}"


def check_principal(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check an option that is an OID."""
    if value is not None:
        try:
            check_oid(value)
        except NucleusError as error:
            raise click.BadParameter(printable(str(error))) from error
    return value


def _zoned(text: str, number: str) -> datetime:
    """Read a time with its zone: in whose midnight a grant ends must not depend on the machine."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{printable(text)} is neither {number} nor a time such as 2026-11-20T08:30:00Z"
        ) from error
    if moment.tzinfo is None:
        raise click.BadParameter(f"{printable(text)} names no time zone; write e.g. 2026-11-20T08:30:00Z for UTC")
    return moment


def _until(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None or re.fullmatch(_WHOLE_NUMBER, value):
        return None if value is None else int(value)
    # Down to the second: access never lasts longer than was said.
    return int(_zoned(value, "seconds since the Unix epoch").timestamp() // 1)


def _at(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | datetime | None:
    if value is None or re.fullmatch(_WHOLE_NUMBER, value):
        return None if value is None else int(value)
    return _zoned(value, "a seq")


kind_option = click.option(
    "--kind", required=True, help="Kind of the resource: that of its stream's module, else the stream's own name."
)

id_option = click.option("--id", "resource_id", help="Id of the resource, its record id; left out: the whole kind.")

principal_option = click.option(
    "--principal", required=True, metavar="OID", callback=check_principal, help="Whose access it is about."
)

scope_option = click.option(
    "--scope",
    required=True,
    type=click.Choice(["read", "write", "full"]),
    help="What they may do; full implies both others, which imply only themselves.",
)

until_option = click.option(
    "--until",
    metavar="TIME",
    callback=_until,
    help="When the grant ends: seconds since the Unix epoch, or a time with its zone; left out: never.",
)

at_option = click.option(
    "--at",
    metavar="SEQ|TIME",
    callback=_at,
    help="As of then: after the entry with this seq, or at a time with its zone such as 2026-11-20T08:30:00Z.",
)

administrator_option = click.option(
    "--administrator",
    required=True,
    metavar="OID",
    envvar=ADMINISTRATOR_VARIABLE,
    show_envvar=True,
    callback=check_principal,
    help="The ledger's administrator, as the service that keeps it says; the file does not.",
)
