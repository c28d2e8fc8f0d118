"""``nucleus export`` and ``nucleus import``: a whole ledger as JSON Lines, and back."""

import json
import sys

import click

from nucleus.auth.context import RequestContext
from nucleus.cli.failures import Command
from nucleus.cli.opening import open_for_reading
from nucleus.cli.options import json_option, path_argument, requester_option, rollback_option, verify_option
from nucleus.cli.output import echo_json, entries_counted, printable, progress_bar
from nucleus.exporting import BinaryWriter
from nucleus.importing import import_ledger


class _Terminal:
    """Standard output as a place where a terminal looks at the lines."""

    def write(self, data: bytes, /) -> object:
        """Write lines of JSON with a JSON escape for whatever a terminal would obey or hide."""
        shown = (c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in data.decode())
        # JSON has no need to escape DEL, a terminal has.
        sys.stdout.write("".join(shown).replace("\x7f", "\\u007f"))
        return len(data)


@click.command("export", cls=Command)
@path_argument
@click.option(
    "-o", "--output", "target", type=click.Path(allow_dash=True), default="-", help="A new file, not standard output."
)
@verify_option
@rollback_option
@requester_option
@json_option
def export_command(
    *, path: str, target: str, verify_first: bool, accept_rollback: bool, context: RequestContext, as_json: bool
) -> None:
    """Write the ledger PATH as JSON Lines to standard output, or to a new file.

    The first line is a header, every other line an entry with its hashes and salt, all canonical JSON.
    """
    ledger = open_for_reading(path, verify_first=verify_first, accept_rollback=accept_rollback)
    with ledger, progress_bar("exporting") as progress:
        written = ledger.export(_standard_output() if target == "-" else target, context, progress=progress)
    if target == "-":
        # Here, so that a reader that has gone is noticed while it can still be handled.
        sys.stdout.flush()
    elif as_json:
        echo_json({"entries": written})
    else:
        click.echo(f"exported {entries_counted(written)} to {printable(target)}")


def _standard_output() -> BinaryWriter:
    return _Terminal() if sys.stdout.isatty() else sys.stdout.buffer


@click.command("import", cls=Command)
@click.argument("source", type=click.Path(allow_dash=True))
@path_argument
@requester_option
@json_option
def import_command(source: str, path: str, context: RequestContext, as_json: bool) -> None:
    """Make the new ledger file PATH from the export SOURCE, or from standard input (-).

    Every entry is verified before the file gets its name; when anything is wrong, nothing is left of it.
    """
    with progress_bar("importing") as progress:
        header = import_ledger(sys.stdin.buffer if source == "-" else source, path, context, progress=progress)
    if as_json:
        echo_json({"entries": header.entries, "head": header.head, "id": header.ledger_id})
    else:
        click.echo(
            f"imported {entries_counted(header.entries)} of {printable(header.ledger_id)} into {printable(path)}; "
            f"head {header.head or '-'}"
        )
