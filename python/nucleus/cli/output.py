"""What commands print: text for people, JSON for programs, progress bars on a terminal."""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from nucleus._core import ChainEntry
from nucleus.backend import Progress
from nucleus.figures import Head

_MOST_PAYLOAD_CHARACTERS = 500
_WIDEST_COLUMN = 36
_NARROWEST_PAYLOAD = 20


def printable(text: str) -> str:
    """Return text in one line, without anything that a terminal would obey or hide.

    Records come from anywhere: control characters could move the cursor or set the title, others could turn the
    direction of the text or be invisible.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def counted(number: int, one: str, many: str) -> str:
    """Return a number and what it counts: ``1 entry``, ``2,000 entries``."""
    return f"{number:,} {one if number == 1 else many}"


def entries_counted(number: int) -> str:
    """Return a number of entries in words."""
    return counted(number, "entry", "entries")


def echo_json(value: object) -> None:
    """Print one JSON document in one line of ASCII."""
    click.echo(json.dumps(value))


def entry_members(entry: ChainEntry) -> dict[str, Any]:
    """Return an entry with the members it has in an export."""
    return dict(json.loads(entry.to_json()))


def head_members(head: Head | None) -> dict[str, Any] | None:
    """Return a head as a JSON object."""
    return None if head is None else {"seq": head.seq, "hash": head.hash}


def instant(timestamp: int | None) -> str:
    """Return a timestamp in milliseconds as a date and time in UTC."""
    if timestamp is None:
        return "-"
    try:
        return datetime.fromtimestamp(timestamp / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    except (ValueError, OverflowError, OSError):
        # Timestamps reach beyond the year 9999.
        return f"{timestamp} ms"


def requester(entry: ChainEntry) -> str:
    """Return who appended an entry."""
    return str((entry.record.meta or {}).get("requester_oid", "-"))


def payload_text(entry: ChainEntry, *, indent: int | None = None) -> str:
    """Return an entry's payload as JSON text, not yet fit for a terminal."""
    if entry.redacted:
        return "(redacted)"
    return json.dumps(entry.record.payload, ensure_ascii=False, indent=indent)


def echo_entries(entries: Iterable[ChainEntry]) -> None:
    """Print one line for each entry, in columns; on a terminal the payload is cut at its edge."""
    from rich.cells import cell_len, set_cell_size

    rows = [("seq", "time", "stream", "id", "requester", "payload"), *map(_row, entries)]
    # A long cell moves the rest of its own line only.
    widths = [min(_WIDEST_COLUMN, max(map(cell_len, column))) for column in zip(*rows, strict=True)][:-1]
    for *cells, payload in rows:
        padded = [set_cell_size(cell, max(width, cell_len(cell))) for cell, width in zip(cells, widths, strict=True)]
        line = "  ".join(padded)
        click.echo(f"{line}  {_cut(payload, _terminal_columns() - cell_len(line) - 2)}")


def _row(entry: ChainEntry) -> tuple[str, ...]:
    record = entry.record
    cells = (str(entry.seq), instant(record.timestamp), record.stream, record.id, requester(entry))
    return (*map(printable, cells), printable(payload_text(entry)[:_MOST_PAYLOAD_CHARACTERS]))


def _terminal_columns() -> int:
    """Return the width of the terminal; a pipe has none and takes any."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def _cut(text: str, columns: int) -> str:
    from rich.cells import cell_len, set_cell_size

    fitting = max(columns, _NARROWEST_PAYLOAD)
    return text if cell_len(text) <= fitting else set_cell_size(text, fitting - 1) + "…"


def echo_members(members: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line."""
    pairs = [(printable(name), printable(str(value))) for name, value in members]
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        click.echo(f"{name:<{width}}  {value}")


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show how far long work has come while the block runs, when standard error is a terminal.

    Yields:
        ``progress(done, total)``; a total of 0 means that it is not known.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
