"""The account at rest can fail: each thing that must not be is found where it was put."""

from pathlib import Path

import pytest
from tests.soak.digest import EntriesDigest
from tests.soak.journal import BEGUN, BUSY, DONE, Attempt, Journal, read_attempts
from tests.soak.openings import ALICE, open_soaked
from tests.soak.operations import STREAM
from tests.soak.settling import Settlement, settle

from nucleus import ChainEntry, Record

Facts = dict[str, object]


def _told(*entries: ChainEntry) -> Facts:
    digest = EntriesDigest()
    for entry in entries:
        digest.add(entry)
    return {"first_seq": entries[0].seq, "count": len(entries), "digest": digest.value()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with two attempts of two entries, the first entry redacted."""
    return tmp_path / "ledger.db"


@pytest.fixture
def attempts(path: Path) -> dict[str, Attempt]:
    """What the workers of that ledger were told."""
    with open_soaked(path) as ledger:
        batches = [
            ledger.append_batch([Record(f"{name}/{number}", STREAM, {}) for number in (0, 1)], context=ALICE)
            for name in ("a", "b")
        ]
        target = batches[0][0].hash
        redaction = ledger.redact(target, reason="c", context=ALICE)
    return {
        "a": Attempt("a", "append_batch", DONE, _told(*batches[0])),
        "b": Attempt("b", "append_batch", DONE, _told(*batches[1])),
        "c": Attempt("c", "redact", DONE, {"target": target, "seq": redaction.seq, "hash": redaction.hash}),
    }


def _settled(path: Path, attempts: dict[str, Attempt]) -> tuple[int, set[str]]:
    settlement = settle(path, attempts.values())
    return len(settlement.lost), {kind for kind, _ in settlement.alarms}


def test_what_adds_up_is_no_alarm(path: Path, attempts: dict[str, Attempt]) -> None:
    expected = Settlement(acknowledged=5, entries=5, redacted=1)
    assert settle(path, attempts.values()) == expected


def test_what_was_in_flight_may_be_there_or_not(path: Path, attempts: dict[str, Attempt]) -> None:
    attempts["b"] = Attempt("b", "append_batch", BEGUN, {"tried": 2})
    attempts["c"] = Attempt("c", "redact", BEGUN, {"target": attempts["c"].facts["target"]})
    attempts["d"] = Attempt("d", "append", BEGUN)
    attempts["e"] = Attempt("e", "redact", BEGUN, {"target": "00" * 32})
    assert _settled(path, attempts) == (0, set())


def test_a_lost_append_is_found(path: Path, attempts: dict[str, Attempt]) -> None:
    attempts["d"] = Attempt("d", "append", DONE, {"first_seq": 5, "count": 1, "digest": "00" * 16})
    assert _settled(path, attempts) == (1, set())


@pytest.mark.parametrize("altered", [{"first_seq": 3}, {"count": 1}, {"digest": "00" * 16}])
def test_another_entry_than_acknowledged_is_found(path: Path, attempts: dict[str, Attempt], altered: Facts) -> None:
    attempts["b"].facts |= altered
    assert _settled(path, attempts) == (1, set())


@pytest.mark.parametrize(("altered", "lost"), [({"seq": 9}, 1), ({"hash": "00" * 32}, 1)])
def test_a_lost_redaction_is_found(path: Path, attempts: dict[str, Attempt], altered: Facts, lost: int) -> None:
    attempts["c"].facts |= altered
    assert _settled(path, attempts)[0] == lost


def test_a_payload_that_came_back_is_found(path: Path, attempts: dict[str, Attempt]) -> None:
    with open_soaked(path) as ledger:
        entry = ledger.append(Record("d/0", STREAM, {}), context=ALICE)
    attempts["d"] = Attempt("d", "append", DONE, _told(entry))
    attempts["e"] = Attempt("e", "redact", DONE, {"target": entry.hash, "scrub_held_up": True})
    assert _settled(path, attempts) == (1, set())


def test_an_erasure_that_nobody_asked_for_is_found(path: Path, attempts: dict[str, Attempt]) -> None:
    del attempts["c"].facts["target"]
    assert _settled(path, attempts) == (0, {"an entry is erased that nobody erased"})


def test_what_was_reported_as_failed_and_is_there_is_found(path: Path, attempts: dict[str, Attempt]) -> None:
    attempts["b"] = Attempt("b", "append_batch", BUSY, {"tried": 2, "error": "DatabaseError", "message": "-"})
    assert _settled(path, attempts) == (0, {"reported as failed and yet in the chain (DatabaseError)"})


def test_half_a_batch_is_found(path: Path, attempts: dict[str, Attempt]) -> None:
    with open_soaked(path) as ledger:
        ledger.append(Record("d/0", STREAM, {}), context=ALICE)
    attempts["d"] = Attempt("d", "append_batch", BEGUN, {"tried": 2})
    assert _settled(path, attempts) == (0, {"a part of a batch is in the chain"})


def test_what_nobody_wrote_is_found(path: Path, attempts: dict[str, Attempt]) -> None:
    del attempts["b"], attempts["c"]
    kinds = {
        "an entry that nobody wrote",
        "an entry is erased that nobody erased",
        "entries that nobody tried to write",
    }
    assert _settled(path, attempts) == (0, kinds)


def test_a_ledger_that_does_not_open_is_found(path: Path, attempts: dict[str, Attempt]) -> None:
    path.with_name("ledger.db.anchor").write_bytes(b"nothing")
    assert _settled(path, attempts) == (0, {"at rest: IntegrityError"})


def test_a_journal_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    journal = tmp_path / "w.journal"
    writing = Journal(journal)
    writing.write("a", BEGUN, kind="append")
    writing.write("a", DONE, count=1)
    writing.write("b", BEGUN, kind="redact")
    with journal.open("ab") as file:
        file.write(b'{"attempt": "b", "sta')
    told = list(read_attempts([journal]))
    assert [(attempt.name, attempt.kind, attempt.state) for attempt in told] == [
        ("a", "append", DONE),
        ("b", "redact", BEGUN),
    ]
    assert told[0].facts == {"kind": "append", "count": 1}
