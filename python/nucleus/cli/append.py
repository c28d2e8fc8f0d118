"""``nucleus append``: records in, one JSON object a line."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import click

from nucleus._core import MAX_RECORD_BYTES, Record
from nucleus.auth.context import RequestContext
from nucleus.cli.failures import Command, Failure
from nucleus.cli.opening import open_for_writing
from nucleus.cli.options import json_option, path_argument, requester_option, rollback_option
from nucleus.cli.output import counted, echo_json, head_members, printable, progress_bar
from nucleus.errors import InvalidRecordError, NucleusError
from nucleus.figures import Head
from nucleus.json_lines import BATCH_ENTRIES, NumberedLine, batches, max_line_bytes, numbered_lines
from nucleus.ledger import Ledger

_LONGEST_LINE_BYTES = max_line_bytes(MAX_RECORD_BYTES)

Batch = tuple[list[NumberedLine], list[Record]]
BadLine = tuple[int, str]


class _BadLinesError(Exception):
    """Lines of one batch that are not records that can be appended."""

    def __init__(self, batch: list[NumberedLine], bad: list[BadLine]) -> None:
        super().__init__(batch, bad)
        self.first, self.last = batch[0][0], batch[-1][0]
        self.bad = bad


@click.command(cls=Command)
@path_argument
@click.argument("file", type=click.Path(allow_dash=True), default="-")
@click.option("--id", "ledger_id", metavar="ID", help="Id of the ledger; needed to create a new one.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1_000_000),
    default=BATCH_ENTRIES,
    show_default=True,
    help="Most records in one atomic batch; long ones make smaller batches.",
)
@rollback_option
@requester_option
@json_option
def append(
    *,
    path: str,
    file: str,
    ledger_id: str | None,
    batch_size: int,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """Append records to the ledger PATH.

    FILE, or standard input, has one JSON object a line: {"id": ..., "stream": ..., "payload": {...}}, and "timestamp"
    and "meta" where they are known. A line that is not a record is reported with its number, and nothing of its batch
    is kept; batches before it are in the ledger.
    """
    if ledger_id is None and not os.path.lexists(path):
        raise click.UsageError(f"{printable(path)} does not exist; give the new ledger an id with --id to create it")
    appended = 0
    try:
        with _open_input(file) as lines:
            parsed = _parse(batches(numbered_lines(lines, _LONGEST_LINE_BYTES), batch_size))
            # Before the ledger is opened: a bad first batch creates none.
            first = next(parsed, None)
            with open_for_writing(path, ledger_id, accept_rollback=accept_rollback) as ledger:
                for count in _append_all(ledger, chain([first] if first else [], parsed), context, file):
                    appended += count
                head = ledger.head()
    except _BadLinesError as error:
        raise _bad_lines(error, appended) from error
    except NucleusError as error:
        suffix = f"; records appended before: {appended:,}" if appended else ""
        raise Failure.of(error, suffix=suffix, appended=appended) from error
    # Told once the ledger is closed: what prevents that is the one answer then.
    _report(ledger.id, head, appended, as_json)


def _open_input(file: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb")


def _parse(lines: Iterable[list[NumberedLine]]) -> Iterator[Batch]:
    for batch in lines:
        records: list[Record] = []
        bad: list[BadLine] = []
        for number, text in batch:
            try:
                records.append(Record.from_json(text))
            except InvalidRecordError as error:
                bad.append((number, str(error)))
        if bad:
            raise _BadLinesError(batch, bad)
        yield batch, records


def _append_all(ledger: Ledger, parsed: Iterable[Batch], context: RequestContext, file: str) -> Iterator[int]:
    """Append batch by batch; yield the number of records of each once it is durable."""
    done_bytes, total_bytes = 0, 0 if file == "-" else Path(file).stat().st_size
    with progress_bar("appending") as progress:
        for lines, records in parsed:
            try:
                ledger.append_batch(records, context)
            except InvalidRecordError as error:
                raise _in_line(error, lines) from error
            yield len(records)
            done_bytes += sum(len(text) + 1 for _, text in lines)
            progress(done_bytes, total_bytes)


def _in_line(error: InvalidRecordError, batch: list[NumberedLine]) -> Exception:
    """Say which line an error is about: it names the record by its place in the batch, or the batch has only one."""
    place = re.match(r"\$\[(\d+)\]", error.path or "")
    if place is None and len(batch) > 1:
        return error
    number, _ = batch[0 if place is None else int(place[1])]
    return _BadLinesError(batch, [(number, str(error))])


def _bad_lines(error: _BadLinesError, appended: int) -> Failure:
    return Failure(
        f"{len(error.bad):,} of the lines {error.first} to {error.last} cannot be appended, so none of these was; "
        f"records appended before: {appended:,}",
        kind="InvalidRecordError",
        details={"appended": appended, "lines": [{"line": number, "message": reason} for number, reason in error.bad]},
        lines=tuple(f"line {number}: {reason}" for number, reason in error.bad),
    )


def _report(ledger_id: str, head: Head | None, appended: int, as_json: bool) -> None:
    if as_json:
        echo_json({"appended": appended, "head": head_members(head), "id": ledger_id})
    else:
        where = "the ledger is empty" if head is None else f"head {head.hash} at seq {head.seq:,}"
        click.echo(f"appended {counted(appended, 'record', 'records')} to {printable(ledger_id)}; {where}")
