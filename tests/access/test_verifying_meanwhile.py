"""Others go on while a ledger with grants is verified: no single reading of it lasts until its end."""

from pathlib import Path

from tests.access.conftest import ADMIN, ALICE, open_ledger

_ENTRIES = 20_000
"""More than one stretch of the chain, and few enough for one thread."""


def test_a_redaction_is_finished_while_the_grants_are_verified(database: Path) -> None:
    with open_ledger(database) as ledger:
        records = [{"id": f"note-{number}", "stream": "notes", "payload": {"n": number}} for number in range(_ENTRIES)]
        entries = ledger.append_batch(records, context=ALICE)
        redacted: list[str] = []
        unfinished: list[int] = []

        def redact_one(done: int, total: int) -> None:
            # What has been read is redacted: the verification itself has nothing to look at again.
            if 0 < done <= total:
                entry = entries[len(redacted)]
                redacted.append(ledger.redact(entry.hash, reason="asked", context=ADMIN).hash)
                if ledger.stats().scrub_pending:
                    unfinished.append(done)

        report = ledger.verify(progress=redact_one)
        assert report.valid, report
        assert len(redacted) >= 2
        assert unfinished == []
        assert ledger.verify().valid
