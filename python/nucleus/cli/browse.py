"""``nucleus log``, ``show`` and ``query``: looking at entries."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import click

from nucleus._core import ChainEntry, QueryPage, canonicalize_json
from nucleus.auth.context import RequestContext
from nucleus.cli.failures import Command, Failure
from nucleus.cli.opening import open_for_reading
from nucleus.cli.options import (
    check_hash,
    json_option,
    limit_option,
    path_argument,
    requester_option,
    rollback_option,
    verify_option,
)
from nucleus.cli.output import (
    echo_entries,
    echo_json,
    echo_members,
    entries_counted,
    entry_members,
    instant,
    payload_text,
    printable,
    requester,
)
from nucleus.errors import InvalidRecordError
from nucleus.ledger import Ledger
from nucleus.query import QueryFilters


def _milliseconds(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Read milliseconds since the Unix epoch, or a date or time in ISO 8601, in UTC where it names no zone."""
    if value is None or re.fullmatch("[0-9]{1,16}", value):
        return None if value is None else int(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(
            f"{printable(value)} is neither milliseconds nor a time such as 2026-11-20T08:30:00Z"
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _members(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any] | None:
    """Read members of the payload, each ``NAME=JSON``."""
    members: dict[str, Any] = {}
    for member in values:
        name, separator, text = member.partition("=")
        if not separator:
            raise click.BadParameter(f"{printable(member)} is not of the form NAME=JSON")
        if name in members:
            raise click.BadParameter(f"{printable(name)} is given twice, and a member has one value")
        try:
            # Stricter than json.loads alone, which takes NaN for JSON.
            members[name] = json.loads(canonicalize_json(text))
        except InvalidRecordError as error:
            hint = printable(f"{name}={json.dumps(text)}")
            raise click.BadParameter(f"{printable(text)} is not JSON; text is in quotes: {hint}") from error
    return members or None


@click.command(cls=Command)
@path_argument
@limit_option
@click.option("--stream", help="Only entries of this stream.")
@click.option("--reverse", is_flag=True, help="Begin at the beginning of the chain.")
@verify_option
@rollback_option
@requester_option
@json_option
def log(
    *,
    path: str,
    limit: int,
    stream: str | None,
    reverse: bool,
    verify_first: bool,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """Print the newest entries of the ledger PATH, newest first."""
    filters = QueryFilters(stream=stream, limit=limit, order="asc" if reverse else "desc")
    with open_for_reading(path, verify_first=verify_first, accept_rollback=accept_rollback) as ledger:
        page = ledger.query(filters, context)
    _echo_page(page, as_json)


@click.command(cls=Command)
@path_argument
@click.option("--stream", help="Exactly this stream.")
@click.option("--id", "record_id", help="Exactly this record id.")
@click.option(
    "--since",
    callback=_milliseconds,
    metavar="TIME",
    help="Timestamp at least this: milliseconds, or a date and time (UTC).",
)
@click.option("--until", callback=_milliseconds, metavar="TIME", help="Timestamp below this.")
@click.option(
    "--field",
    "fields",
    callback=_members,
    multiple=True,
    metavar="NAME=JSON",
    help="""A top-level member of the payload has this value, e.g. n=7 or 'state="paid"'. Several must all hold.""",
)
@limit_option
@click.option("--offset", type=click.IntRange(0), default=0, help="Matching entries to pass over first.")
@click.option("--cursor", help="Go on where the page before ended.")
@click.option("--order", type=click.Choice(["asc", "desc"]), default="asc", show_default=True, help="By seq.")
@click.option("--total", is_flag=True, help="Also count all matching entries.")
@verify_option
@rollback_option
@requester_option
@json_option
def query(
    *,
    path: str,
    stream: str | None,
    record_id: str | None,
    since: int | None,
    until: int | None,
    fields: dict[str, Any] | None,
    limit: int,
    offset: int,
    cursor: str | None,
    order: Literal["asc", "desc"],
    total: bool,
    verify_first: bool,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """Print the entries of the ledger PATH that match all that is given."""
    filters = QueryFilters(
        stream=stream,
        id=record_id,
        since=since,
        until=until,
        payload=fields,
        limit=limit,
        offset=offset,
        cursor=cursor,
        order=order,
        with_total=total,
    )
    with open_for_reading(path, verify_first=verify_first, accept_rollback=accept_rollback) as ledger:
        page = ledger.query(filters, context)
    _echo_page(page, as_json)


@click.command(cls=Command)
@path_argument
@click.argument("hash", required=False, callback=check_hash)
@click.option("--id", "record_id", help="The newest entry of this record id.")
@click.option("--seq", type=click.IntRange(0), help="The entry at this place in the chain.")
@click.option("--history", is_flag=True, help="With --id: all its entries, oldest first.")
@verify_option
@rollback_option
@requester_option
@json_option
def show(
    *,
    path: str,
    hash: str | None,
    record_id: str | None,
    seq: int | None,
    history: bool,
    verify_first: bool,
    accept_rollback: bool,
    context: RequestContext,
    as_json: bool,
) -> None:
    """Print one entry of the ledger PATH in full: by its HASH, with --id or with --seq."""
    find: Callable[[Ledger, RequestContext], list[ChainEntry]]
    match (hash, record_id, seq):
        case (str(), None, None) if not history:
            find, named = partial(_with_hash, hash), f"with the hash {hash}"
        case (None, str(), None):
            find, named = partial(_with_id, record_id, history), f"with the record id {record_id}"
        case (None, None, int()) if not history:
            find, named = partial(_at, seq), f"at seq {seq}"
        case _:
            raise click.UsageError("name the entry by its HASH, with --id or with --seq; --history goes with --id")
    with open_for_reading(path, verify_first=verify_first, accept_rollback=accept_rollback) as ledger:
        found = find(ledger, context)
    if not found:
        raise Failure(f"there is no entry {named} in {path}", kind="NotFound")
    if as_json:
        members = [entry_members(entry) for entry in found]
        echo_json({"entries": members} if history else members[0])
        return
    for number, entry in enumerate(found):
        if number:
            click.echo()
        _echo_entry(entry)


def _with_hash(hash: str, ledger: Ledger, context: RequestContext) -> list[ChainEntry]:
    entry = ledger.get(hash, context)
    return [] if entry is None else [entry]


def _with_id(record_id: str, history: bool, ledger: Ledger, context: RequestContext) -> list[ChainEntry]:
    if history:
        return ledger.history(record_id, context)
    entry = ledger.get_by_id(record_id, context)
    return [] if entry is None else [entry]


def _at(seq: int, ledger: Ledger, context: RequestContext) -> list[ChainEntry]:
    # Where a seq is missing, the entry that comes next is not the one that was asked for.
    return [entry for entry in ledger.entries(context, start_seq=seq, end_seq=seq + 1) if entry.seq == seq]


def _echo_page(page: QueryPage, as_json: bool) -> None:
    if as_json:
        entries = [entry_members(entry) for entry in page.entries]
        members = {"entries": entries, "has_more": page.has_more, "next_cursor": page.next_cursor}
        echo_json(members if page.total is None else members | {"total": page.total})
        return
    echo_entries(page.entries)
    if page.total is not None:
        click.echo(f"matching: {entries_counted(page.total)}")
    if page.next_cursor is not None:
        click.echo(f"there are more: --cursor {page.next_cursor}", err=True)


def _echo_entry(entry: ChainEntry) -> None:
    record = entry.record
    meta = record.meta or {}
    members: list[tuple[str, object]] = [
        ("seq", entry.seq),
        ("hash", entry.hash),
        ("prev_hash", entry.prev_hash or "-"),
        ("payload_hash", entry.payload_hash),
        ("salt", entry.salt.hex() if entry.salt else "-"),
        ("stream", record.stream),
        ("id", record.id),
        ("timestamp", f"{record.timestamp} ({instant(record.timestamp)})"),
        ("requester", requester(entry)),
        ("meta", json.dumps(meta, ensure_ascii=False) if meta else "-"),
    ]
    echo_members(members)
    click.echo("payload")
    for line in payload_text(entry, indent=2).splitlines():
        click.echo(f"  {printable(line)}")
