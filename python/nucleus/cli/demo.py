"""``nucleus demo``: the main job on real input, and what tampering leads to."""

import re
import shutil
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from nucleus._core import Record, VerificationReport, canonicalize
from nucleus.auth.context import RequestContext
from nucleus.cli.distributions import take_inventory
from nucleus.cli.failures import Command, Failure
from nucleus.cli.opening import open_for_reading
from nucleus.cli.options import json_option, requester_option
from nucleus.cli.output import echo_json, printable, progress_bar
from nucleus.cli.verify import echo_fault
from nucleus.errors import ConfigError, IntegrityError
from nucleus.json_lines import BATCH_ENTRIES
from nucleus.opening import create_ledger
from nucleus.storage import ANCHOR_SUFFIX, sqlite_storage

_LEDGER_ID = "nucleus-demo"


@dataclass(frozen=True, slots=True)
class Change:
    """One byte that was changed in a ledger file."""

    seq: int
    record_id: str
    offset: int
    before: str
    after: str


@click.command(cls=Command)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the ledgers in this directory; by default they are removed.",
)
@requester_option
@json_option
def demo(keep: Path | None, context: RequestContext, as_json: bool) -> None:
    """Record every file that this Python environment has installed, verify, tamper, and find it."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    with nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="nucleus-demo-") as directory:
        result = _run(Path(directory), context, quiet=as_json)
    if as_json:
        echo_json(result)
    elif keep is not None:
        click.echo(f"\nThe ledgers are kept. See for yourself: nucleus verify {keep / 'tampered.db'}")


def _run(directory: Path, context: RequestContext, *, quiet: bool) -> dict[str, Any]:
    """Tell the story in three parts; return its figures."""
    path, copy = directory / "ledger.db", directory / "tampered.db"
    for file in (path, copy):
        if file.exists():
            raise ConfigError(f"{file} exists and the demonstration overwrites nothing; choose another directory")

    def say(line: str) -> None:
        if not quiet:
            click.echo(line)

    say("1. Recording every file that this Python environment has installed")
    inventory = take_inventory()
    records = inventory.records
    append_s = _record_all(path, records, context)
    say(f"   {len(records):,} files of {inventory.sources:,} distributions, in batches of {BATCH_ENTRIES:,}")
    if inventory.unreadable:
        say(f"   {inventory.unreadable:,} distributions do not say what they installed")
    say(f"   appended in {append_s:.3f} s, {len(records) / append_s:,.0f} records a second, every batch durable")

    say("2. Opening the ledger again: every hash and link is computed anew")
    head, verify_s = _verify_again(path)
    say(f"   valid after {verify_s:.3f} s, {len(records) / verify_s:,.0f} entries a second; head {head['hash']}")

    say("3. Changing one byte of a copy")
    change = _tamper(path, copy, records)
    say(f"   byte {change.offset:,}: {change.before!r} is now {change.after!r}, in {printable(change.record_id)}")
    report = _open_tampered(copy, change)
    say("   the copy is refused when it is opened:")
    for error in report.errors:
        if not quiet:
            echo_fault(error, "     ")
    return {
        "records": len(records),
        "distributions": inventory.sources,
        "append_seconds": append_s,
        "verify_seconds": verify_s,
        "head": head,
        "change": asdict(change),
        "report": report.to_dict(),
    }


def _record_all(path: Path, records: list[Record], context: RequestContext) -> float:
    """Append all records; return how long the appending took, in seconds."""
    with create_ledger(_LEDGER_ID, storage=sqlite_storage(path)) as ledger, progress_bar("appending") as progress:
        started = time.perf_counter()
        for start in range(0, len(records), BATCH_ENTRIES):
            appended = ledger.append_batch(records[start : start + BATCH_ENTRIES], context)
            progress(start + len(appended), len(records))
        return time.perf_counter() - started


def _verify_again(path: Path) -> tuple[dict[str, Any], float]:
    """Open the ledger, which verifies it; return its head and how long that took, in seconds."""
    started = time.perf_counter()
    with open_for_reading(str(path), verify_first=True, accept_rollback=False) as ledger:
        elapsed_s = time.perf_counter() - started
        seq, digest = ledger.head() or (-1, "")
    return {"seq": seq, "hash": digest}, elapsed_s


def _tamper(path: Path, copy: Path, records: list[Record]) -> Change:
    """Copy a closed ledger and change one letter of a path in one payload of the copy, as with a hex editor."""
    content = bytearray(path.read_bytes())
    middle = len(records) // 2
    for seq in (*range(middle, len(records)), *range(middle)):
        payload = canonicalize(records[seq].payload)
        letter = re.search(rb'"path":"[^"\\]*?([A-Za-z])', payload)
        # Where the same bytes stand twice, the place in the chain would be a guess.
        if letter is None or content.count(payload) != 1:
            continue
        offset = content.index(payload) + letter.start(1)
        before = chr(content[offset])
        after = "X" if before != "X" else "Y"
        content[offset] = ord(after)
        copy.write_bytes(content)
        shutil.copyfile(_anchor_of(path), _anchor_of(copy))
        return Change(seq, records[seq].id, offset, before, after)
    raise Failure(f"no record of {path} can be told from all others by its payload")


def _anchor_of(path: Path) -> Path:
    return path.with_name(path.name + ANCHOR_SUFFIX)


def _open_tampered(copy: Path, change: Change) -> VerificationReport:
    """Open the changed copy, which must be refused for what was changed; return the report."""
    try:
        open_for_reading(str(copy), verify_first=True, accept_rollback=False).close()
    except IntegrityError as error:
        if error.report is not None and change.seq in [fault.seq for fault in error.report.errors]:
            return error.report
        raise
    raise Failure(f"the change at byte {change.offset:,} of {copy} was not found")
