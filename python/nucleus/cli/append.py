"""``nucleus append``: records in, one JSON object a line."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO

import click

from nucleus._core import Record
from nucleus.auth.context import RequestContext
from nucleus.cli.failures import Command, Failure
from nucleus.cli.opening import open_for_writing
from nucleus.cli.options import json_option, path_argument, requester_option
from nucleus.cli.output import echo_json, head_members, progress_bar
from nucleus.errors import InvalidRecordError, NucleusError
from nucleus.json_lines import NumberedLine, batches, max_line_bytes, numbered_lines
from nucleus.ledger import Ledger

_MOST_LINES_SHOWN = 20
_LONGEST_LINE_BYTES = max_line_bytes(16_777_216)

Batch = tuple[list[NumberedLine], list[Record]]


@click.command(cls=Command)
@path_argument
@click.argument("file", type=click.Path(allow_dash=True), default="-")
@click.option("--id", "ledger_id", metavar="ID", help="Id of the ledger; needed to create a new one.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1_000_000),
    default=1_000,
    show_default=True,
    help="Most records in one atomic batch; long ones make smaller batches.",
)
@requester_option
@json_option
def append(
    path: str, file: str, ledger_id: str | None, batch_size: int, context: RequestContext, as_json: bool
) -> None:
    """Append records to the ledger PATH.

    FILE, or standard input, has one JSON object a line: {"id": ..., "stream": ..., "payload": {...}}, and "timestamp"
    and "meta" where they are known. A line that is not a record is reported with its number, and nothing of its batch
    is kept; batches before it are in the ledger.
    """
    if ledger_id is None and not os.path.lexists(path):
        raise click.UsageError(f"{path} does not exist; give the new ledger an id with --id to create it")
    with _open_input(file) as lines, progress_bar("appending") as progress:
        parsed = _parse(batches(numbered_lines(lines, _LONGEST_LINE_BYTES), batch_size))
        # Before the ledger is opened: a bad first batch creates none.
        first = next(parsed, None)
