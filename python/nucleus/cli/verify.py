"""``nucleus verify``: does the ledger add up, and where not."""

import click

from nucleus._core import VerificationError, VerificationReport
from nucleus.cli.failures import Command
from nucleus.cli.opening import open_for_reading
from nucleus.cli.options import check_hash, json_option, path_argument
from nucleus.cli.output import echo_json, entries_counted, printable, progress_bar
from nucleus.errors import IntegrityError

NOT_VALID = 1
END_UNPROVEN = 4

_ENDS = {
    "anchor": "its end agrees with the anchor file",
    "expected_length": "its length is the expected one",
    "expected_head": "its head is the expected one",
}


@click.command(cls=Command)
@path_argument
@click.option("--expected-head", metavar="HASH", callback=check_hash, help="Head hash known from elsewhere.")
@click.option("--expected-length", type=click.IntRange(0), help="Number of entries known from elsewhere.")
@click.option("--deep", is_flag=True, help="Also run the database's own integrity check.")
@json_option
def verify(path: str, expected_head: str | None, expected_length: int | None, deep: bool, as_json: bool) -> None:
    """Recompute every hash and link of the ledger PATH, which is opened read-only.

    Says what is wrong and where, and ends with exit code 1 when anything is. Ends with exit code 4 where every entry is
    intact and nothing shows where the ledger ends: its anchor file is missing, and no head is named.
    """
    try:
        # Where the chain disagrees with its anchor, the report says so, among what else is wrong.
        ledger = open_for_reading(path, verify_first=False, accept_rollback=True)
        with ledger, progress_bar("verifying") as progress:
            report = ledger.verify(
                deep=deep, expected_head=expected_head, expected_length=expected_length, progress=progress
            )
    except IntegrityError as error:
        if error.report is None:
            raise
        report = error.report
    if as_json:
        echo_json(report.to_dict())
    else:
        echo_report(report)
    click.get_current_context().exit(_exit_code(report))


def _exit_code(report: VerificationReport) -> int:
    if not report.valid:
        return NOT_VALID
    return END_UNPROVEN if report.end_checked_by is None else 0


def echo_report(report: VerificationReport) -> None:
    """Print a report for people."""
    checked = entries_counted(report.entries_checked)
    if report.valid:
        head = f"{checked}, head {report.head_hash or '-'}"
        if report.end_checked_by is None:
            click.echo(f"every entry is intact; nothing shows where the ledger ends: {head}")
            click.echo("put its anchor file back beside it, or name the end with --expected-head or --expected-length")
        else:
            click.echo(f"valid: {head}; {_ENDS[report.end_checked_by]}")
    else:
        faults = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.items())
        click.echo(f"NOT VALID: {faults}, in {checked}")
        for error in report.errors:
            echo_fault(error)
        more = sum(report.counts.values()) - len(report.errors)
        if more:
            click.echo(f"and {more:,} more")
    if report.timestamp_regressions:
        earlier = entries_counted(report.timestamp_regressions)
        click.echo(f"for information: {earlier} with a timestamp before that of the entry ahead")


def echo_fault(error: VerificationError, indent: str = "") -> None:
    """Print one fault: what, where, and what should be there."""
    place = "" if error.seq is None else f" at seq {error.seq:,}"
    record = "" if error.record_id is None else f", record {printable(error.record_id)}"
    click.echo(f"{indent}{error.kind}{place}{record}")
    for label, value in (("expected", error.expected), ("found", error.actual)):
        if value is not None:
            click.echo(f"{indent}    {label:<8}  {printable(value)}")
