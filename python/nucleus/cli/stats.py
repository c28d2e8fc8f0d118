"""``nucleus stats``: figures about a ledger."""

from dataclasses import asdict

import click

from nucleus.cli.failures import Command
from nucleus.cli.opening import open_for_reading
from nucleus.cli.options import json_option, path_argument, rollback_option, verify_option
from nucleus.cli.output import echo_json, echo_members, entries_counted, head_members, instant


@click.command(cls=Command)
@path_argument
@verify_option
@rollback_option
@json_option
def stats(path: str, verify_first: bool, accept_rollback: bool, as_json: bool) -> None:
    """Print figures about the ledger PATH."""
    with open_for_reading(path, verify_first=verify_first, accept_rollback=accept_rollback) as ledger:
        figures = ledger.stats()
        ledger_id = ledger.id
    head = figures.head
    if as_json:
        echo_json(asdict(figures) | {"id": ledger_id, "head": head_members(head)})
        return
    echo_members(
        [
            ("id", ledger_id),
            ("created", instant(figures.created_at)),
            ("entries", f"{figures.entries:,}"),
            ("redacted", f"{figures.redacted:,}"),
            ("head", "-" if head is None else f"{head.hash} at seq {head.seq:,}"),
            ("timestamps", f"{instant(figures.first_timestamp)} to {instant(figures.last_timestamp)}"),
            ("database", f"{figures.database_bytes:,} bytes"),
            ("write-ahead log", f"{figures.wal_bytes:,} bytes"),
            *((f"stream {name}", entries_counted(count)) for name, count in figures.streams.items()),
        ]
    )
