"""The command ``nucleus``: one module for each command or small family of commands.

Results go to standard output, for people or with ``--json`` for programs; errors and progress go to standard error.
The exit code is 0 when all is fine, 1 when something is not valid or was refused, 2 when the command line is wrong, 4
when every entry of a verified ledger is intact and nothing shows where it ends.
"""

import io
import sys

import click

from nucleus import __version__
from nucleus.cli.access import access, grant, revoke
from nucleus.cli.append import append
from nucleus.cli.backup import backup
from nucleus.cli.browse import log, query, show
from nucleus.cli.demo import demo
from nucleus.cli.key import key
from nucleus.cli.redact import redact
from nucleus.cli.restore import restore
from nucleus.cli.stats import stats
from nucleus.cli.transfer import export_command, import_command
from nucleus.cli.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nucleus")
def main() -> None:
    """Tamper-evident, append-only ledgers in a file."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal's encoding lacks must not end a command half-way.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


for command in (
    demo,
    append,
    log,
    show,
    query,
    verify,
    stats,
    export_command,
    import_command,
    backup,
    restore,
    redact,
    grant,
    revoke,
    access,
    key,
):
    main.add_command(command)
