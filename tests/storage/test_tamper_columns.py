"""Every column of every kind of row, edited by another program: another value, no value, a value of another type."""

from pathlib import Path

import pytest
from tests.storage import samples
from tests.storage.expectations import assert_found, refused, reported
from tests.storage.ledgers import ALICE, LEDGER_ID, Fault, anchor_of, faults, kept, note, open_ledger
from tests.storage.stranger import Stranger

from nucleus import IntegrityError, NucleusError

ROWS = {
    "first": samples.FIRST,
    "array": samples.ARRAY,
    "middle": samples.MIDDLE,
    "redacted": samples.REDACTED,
    "no meta": samples.NO_META,
    "own meta": samples.OTHER_META,
    "redaction": samples.REDACTION,
    "last": samples.LAST,
}

MALFORMED = "malformed_entry"
WRONG = "hash_mismatch"

_TEXT_COLUMN = [
    ("'forged'", WRONG),
    ("{column} || ' '", WRONG),
    ("{column} || char(0)", WRONG),
    ("''", MALFORMED),
    ("printf('%.2000c', 'x')", MALFORMED),
    ("NULL", MALFORMED),
    ("7", MALFORMED),
    ("CAST({column} AS BLOB)", MALFORMED),
    ("CAST(x'72FF' AS TEXT)", MALFORMED),
]

# Column, new value, the fault reported at the row itself. These hold for each kind of row.
EVERY_ROW = [
    *[("format", value, MALFORMED) for value in ("0", "2", "NULL", "'1'", "1.0", "x'01'", "4294967297")],
    ("hash", "zeroblob(32)", WRONG),
    ("hash", "(SELECT hash FROM entries WHERE seq = 6)", WRONG),
    *[
        ("hash", value, MALFORMED)
        for value in ("NULL", "x''", "substr(hash, 1, 31)", "zeroblob(33)", "CAST(hash AS TEXT)", "hex(hash)", "1")
    ],
    ("prev_hash", "zeroblob(32)", WRONG),
    *[("prev_hash", value, MALFORMED) for value in ("x''", "zeroblob(31)", "hex(hash)", "1.5")],
    *[("record_id", value, kind) for value, kind in _TEXT_COLUMN],
    *[("stream", value, kind) for value, kind in _TEXT_COLUMN],
    ("timestamp", "timestamp + 1", WRONG),
    ("timestamp", "9007199254740991", WRONG),
    *[
        ("timestamp", value, MALFORMED)
        for value in ("0", "-1", "9007199254740992", "NULL", "timestamp + 0.5", "'soon'", "x'01'")
    ],
    ("meta", "'{}'", WRONG),
    ("meta", '\'{"requester_oid":"oid:onoal:user:eve"}\'', WRONG),
    *[("meta", value, MALFORMED) for value in ("'[]'", "''", "'null'", "1", "x'7B7D'", "CAST(x'7BFF7D' AS TEXT)")],
]

# Rows that have their payload.
WITH_PAYLOAD = [
    ("payload", "'{\"forged\":true}'", WRONG),
    ("payload", "'[]'", WRONG),
    *[
        ("payload", value, MALFORMED)
        for value in ("NULL", "''", "'null'", "'\"text\"'", "1", "CAST(payload AS BLOB)", "CAST(x'7BFF7D' AS TEXT)")
    ],
    ("salt", "zeroblob(16)", WRONG),
    *[
        ("salt", value, MALFORMED)
        for value in ("NULL", "x''", "zeroblob(15)", "zeroblob(17)", "'0123456789abcdef'", "1")
    ],
    *[("payload_hash", value, MALFORMED) for value in ("zeroblob(32)", "x''", "'x'", "1")],
]

# Rows that had a meta object.
WITH_META = [("meta", "NULL", WRONG)]

# Rows behind another one.
WITH_PREDECESSOR = [
    ("prev_hash", "NULL", WRONG),
    ("prev_hash", "hash", WRONG),
    ("prev_hash", "(SELECT prev_hash FROM entries WHERE seq = 6) || x'00'", MALFORMED),
]

# The row whose payload was erased.
ERASED = [
    ("payload", "'{}'", MALFORMED),
    ("payload", "1", MALFORMED),
    ("salt", "zeroblob(16)", MALFORMED),
    ("salt", "'x'", MALFORMED),
    ("payload_hash", "zeroblob(32)", WRONG),
    *[("payload_hash", value, MALFORMED) for value in ("NULL", "x''", "zeroblob(31)", "hex(payload_hash)", "1")],
]


def _edits(row: str) -> list[tuple[str, str, str]]:
    edits = [*EVERY_ROW, *(ERASED if row == "redacted" else WITH_PAYLOAD)]
    if row != "no meta":
        edits += WITH_META
    if row != "first":
        edits += WITH_PREDECESSOR
    return edits


EDITS = [(row, *edit) for row in ROWS for edit in _edits(row)]


def _consequences(seq: int, column: str) -> set[Fault]:
    """Faults that follow from an edit of the row at ``seq``, besides the one that is demanded."""
    link = {("chain_link_broken", seq), ("chain_link_broken", seq + 1)} if column in {"hash", "prev_hash"} else set()
    # An erasure counts as recorded only where both rows are what they were.
    erasure = {("unrecorded_redaction", samples.REDACTED)} if seq in {samples.REDACTED, samples.REDACTION} else set()
    return link | erasure


@pytest.mark.parametrize(("row", "column", "value", "kind"), EDITS)
def test_edited_column(sample: Path, stranger: Stranger, *, row: str, column: str, value: str, kind: str) -> None:
    seq = ROWS[row]
    new = value.replace("{column}", column)
    same = f"SELECT ({new}) IS {column} AND typeof({new}) = typeof({column}) FROM entries WHERE seq = {seq}"
    assert stranger.query(sample, same) == [[0]], "the edit would change nothing"

    stranger.edit(sample, f"UPDATE entries SET {column} = {new} WHERE seq = {seq}", lax=True)

    assert_found(sample, {(kind, seq)}, elsewhere=_consequences(seq, column))


def test_edits_cover_every_column_of_entries(sample: Path, stranger: Stranger) -> None:
    columns = {name for (name,) in stranger.query(sample, "SELECT name FROM pragma_table_info('entries')")}
    for row in ROWS:
        assert {column for edited, column, _, _ in EDITS if edited == row} == columns - {"seq"}


@pytest.mark.parametrize("row", ROWS)
def test_unedited_row_is_not_accused(sample: Path, stranger: Stranger, row: str) -> None:
    stranger.edit(
        sample, f"UPDATE entries SET payload = payload, timestamp = timestamp WHERE seq = {ROWS[row]}", lax=True
    )
    with open_ledger(sample) as ledger:
        assert ledger.verify(deep=True).valid


def test_broken_hash_breaks_the_link_behind_it(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "UPDATE entries SET hash = zeroblob(32) WHERE seq = 6")
    assert {("hash_mismatch", 6), ("chain_link_broken", 7)} <= refused(sample)


def test_broken_prev_hash_breaks_the_link_before_it(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "UPDATE entries SET prev_hash = zeroblob(32) WHERE seq = 6")
    assert {("hash_mismatch", 6), ("chain_link_broken", 6)} <= refused(sample)


def test_edited_hash_of_the_last_row_disagrees_with_the_anchor(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, f"UPDATE entries SET hash = zeroblob(32) WHERE seq = {samples.LAST}")
    assert "head_mismatch" in {kind for kind, _ in refused(sample)}


@pytest.mark.parametrize("new_seq", [-1, 12, 1_000, 2**53, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("seq", [samples.FIRST, samples.MIDDLE, samples.LAST])
def test_moved_seq(sample: Path, stranger: Stranger, seq: int, new_seq: int) -> None:
    stranger.edit(sample, f"UPDATE entries SET seq = {new_seq} WHERE seq = {seq}")
    order = sorted({*range(samples.LENGTH), new_seq} - {seq})
    gaps = {found for before, found in zip([-1, *order], order, strict=False) if found != before + 1}

    for found in (refused(sample), reported(sample)):
        # A seq that no writer could have written is malformed; the header says another one in any case.
        assert {(MALFORMED, new_seq), (WRONG, new_seq)} & found
        assert {at for kind, at in found if kind == "sequence_gap"} == gaps


def test_append_behind_the_largest_seq_fails_cleanly(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, f"UPDATE entries SET seq = {2**63 - 1} WHERE seq = {samples.LAST}")
    anchor_of(sample).unlink()
    before = stranger.query(sample, "SELECT count(*), max(seq) FROM entries")
    with pytest.raises(NucleusError):
        _append_unverified(sample)
    assert stranger.query(sample, "SELECT count(*), max(seq) FROM entries") == before


def _append_unverified(path: Path) -> None:
    with open_ledger(path, verify_on_open=False) as ledger:
        ledger.append(note(99), context=ALICE)


LEDGER_INFO = [
    *[(column, value) for column in ("id", "format", "created_at") for value in ("NULL", "'x'", "x'01'", "1.5", "-1")],
    ("id", "''"),
    ("id", "'other-ledger'"),
    ("id", "id || char(7)"),
    ("id", "printf('%.300c', 'x')"),
    ("format", "2"),
    ("created_at", "created_at + 1"),
    ("created_at", "0"),
]


@pytest.mark.parametrize(("column", "value"), LEDGER_INFO)
def test_edited_ledger_info(sample: Path, stranger: Stranger, column: str, value: str) -> None:
    stranger.edit(sample, f"UPDATE ledger_info SET {column} = {value}", lax=True)
    before = kept(sample)
    for ledger_id in (LEDGER_ID, None):
        for read_only in (False, True):
            with pytest.raises(NucleusError):
                open_ledger(sample, id=ledger_id, read_only=read_only).close()
    assert kept(sample) == before


@pytest.mark.parametrize("statement", ["DELETE FROM ledger_info", "INSERT INTO ledger_info SELECT * FROM ledger_info"])
def test_not_exactly_one_row_in_ledger_info(sample: Path, stranger: Stranger, statement: str) -> None:
    stranger.edit(sample, statement)
    with pytest.raises(NucleusError):
        open_ledger(sample).close()


def test_edited_creation_time_disagrees_with_the_anchor(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "UPDATE ledger_info SET created_at = created_at - 1000")
    with pytest.raises(IntegrityError) as caught:
        open_ledger(sample).close()
    assert {kind for kind, _ in faults(caught.value.report)} == {"head_mismatch"}


def test_faults_of_many_rows_are_all_counted(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "UPDATE entries SET timestamp = timestamp + 1")
    found = reported(sample)
    assert {seq for kind, seq in found if kind == WRONG} == set(range(samples.LENGTH))
