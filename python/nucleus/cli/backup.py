"""``nucleus backup``: a consistent copy of a ledger in use."""

import click

from nucleus.cli.failures import Command
from nucleus.cli.opening import open_for_reading
from nucleus.cli.options import json_option, path_argument, rollback_option
from nucleus.cli.output import echo_json, entries_counted, head_members, printable, progress_bar


@click.command(cls=Command)
@path_argument
@click.argument("target", type=click.Path())
@rollback_option
@json_option
def backup(path: str, target: str, accept_rollback: bool, as_json: bool) -> None:
    """Copy the ledger PATH to the new file TARGET, also while it is in use. The copy is verified."""
    # The copy is verified whole: verifying the original first would be the same work again.
    ledger = open_for_reading(path, verify_first=False, accept_rollback=accept_rollback)
    with ledger, progress_bar("copying") as progress:
        head = ledger.backup(target, progress=progress)
    if as_json:
        echo_json({"entries": 0 if head is None else head.seq + 1, "head": head_members(head)})
    else:
        where = "it is empty" if head is None else f"{entries_counted(head.seq + 1)}, head {head.hash}"
        click.echo(f"copied to {printable(target)}: {where}")
