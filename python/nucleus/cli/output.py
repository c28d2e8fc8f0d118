"""What commands print: text for people, JSON for programs, progress bars on a terminal."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from nucleus._core import ChainEntry
from nucleus.ledger import Progress

_MOST_PAYLOAD_CHARACTERS = 200
_WIDTH_WITHOUT_TERMINAL = 4096


def printable(text: str) -> str:
    """Return text in one line, without anything that a terminal would obey or hide.

    Records come from anywhere: control characters could move the cursor or set the title, others could turn the
    direction of the text or be invisible.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def echo_json(value: object) -> None:
    """Print one JSON document in one line of ASCII."""
    click.echo(json.dumps(value))


def entry_members(entry: ChainEntry) -> dict[str, Any]:
    """Return an entry with the members it has in an export."""
    return dict(json.loads(entry.to_json()))


def head_members(head: tuple[int, str] | None) -> dict[str, Any] | None:
    """Return a head as a JSON object."""
    return None if head is None else {"seq": head[0], "hash": head[1]}


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
    """Print one line for each entry, as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("seq", justify="right", no_wrap=True)
    for name in ("time", "stream", "id", "requester"):
        table.add_column(name, no_wrap=name == "time", overflow="fold")
    table.add_column("payload", no_wrap=True, overflow="ellipsis")
    for entry in entries:
        record = entry.record
        payload = payload_text(entry)
        if len(payload) > _MOST_PAYLOAD_CHARACTERS:
            payload = payload[:_MOST_PAYLOAD_CHARACTERS] + "…"
        cells = (str(entry.seq), instant(record.timestamp), record.stream, record.id, requester(entry), payload)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    # A pipe has no width: there every entry is one line.
    width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
    Console(width=width, highlight=False).print(table)


def echo_members(members: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line."""
    pairs = [(name, printable(str(value))) for name, value in members]
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
