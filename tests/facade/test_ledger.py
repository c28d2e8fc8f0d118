"""The ledger's methods: what they answer and what they refuse."""

import io
import pickle
from collections import OrderedDict, UserDict
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests.facade.samples import ALICE, BOB, LEDGER_ID, UNKNOWN_HASH, note, notes, open_file

from nucleus import (
    ChainEntry,
    ConfigError,
    ConflictError,
    IntegrityError,
    InvalidRecordError,
    Ledger,
    LedgerClosedError,
    ModuleConfig,
    ModuleError,
    NucleusError,
    QueryFilters,
    Record,
    UnknownModuleError,
    create_ledger,
    sqlite_storage,
    verify_chain,
)

MEMBERS: dict[str, Any] = {"id": "r-1", "stream": "notes", "payload": {"n": 1}, "timestamp": 1_700_000_000_000}


def test_append_answers_the_entry(ledger: Ledger) -> None:
    first, second = ledger.append(note(1), ALICE), ledger.append(note(2), ALICE)
    assert isinstance(first, ChainEntry)
    assert (first.seq, first.prev_hash, first.format, first.redacted) == (0, None, 1, False)
    assert (second.seq, second.prev_hash) == (1, first.hash)
    assert (first.record.id, first.record.stream, first.record.payload) == ("r-1", "notes", {"n": 1})
    assert verify_chain([first, second], LEDGER_ID).valid


@pytest.mark.parametrize("mapping", [dict, OrderedDict, UserDict])
def test_mapping_is_a_record(ledger: Ledger, mapping: Any) -> None:
    single = ledger.append(mapping(MEMBERS), ALICE)
    (batched,) = ledger.append_batch([mapping(MEMBERS)], ALICE)
    for entry in (single, batched):
        assert (entry.record.id, entry.record.timestamp, entry.record.payload) == ("r-1", 1_700_000_000_000, {"n": 1})


@pytest.mark.parametrize(
    "record", [None, 1, "r-1", b"{}", [], ["id"], {}, {"id": "r"}, MEMBERS | {"extra": 1}, object()]
)
def test_what_is_no_record(ledger: Ledger, record: Any) -> None:
    with pytest.raises(InvalidRecordError):
        ledger.append(record, ALICE)
    with pytest.raises(InvalidRecordError, match=r"\$\[1\]") as caught:
        ledger.append_batch([note(0), record], ALICE)
    assert (caught.value.path or "").startswith("$[1]")
    assert len(ledger) == 0


def test_record_that_the_engine_refuses(ledger: Ledger) -> None:
    with pytest.raises(InvalidRecordError, match="requester_oid"):
        ledger.append(Record("r", "notes", {}, meta={"requester_oid": BOB.oid}), ALICE)
    with pytest.raises(InvalidRecordError, match="redactions"):
        ledger.append(Record("r", "redactions", {}), ALICE)
    assert len(ledger) == 0


def test_largest_record() -> None:
    with create_ledger(LEDGER_ID, max_record_bytes=2_000) as ledger:
        ledger.append(note(1, filler="x" * 1_000), ALICE)
        with pytest.raises(InvalidRecordError):
            ledger.append(note(2, filler="x" * 2_000), ALICE)
        assert len(ledger) == 1


def test_batch_is_all_or_nothing(ledger: Ledger) -> None:
    entries = ledger.append_batch(notes(10), ALICE)
    assert [entry.seq for entry in entries] == list(range(10))
    with pytest.raises(InvalidRecordError):
        ledger.append_batch([note(11), Record("r", "redactions", {}), note(12)], ALICE)
    assert len(ledger) == 10
    assert ledger.append_batch([], ALICE) == []
    assert ledger.append_batch((note(11),), ALICE)[0].seq == 10


def test_unique(ledger: Ledger) -> None:
    entry = ledger.append(note(1), ALICE, unique=True)
    again = ledger.append(Record("r-1", "notes", {"n": 1}, entry.record.timestamp), ALICE, unique=True)
    assert again == entry
    with pytest.raises(ConflictError) as caught:
        ledger.append(note(1, other=True), ALICE, unique=True)
    assert caught.value.existing_hash == entry.hash
    assert len(ledger) == 1


def test_expected_head(ledger: Ledger) -> None:
    first = ledger.append(note(1), ALICE)
    second = ledger.append(note(2), ALICE, expected_head=first.hash)
    for stale in (first.hash, UNKNOWN_HASH):
        with pytest.raises(ConflictError):
            ledger.append(note(3), ALICE, expected_head=stale)
        with pytest.raises(ConflictError):
            ledger.append_batch([note(3)], ALICE, expected_head=stale)
    ledger.append_batch([note(3)], ALICE, expected_head=second.hash)
    assert len(ledger) == 3


def test_looking_up(ledger: Ledger) -> None:
    entries = [ledger.append(note(n % 3, version=n), ALICE) for n in range(9)]
    for entry in entries:
        assert ledger.get(entry.hash, ALICE) == entry
    for n in range(3):
        assert ledger.get_by_id(f"r-{n}", ALICE) == entries[6 + n]
        assert ledger.history(f"r-{n}", ALICE) == entries[n::3]
    assert ledger.get(UNKNOWN_HASH, ALICE) is None
    assert ledger.get_by_id("unknown", ALICE) is None
    assert ledger.history("unknown", ALICE) == []


def test_head_and_length(ledger: Ledger) -> None:
    assert ledger.head() is None
    assert len(ledger) == 0
    entry = ledger.append_batch(notes(3), ALICE)[-1]
    assert ledger.head() == (2, entry.hash)
    assert len(ledger) == 3


def test_empty_ledger_is_true(ledger: Ledger) -> None:
    assert ledger
    assert len(ledger) == 0


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 2_500])
def test_entries(ledger: Ledger, count: int) -> None:
    appended = ledger.append_batch(notes(count), ALICE)
    assert list(ledger.entries(ALICE)) == appended
    for start in (0, 1, count - 1, count, count + 1):
        if start >= 0:
            assert list(ledger.entries(ALICE, start_seq=start)) == appended[start:]
            assert list(ledger.entries(ALICE, start_seq=start, end_seq=count - 1)) == appended[start:-1]
            assert list(ledger.entries(ALICE, start_seq=start, end_seq=count + 5)) == appended[start:]
    pages = list(ledger.pages(ALICE))
    assert [entry for page in pages for entry in page] == appended
    assert all(1 <= len(page) <= 1_000 for page in pages)


def test_entries_appended_meanwhile_are_reached(ledger: Ledger) -> None:
    ledger.append_batch(notes(1_500), ALICE)
    entries = ledger.entries(ALICE)
    next(entries)
    ledger.append(note(9_999), ALICE)
    assert [entry.seq for entry in entries] == list(range(1, 1_501))


def test_verify(ledger: Ledger) -> None:
    entries = ledger.append_batch(notes(5), ALICE)
    for report in (
        ledger.verify(),
        ledger.verify(deep=True),
        ledger.verify_storage(),
        ledger.verify(expected_head=entries[-1].hash, expected_length=5),
    ):
        assert report.valid
        assert (report.entries_checked, report.head_hash) == (5, entries[-1].hash)
        assert (report.errors, report.counts) == ([], {})
    for report in (ledger.verify(expected_head=entries[0].hash), ledger.verify(expected_length=6)):
        assert not report.valid
        assert report.counts == {"head_mismatch": 1}
    with pytest.raises(ConfigError):
        ledger.verify(expected_head="not a hash")


def test_progress(path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with open_file(path) as ledger:
        ledger.append_batch(notes(3_000), ALICE)
        ledger.verify(progress=lambda done, total: seen.append((done, total)))
        ledger.verify_storage(progress=lambda done, total: seen.append((done, total)))
        ledger.export(io.BytesIO(), ALICE, progress=lambda done, total: seen.append((done, total)))
    create_ledger(storage=sqlite_storage(path), progress=lambda done, total: seen.append((done, total))).close()
    assert seen.count((3_000, 3_000)) >= 4
    assert all(0 <= done <= total == 3_000 for done, total in seen)


class _StopError(Exception):
    pass


def test_progress_stops_the_work(ledger: Ledger, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise _StopError

    ledger.append_batch(notes(2_000), ALICE)
    with pytest.raises(_StopError):
        ledger.verify(progress=stop)
    with pytest.raises(_StopError):
        ledger.export(tmp_path / "export.jsonl", ALICE, progress=stop)
    assert not (tmp_path / "export.jsonl").exists()
    with pytest.raises(_StopError):
        ledger.backup(tmp_path / "backup.db", progress=stop)
    assert not list(tmp_path.glob("backup*"))
    assert ledger.verify().valid


def test_redact(ledger: Ledger) -> None:
    entry = ledger.append(note(1), ALICE)
    recording = ledger.redact(entry.hash, reason="GDPR Art. 17 request 42", context=BOB)
    assert recording.record.payload == {"hash": entry.hash, "reason": "GDPR Art. 17 request 42", "seq": 0}
    (erased,) = ledger.history("r-1", ALICE)
    assert (erased.redacted, erased.record.payload, erased.salt) == (True, None, None)
    assert ledger.redact(entry.hash, "again", ALICE) == recording
    assert ledger.verify().valid
    for refused in (UNKNOWN_HASH, recording.hash):
        with pytest.raises(ConflictError):
            ledger.redact(refused, "reason", ALICE)
    with pytest.raises(ConfigError):
        ledger.redact("not a hash", "reason", ALICE)
    with pytest.raises(InvalidRecordError, match="reason"):
        ledger.redact(entry.hash, "", ALICE)
    assert len(ledger) == 2


def test_backup(ledger: Ledger, tmp_path: Path) -> None:
    entries = ledger.append_batch(notes(5), ALICE)
    copy = tmp_path / "copy.db"
    assert ledger.backup(copy) == (4, entries[-1].hash)
    with create_ledger(LEDGER_ID, storage=sqlite_storage(copy)) as other:
        assert list(other.entries(ALICE)) == entries
    before = copy.read_bytes()
    with pytest.raises(NucleusError, match=r"copy\.db"):
        ledger.backup(str(copy))
    assert copy.read_bytes() == before


def test_stats(ledger: Ledger) -> None:
    assert ledger.stats().entries == 0
    assert ledger.stats().head is None
    ledger.append(Record("a", "one", {}, 1_000), ALICE)
    entry = ledger.append(Record("b", "two", {}, 500), ALICE)
    last = ledger.append(Record("c", "two", {}, 2_000), ALICE)
    stats = ledger.stats()
    assert (stats.entries, stats.redacted, stats.head) == (3, 0, (2, last.hash))
    assert stats.streams == {"one": 1, "two": 2}
    assert (stats.first_timestamp, stats.last_timestamp) == (500, 2_000)
    assert stats.created_at > 1_700_000_000_000
    assert stats.database_bytes > 0
    assert {field.name for field in fields(stats)} == {
        "entries", "redacted", "head", "streams", "first_timestamp", "last_timestamp", "created_at", "database_bytes",
        "wal_bytes", "scrub_pending",
    }  # fmt: skip
    recording = ledger.redact(entry.hash, "reason", ALICE)
    stats = ledger.stats()
    assert (stats.entries, stats.redacted, stats.head) == (4, 1, (3, recording.hash))
    assert stats.streams["redactions"] == 1


USES: dict[str, Any] = {
    "append": lambda ledger: ledger.append(note(1), ALICE),
    "append_batch": lambda ledger: ledger.append_batch([note(1)], ALICE),
    "get": lambda ledger: ledger.get(UNKNOWN_HASH, ALICE),
    "get_by_id": lambda ledger: ledger.get_by_id("r-1", ALICE),
    "history": lambda ledger: ledger.history("r-1", ALICE),
    "query": lambda ledger: ledger.query(QueryFilters(), ALICE),
    "entries": lambda ledger: list(ledger.entries(ALICE)),
    "head": lambda ledger: ledger.head(),
    "len": len,
    "verify": lambda ledger: ledger.verify(),
    "verify_storage": lambda ledger: ledger.verify_storage(),
    "redact": lambda ledger: ledger.redact(UNKNOWN_HASH, "reason", ALICE),
    "export": lambda ledger: ledger.export(io.BytesIO(), ALICE),
    "import_entries": lambda ledger: ledger.import_entries([], ALICE),
    "stats": lambda ledger: ledger.stats(),
}


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_closed_ledger_says_so(ledger: Ledger, use: Any) -> None:
    ledger.close()
    assert ledger.closed
    with pytest.raises(LedgerClosedError):
        use(ledger)
    ledger.close()


def test_leaving_the_block_closes(path: Path) -> None:
    ledger = open_file(path)

    def work() -> None:
        with ledger:
            ledger.append(note(1), ALICE)
            assert not ledger.closed
            raise _StopError

    with pytest.raises(_StopError):
        work()
    assert ledger.closed
    with open_file(path) as ledger:
        assert len(ledger) == 1


def test_backup_of_a_closed_ledger(ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    with pytest.raises(LedgerClosedError):
        ledger.backup(tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_identity(path: Path) -> None:
    with open_file(path) as ledger:
        assert (ledger.id, ledger.path) == (LEDGER_ID, str(path))
        assert LEDGER_ID in repr(ledger)
        assert str(path) in repr(ledger)
        assert "open" in repr(ledger)
    assert "closed" in repr(ledger)
    with create_ledger(storage=sqlite_storage(path)) as ledger:
        assert ledger.id == LEDGER_ID
    with pytest.raises(ConfigError, match="another"):
        create_ledger("another", storage=sqlite_storage(path))


@pytest.mark.parametrize("id", [None, "", "x" * 256, "line\nbreak"])
def test_ids_that_are_refused(id: str | None) -> None:
    with pytest.raises(ConfigError):
        create_ledger(id)


def test_missing_file_is_not_created_without_an_id(path: Path) -> None:
    for read_only in (True, False):
        with pytest.raises(ConfigError, match=r"ledger\.db"):
            create_ledger(storage=sqlite_storage(path, read_only=read_only))
    assert not path.exists()


def test_expectations_at_open(path: Path) -> None:
    with open_file(path) as ledger:
        entries = ledger.append_batch(notes(3), ALICE)
    storage = sqlite_storage(path)
    create_ledger(storage=storage, expected_head=entries[-1].hash, expected_length=3).close()
    wrong: list[dict[str, Any]] = [{"expected_head": entries[0].hash}, {"expected_length": 2}, {"expected_length": 4}]
    for expectation in wrong:
        with pytest.raises(IntegrityError) as caught:
            create_ledger(storage=storage, **expectation)
        assert caught.value.report is not None
        assert caught.value.report.counts == {"head_mismatch": 1}


def test_two_ledgers_share_nothing() -> None:
    with create_ledger("one") as one, create_ledger("two") as two:
        entry = one.append(note(1), ALICE)
        assert two.get(entry.hash, ALICE) is None
        assert len(two) == 0


def test_an_unknown_module_is_named() -> None:
    config = ModuleConfig("nope", "1.0.0")
    assert config == ModuleConfig("nope", "1.0.0", config={})
    with pytest.raises(UnknownModuleError, match="nope") as caught:
        create_ledger(LEDGER_ID, modules=[config])
    assert isinstance(caught.value, ModuleError)
    assert caught.value.module_id == "nope"
    create_ledger(LEDGER_ID, modules=[]).close()


def test_values_survive_pickling(ledger: Ledger) -> None:
    entry = ledger.append(note(1), ALICE)
    for value in (entry, entry.record, QueryFilters(stream="notes"), ModuleConfig("proof", "1.0.0"), ALICE):
        assert pickle.loads(pickle.dumps(value)) == value
