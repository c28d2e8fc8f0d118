"""What workers do to a ledger that they have open, each operation with the checks that hold for anybody at any time."""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.soak.digest import EntriesDigest
from tests.soak.journal import BEGUN, DONE, Journal
from tests.soak.openings import ADMINISTRATOR, ALICE, BOB, open_soaked

from nucleus import ChainEntry, DatabaseError, Ledger, Record, VerificationReport, import_ledger
from nucleus.access import AclGrant, ResourcePredicate

STREAM = "notes"
REMEMBERED = 2_000
# A ledger that grew at one pace for a long time would leave time for nothing but verifying it.
SLOWER_FROM_ENTRIES = 200_000

Remembered = deque[tuple[int, str, str]]
"""Acknowledged entries to look for again: (seq, hash, record id)."""


class AlarmError(Exception):
    """A sound ledger was called unsound, or something is not as it was acknowledged.

    Attributes:
        kind: under which name it is counted.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Session:
    """A ledger as one thread of a worker has it open, and what the thread knows.

    Attributes:
        scratch: an empty directory; what is left in it when the worker is killed is removed.
        entries_per_s: the pace of the operations that make the ledger long.
        backup_limit_s: how long a backup may take.
        remembered: what this thread was told, also in earlier sessions.
    """

    ledger: Ledger
    path: Path
    access: bool
    scratch: Path
    journal: Journal
    chance: random.Random
    entries_per_s: float
    backup_limit_s: float
    remembered: Remembered


Operation = Callable[[Session, str], None]
"""Called with a session and the name of the attempt; raises an alarm, or what the ledger raises."""


def _record(attempt: str, number: int) -> Record:
    return Record(id=f"{attempt}/{number}", stream=STREAM, payload={"number": number, "text": "x" * (number % 90)})


def _acknowledge(session: Session, attempt: str, entries: list[ChainEntry]) -> None:
    seqs = [entry.seq for entry in entries]
    if seqs != list(range(seqs[0], seqs[0] + len(seqs))):
        raise AlarmError("entries of one batch apart", f"{seqs[0]} to {seqs[-1]} for {len(seqs)} entries")
    digest = EntriesDigest()
    for entry in entries:
        digest.add(entry)
    session.journal.write(attempt, DONE, first_seq=seqs[0], count=len(seqs), digest=digest.value())
    session.remembered.extend((entry.seq, entry.hash, entry.record.id) for entry in (entries[0], entries[-1]))


def append(session: Session, attempt: str) -> None:
    """Append one entry."""
    _acknowledge(session, attempt, [session.ledger.append(_record(attempt, 0), context=ALICE)])


def append_unique(session: Session, attempt: str) -> None:
    """Append one entry, and once more: the second must find the first."""
    entry = session.ledger.append(_record(attempt, 0), context=ALICE, unique=True)
    _acknowledge(session, attempt, [entry])
    again = session.ledger.append(_record(attempt, 0), context=ALICE, unique=True)
    if again.hash != entry.hash:
        raise AlarmError("a unique append appended twice", f"{entry.seq} and {again.seq}")


def append_batch(session: Session, attempt: str) -> None:
    """Append some entries, and rest as long as the pace asks for."""
    _append_many(session, attempt, session.chance.choice([20, 200, 2_000]))


def append_large_batch(session: Session, attempt: str) -> None:
    """Append many entries, some batches of which fill an index run, and rest as long as the pace asks for."""
    _append_many(session, attempt, session.chance.choice([4_000, 12_000, 36_000]))


def _append_many(session: Session, attempt: str, count: int) -> None:
    session.journal.write(attempt, BEGUN, tried=count)
    records = [_record(attempt, number) for number in range(count)]
    entries = session.ledger.append_batch(records, context=ALICE)
    _acknowledge(session, attempt, entries)
    slower = max(1.0, entries[-1].seq / SLOWER_FROM_ENTRIES) ** 2
    time.sleep(slower * count / session.entries_per_s)


def redact(session: Session, attempt: str) -> None:
    """Erase one of the entries, wherever in the chain; it must be erased at once."""
    seq = session.chance.randrange(max(1, len(session.ledger)))
    for entry in session.ledger.entries(ADMINISTRATOR, start_seq=seq, end_seq=seq + 1):
        if entry.record.stream != STREAM:
            return
        session.journal.write(attempt, BEGUN, target=entry.hash)
        try:
            redaction = session.ledger.redact(entry.hash, reason=attempt, context=ADMINISTRATOR)
        except DatabaseError as error:
            if "the redaction is recorded" not in str(error):
                raise
            session.journal.write(attempt, DONE, scrub_held_up=True)
            return
        session.journal.write(attempt, DONE, seq=redaction.seq, hash=redaction.hash)
        erased = session.ledger.get(entry.hash, context=ADMINISTRATOR)
        if erased is None or not erased.redacted:
            raise AlarmError("an acknowledged redaction does not show", f"entry {seq}")


def share(session: Session, attempt: str) -> None:
    """Append an entry, grant somebody to read it and, every other time, revoke that; decisions follow at once."""
    append(session, attempt)
    resource_id = f"{attempt}/0"
    resource = ResourcePredicate(STREAM, resource_id)
    granted = AclGrant(STREAM, resource_id, BOB.oid, "read")
    steps = {"grant": session.ledger.access.grant, "revoke": session.ledger.access.revoke}
    for kind, step in list(steps.items())[: session.chance.choice([1, 2])]:
        name = f"{attempt}.{kind}"
        session.journal.write(name, BEGUN, kind=kind, resource=resource_id)
        (entry,) = step(granted, context=ALICE)
        session.journal.write(name, DONE, seq=entry.seq, hash=entry.hash)
        if session.ledger.access.check(BOB.oid, "read", resource) is not (kind == "grant"):
            raise AlarmError(f"an acknowledged {kind} does not count", f"{resource_id}, entry {entry.seq}")


def look_up(session: Session, attempt: str) -> None:
    """Find acknowledged entries again, by hash and by id."""
    for seq, entry_hash, record_id in session.chance.sample(session.remembered, min(20, len(session.remembered))):
        by_hash = session.ledger.get(entry_hash, context=ADMINISTRATOR)
        if by_hash is None or by_hash.seq != seq:
            raise AlarmError("get does not find an acknowledged entry", f"entry {seq}, {entry_hash}: {by_hash}")
        by_id = session.ledger.get_by_id(record_id, context=ADMINISTRATOR)
        if by_id is None or by_id.seq != seq:
            raise AlarmError("get_by_id does not find an acknowledged entry", f"entry {seq}, {record_id}: {by_id}")


def require_valid(report: VerificationReport, what: str) -> None:
    """Raise the alarm where a report names faults."""
    if not report.valid:
        kinds = ", ".join(sorted(report.counts))
        raise AlarmError(f"{what}: invalid report ({kinds})", f"{report.errors[0]}")


def verify(session: Session, attempt: str) -> None:
    """Verify the ledger as it is open."""
    require_valid(session.ledger.verify(), "verify")


def verify_deep(session: Session, attempt: str) -> None:
    """Verify the ledger and its database as it is open."""
    require_valid(session.ledger.verify(deep=True), "deep verify")


def open_again(session: Session, attempt: str) -> None:
    """Open the ledger beside all others, and close it."""
    with open_soaked(session.path, access=session.access) as ledger:
        _require_remembered(session, ledger, "an opening")


def open_read_only(session: Session, attempt: str) -> None:
    """Open the ledger read-only beside all others, and close it."""
    with open_soaked(session.path, access=session.access, read_only=True) as ledger:
        _require_remembered(session, ledger, "a read-only opening")


def back_up(session: Session, attempt: str) -> None:
    """Make a copy, which must be done in time, open, verify, end where it says and hold what was acknowledged."""
    deadline = time.monotonic() + session.backup_limit_s
    path = session.scratch / f"{attempt}.db"

    def watch(done: int, total: int) -> None:
        if time.monotonic() > deadline:
            raise AlarmError("a backup does not finish", f"{done} of {total} after {session.backup_limit_s:.0f} s")

    newest = session.remembered[-1] if session.remembered else None
    try:
        head = session.ledger.backup(path, progress=watch)
        with open_soaked(path) as copy:
            require_valid(copy.verify(deep=True), "deep verify of a backup")
            if copy.head() != head:
                raise AlarmError("a backup does not end where it says", f"{head}, {copy.head()}")
            if newest is not None and copy.get(newest[1], context=ADMINISTRATOR) is None:
                raise AlarmError("a backup lacks an acknowledged entry", f"entry {newest[0]}, head {head}")
    finally:
        _remove(session.scratch, attempt)


def export(session: Session, attempt: str) -> None:
    """Export the chain and make a ledger from the export, which verifies every entry."""
    exported, imported = session.scratch / f"{attempt}.jsonl", session.scratch / f"{attempt}.db"
    try:
        count = session.ledger.export(exported, context=ADMINISTRATOR)
        header = import_ledger(exported, imported, context=ADMINISTRATOR)
        if header.entries != count:
            raise AlarmError("an export has not the entries that it says", f"{header.entries}, {count}")
    finally:
        _remove(session.scratch, attempt)


def _require_remembered(session: Session, ledger: Ledger, what: str) -> None:
    for seq, entry_hash, _ in list(session.remembered)[-1:]:
        if ledger.get(entry_hash, context=ADMINISTRATOR) is None:
            raise AlarmError(f"{what} lacks an acknowledged entry", f"entry {seq}, {entry_hash}")


def _remove(scratch: Path, attempt: str) -> None:
    for path in scratch.glob(f"{attempt}.*"):
        path.unlink()
