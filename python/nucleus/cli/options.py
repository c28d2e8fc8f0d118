"""Arguments and options that several commands share."""

import getpass
import os
import re

import click

from nucleus.auth.context import RequestContext
from nucleus.cli.output import printable
from nucleus.errors import NucleusError
from nucleus.query import MAX_PAGE_ENTRIES

REQUESTER_VARIABLE = "NUCLEUS_OID"

_LONGEST_LOGIN = 200


def local_oid() -> str:
    """Return the OID of whoever runs the command: ``oid:local:user:<login>``.

    Characters of the login name that an OID cannot have are replaced by ``-``.
    """
    try:
        login = getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a user id that has no name.
        login = ""
    return "oid:local:user:" + (re.sub(r"[^A-Za-z0-9._+=/@-]", "-", login)[:_LONGEST_LOGIN] or str(os.getuid()))


def _context(ctx: click.Context, parameter: click.Parameter, oid: str) -> RequestContext:
    try:
        return RequestContext.local(oid)
    except NucleusError as error:
        raise click.BadParameter(printable(str(error))) from error


def check_hash(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check an argument or option that is the hash of an entry."""
    if value is not None and re.fullmatch("[0-9a-f]{64}", value) is None:
        raise click.BadParameter("a hash has 64 lower-case hexadecimal digits")
    return value


path_argument = click.argument("path", type=click.Path())

requester_option = click.option(
    "--as",
    "context",
    metavar="OID",
    default=local_oid,
    show_default="oid:local:user:LOGIN",
    envvar=REQUESTER_VARIABLE,
    show_envvar=True,
    callback=_context,
    help="In whose name records are read or written.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

verify_option = click.option(
    "--verify/--no-verify",
    "verify_first",
    default=True,
    show_default=True,
    help="Verify the whole ledger first, and refuse one that does not add up.",
)

rollback_option = click.option(
    "--accept-rollback",
    is_flag=True,
    help="Accept a ledger that is older than its anchor file says, or has none, such as a restored copy.",
)

limit_option = click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, MAX_PAGE_ENTRIES),
    default=20,
    show_default=True,
    help="Most entries to print.",
)
