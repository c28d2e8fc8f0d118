"""``nucleus redact``: erase one payload, on the record."""

import click

from nucleus.auth.context import RequestContext
from nucleus.cli.failures import Command
from nucleus.cli.opening import open_for_writing
from nucleus.cli.options import check_hash, json_option, path_argument, requester_option, rollback_option
from nucleus.cli.output import echo_json, entry_members


@click.command(cls=Command)
@path_argument
@click.argument("hash", callback=check_hash)
@click.option("--reason", required=True, help="Why; it stays on the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@rollback_option
@requester_option
@json_option
def redact(
    *, path: str, hash: str, reason: str, yes: bool, accept_rollback: bool, context: RequestContext, as_json: bool
) -> None:
    """Erase the payload of the entry HASH of the ledger PATH for good. The chain stays valid."""
    if not yes:
        click.confirm("The payload cannot be brought back. Erase it?", abort=True, err=True)
    with open_for_writing(path, accept_rollback=accept_rollback) as ledger:
        entry = ledger.redact(hash, reason, context)
    if as_json:
        echo_json(entry_members(entry))
    else:
        click.echo(f"erased; recorded at seq {entry.seq:,} with hash {entry.hash}")
