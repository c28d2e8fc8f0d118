"""``nucleus restore``: a backup in the place of a ledger."""

import click

from nucleus.cli.failures import Command
from nucleus.cli.options import check_hash, json_option, rollback_option
from nucleus.cli.output import echo_json, entries_counted, head_members, printable, progress_bar
from nucleus.restoring import restore as restore_ledger


@click.command(cls=Command)
@click.argument("backup", type=click.Path())
@click.argument("target", type=click.Path())
@click.option("--replace", is_flag=True, help="Move a ledger that is there aside, with its log and its anchor.")
@click.option(
    "--expected-head", metavar="HASH", callback=check_hash, help="Head hash of the backup, known from elsewhere."
)
@rollback_option
@json_option
def restore(
    *, backup: str, target: str, replace: bool, expected_head: str | None, accept_rollback: bool, as_json: bool
) -> None:
    """Put a verified copy of BACKUP where the ledger TARGET is to be. Nobody may have it open.

    Copying the file by hand would leave an old log and an old anchor beside it.
    """
    with progress_bar("restoring") as progress:
        head, replaced = restore_ledger(
            backup,
            target,
            replace=replace,
            expected_head=expected_head,
            accept_rollback=accept_rollback,
            progress=progress,
        )
    entries = 0 if head is None else head.seq + 1
    if as_json:
        echo_json(
            {
                "entries": entries,
                "head": head_members(head),
                "replaced": None if replaced is None else str(replaced),
            }
        )
        return
    where = "it is empty" if head is None else f"{entries_counted(entries)}, head {head.hash}"
    click.echo(f"restored to {printable(target)}: {where}")
    if replaced is not None:
        click.echo(f"the ledger that was there is now {printable(str(replaced))}")
