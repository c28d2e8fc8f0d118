"""Rows deleted, inserted, swapped, re-ordered and erased by another program."""

from pathlib import Path

import pytest
from tests.reference.building import append, erase
from tests.reference.chain import Entry, genesis
from tests.storage import samples
from tests.storage.chains import COLUMNS, insert_sql, rewrite_sql, stored_entries
from tests.storage.expectations import assert_found, refused, reported
from tests.storage.ledgers import ALICE, LEDGER_ID, open_ledger
from tests.storage.stranger import Stranger

from nucleus import Record

CONTENT = COLUMNS[1:]


def test_deleted_first(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "DELETE FROM entries WHERE seq = 0")
    assert_found(sample, {("sequence_gap", 1)}, elsewhere={("chain_link_broken", 1)})


@pytest.mark.parametrize("seq", [1, samples.MIDDLE, 9, 10])
def test_deleted_middle(sample: Path, stranger: Stranger, seq: int) -> None:
    stranger.edit(sample, f"DELETE FROM entries WHERE seq = {seq}")
    assert_found(sample, {("sequence_gap", seq + 1), ("chain_link_broken", seq + 1)})


def test_deleted_redaction(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, f"DELETE FROM entries WHERE seq = {samples.REDACTION}")
    behind = samples.REDACTION + 1
    erased = ("unrecorded_redaction", samples.REDACTED)
    assert_found(sample, {("sequence_gap", behind), ("chain_link_broken", behind), erased})


def test_deleted_middle_with_the_hole_closed(sample: Path, stranger: Stranger) -> None:
    stranger.edit(
        sample, "DELETE FROM entries WHERE seq = 2", "UPDATE entries SET seq = seq - 1 WHERE seq > 2 AND seq <= 11"
    )
    moved = range(2, samples.LENGTH - 1)
    consequences = {("unrecorded_redaction", samples.REDACTED - 1)}
    expected = {("chain_link_broken", 2), *(("hash_mismatch", seq) for seq in moved)}
    assert_found(sample, expected, elsewhere=consequences)


def test_deleted_last(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, f"DELETE FROM entries WHERE seq = {samples.LAST}")
    assert {kind for kind, _ in refused(sample)} == {"head_mismatch"}
    assert {kind for kind, _ in refused(sample, read_only=True)} == {"head_mismatch"}


def test_deleted_all(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "DELETE FROM entries")
    assert {kind for kind, _ in refused(sample)} == {"head_mismatch"}
    assert {kind for kind, _ in refused(sample, read_only=True)} == {"head_mismatch"}


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 2), (2, 7), (0, 11), (10, 11)])
def test_swapped_rows(sample: Path, stranger: Stranger, a: int, b: int) -> None:
    stranger.edit(
        sample,
        f"UPDATE entries SET seq = -9 WHERE seq = {a}",
        f"UPDATE entries SET seq = {a} WHERE seq = {b}",
        f"UPDATE entries SET seq = {b} WHERE seq = -9",
    )
    links = {("chain_link_broken", seq) for seq in (a, a + 1, b, b + 1) if seq < samples.LENGTH}
    assert_found(sample, {("hash_mismatch", a), ("hash_mismatch", b), *links})


@pytest.mark.parametrize("columns", [("payload",), ("payload", "salt"), ("record_id",), ("hash",), ("prev_hash",)])
def test_swapped_columns(sample: Path, stranger: Stranger, columns: tuple[str, ...]) -> None:
    other = "(SELECT o.{0} FROM before o WHERE o.seq = CASE entries.seq WHEN 6 THEN 10 ELSE 6 END)"
    changes = ", ".join(f"{column} = {other.format(column)}" for column in columns)
    stranger.edit(
        sample,
        "CREATE TEMP TABLE before AS SELECT * FROM entries",
        f"UPDATE entries SET {changes} WHERE seq IN (6, 10)",
    )
    links = {("chain_link_broken", seq) for seq in (6, 7, 10, 11)}
    assert_found(sample, {("hash_mismatch", 6), ("hash_mismatch", 10)}, elsewhere=links)


def test_reversed_order(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "UPDATE entries SET seq = -1 - seq", f"UPDATE entries SET seq = {samples.LENGTH} + seq")
    every = range(samples.LENGTH)
    consequences = {("unrecorded_redaction", samples.LAST - samples.REDACTED)}
    consequences |= {("chain_link_broken", seq) for seq in every}
    assert_found(sample, {("hash_mismatch", seq) for seq in every}, elsewhere=consequences)


def test_all_rows_moved_up(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "UPDATE entries SET seq = -2 - seq", "UPDATE entries SET seq = -1 - seq")
    found = reported(sample)
    assert ("sequence_gap", 1) in found
    assert {("hash_mismatch", seq) for seq in range(1, samples.LENGTH + 1)} <= found


def test_duplicated_row(sample: Path, stranger: Stranger) -> None:
    columns = ", ".join(CONTENT)
    stranger.edit(
        sample, f"INSERT INTO entries(seq, {columns}) SELECT {samples.LENGTH}, {columns} FROM entries WHERE seq = 7"
    )
    added = samples.LENGTH
    assert_found(sample, {("hash_mismatch", added), ("chain_link_broken", added)})


def test_inserted_in_the_middle(sample: Path, stranger: Stranger) -> None:
    entries = stored_entries(stranger, sample)
    forged = entries[6] | {"seq": 5, "record": entries[6]["record"] | {"id": "forged"}}
    stranger.edit(
        sample,
        "UPDATE entries SET seq = -1 - seq WHERE seq >= 5",
        "UPDATE entries SET seq = -seq WHERE seq < 0",
        insert_sql(forged),
    )
    found = refused(sample)
    assert {("hash_mismatch", seq) for seq in range(5, samples.LENGTH + 1)} <= found
    assert ("chain_link_broken", 5) in found


def test_appended_with_a_made_up_hash(sample: Path, stranger: Stranger) -> None:
    entries = stored_entries(stranger, sample)
    record = {"id": "forged", "stream": "notes", "timestamp": 1, "payload": {}}
    forged = append(entries, LEDGER_ID, record, salt=bytes(16))
    stranger.edit(sample, insert_sql(forged | {"hash": "ab" * 32}))
    assert_found(sample, {("hash_mismatch", samples.LENGTH)})


def test_appended_behind_a_gap(sample: Path, stranger: Stranger) -> None:
    entries = stored_entries(stranger, sample)
    skipping = [*entries, entries[-1] | {"seq": 500}]
    forged = append(skipping, LEDGER_ID, entries[0]["record"], salt=bytes(16))
    stranger.edit(sample, insert_sql(forged))
    assert_found(sample, {("sequence_gap", 501)})


def test_first_entry_linked_to_the_genesis_value(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, f"UPDATE entries SET prev_hash = x'{genesis(LEDGER_ID).hex()}' WHERE seq = 0")
    assert_found(sample, {("chain_link_broken", 0)})


@pytest.mark.parametrize("seq", [samples.FIRST, samples.ARRAY, samples.NO_META, samples.REDACTION, samples.LAST])
def test_payload_removed_without_a_record_of_it(sample: Path, stranger: Stranger, seq: int) -> None:
    entry = stored_entries(stranger, sample)[seq]
    _erase_row(stranger, sample, entry)
    # Where the erased entry recorded an erasure itself, that one has lost its record.
    expected = {("unrecorded_redaction", seq)}
    if seq == samples.REDACTION:
        expected |= {("unrecorded_redaction", samples.REDACTED)}
    assert_found(sample, expected)


def _erase_row(stranger: Stranger, path: Path, entry: Entry) -> None:
    commitment = erase(entry)["payload_hash"]
    erased = f"payload = NULL, salt = NULL, payload_hash = x'{commitment}'"
    stranger.edit(path, f"UPDATE entries SET {erased} WHERE seq = {entry['seq']}")


@pytest.mark.parametrize("change", [{"seq": 5}, {"hash": "00" * 32}, {"hash": "AB" * 32}, {"seq": "6"}])
def test_record_of_another_erasure_does_not_count(sample: Path, stranger: Stranger, change: dict[str, object]) -> None:
    entries = stored_entries(stranger, sample)
    erased = entries[6]
    payload = {"hash": erased["hash"], "reason": "none", "seq": 6} | change
    record = {"id": f"redaction:{payload['hash']}", "stream": "redactions", "timestamp": 1, "payload": payload}
    recording = append(list(entries), LEDGER_ID, record, salt=bytes(16))
    _erase_row(stranger, sample, erased)
    stranger.edit(sample, insert_sql(recording))
    assert_found(sample, {("unrecorded_redaction", 6)})


def test_record_of_an_erasure_counts_only_in_its_stream(sample: Path, stranger: Stranger) -> None:
    entries = stored_entries(stranger, sample)
    erased = entries[6]
    _erase_row(stranger, sample, erased)
    with open_ledger(sample, verify_on_open=False) as ledger:
        payload = {"hash": erased["hash"], "reason": "none", "seq": 6}
        ledger.append(Record(id=f"redaction:{erased['hash']}", stream="notes", payload=payload), context=ALICE)
    assert_found(sample, {("unrecorded_redaction", 6)})


def test_erasure_with_a_record_of_it_is_valid_for_the_reference_too(sample: Path, stranger: Stranger) -> None:
    entries = stored_entries(stranger, sample)
    erased = entries[6]
    payload = {"hash": erased["hash"], "reason": "by the reference", "seq": 6}
    record = {"id": f"redaction:{erased['hash']}", "stream": "redactions", "timestamp": 1, "payload": payload}
    recording = append(list(entries), LEDGER_ID, record, salt=bytes(16))
    _erase_row(stranger, sample, erased)
    stranger.edit(sample, insert_sql(recording))
    with open_ledger(sample) as ledger:
        assert ledger.verify(deep=True).valid
        entry = ledger.get(erased["hash"], context=ALICE)
    assert entry is not None
    assert entry.redacted


def test_rewriting_every_row_unchanged_is_not_tampering(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, *rewrite_sql(stored_entries(stranger, sample)))
    with open_ledger(sample) as ledger:
        assert ledger.verify(deep=True).valid
        assert len(ledger) == samples.LENGTH
