"""Database and anchor put back together: a chain that was shorter is a chain, unless its end is kept elsewhere."""

from pathlib import Path

import pytest
from tests.storage import samples
from tests.storage.expectations import refused
from tests.storage.ledgers import ALICE, anchor_of, note, open_ledger

from nucleus import IntegrityError


def test_older_copy_of_both(sample: Path) -> None:
    older = {path: path.read_bytes() for path in (sample, anchor_of(sample))}
    with open_ledger(sample) as ledger:
        head = ledger.append(note(100), context=ALICE).hash
    for path, content in older.items():
        path.write_bytes(content)

    with open_ledger(sample, read_only=True) as ledger:
        report = ledger.verify()
    assert report.valid
    assert report.end_checked_by == "anchor"
    assert {kind for kind, _ in refused(sample, expected_head=head)} == {"head_mismatch"}
    with pytest.raises(IntegrityError, match="head_mismatch"):
        open_ledger(sample, expected_length=samples.LENGTH + 1)
