"""What a tampered ledger must answer, whichever way it is opened."""

from collections.abc import Set
from pathlib import Path

import pytest
from tests.storage.ledgers import LEDGER_ID, Fault, anchor_of, faults, open_ledger

from nucleus import IntegrityError


def refused(path: Path, *, read_only: bool = False, expected_head: str | None = None) -> set[Fault]:
    """Open a ledger that must be refused; return the faults that the exception carries."""
    with pytest.raises(IntegrityError) as caught:
        open_ledger(path, read_only=read_only, expected_head=expected_head).close()
    report = caught.value.report
    assert report is not None
    assert not report.valid
    assert sum(report.counts.values()) >= len(report.errors) > 0
    return faults(report)


def reported(path: Path, *, deep: bool = False, id: str | None = LEDGER_ID) -> set[Fault]:
    """Open a ledger without verification, as an auditor does, and return what verification then reports."""
    # Without its anchor the chain speaks for itself.
    anchor_of(path).unlink(missing_ok=True)
    with open_ledger(path, id=id, read_only=True, verify_on_open=False, accept_rollback=True) as ledger:
        report = ledger.verify(deep=deep)
    assert report.valid == (not report.errors)
    return faults(report)


def assert_found(path: Path, expected: Set[Fault], *, elsewhere: Set[Fault] = frozenset()) -> None:
    """Check that a tampered ledger is refused at open, and that both ways of looking find what is wrong and where.

    ``elsewhere`` are consequences that may be reported besides; anything else would accuse an innocent row.
    """
    for found in (refused(path), refused(path, read_only=True)):
        chain_faults = {(kind, seq) for kind, seq in found if kind != "head_mismatch"}
        assert expected <= chain_faults <= expected | elsewhere
    found = reported(path)
    assert expected <= found <= expected | elsewhere
