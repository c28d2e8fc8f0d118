"""A chain rewritten with right hashes, cut short, or moved: found by what is kept outside the chain."""

import contextlib
import json
from pathlib import Path

import pytest
from tests.reference.chain import Entry, verify_chain
from tests.storage import samples
from tests.storage.chains import relink, rewrite_sql, stored_entries
from tests.storage.expectations import refused, reported
from tests.storage.ledgers import (
    ALICE,
    LEDGER_ID,
    anchor_of,
    faults,
    kept,
    note,
    open_ledger,
    read_all,
)
from tests.storage.stranger import Stranger

from nucleus import ConfigError, IntegrityError, NucleusError, StorageError

HEAD_SEQ = samples.LENGTH - 1
OTHER_ID = "another-ledger"


def _forge(entries: list[Entry], seq: int) -> list[Entry]:
    """Return the chain with another payload at ``seq`` and every hash behind it made right."""
    record = entries[seq]["record"] | {"payload": {"forged": True}}
    forged = relink([*entries[:seq], entries[seq] | {"record": record}, *entries[seq + 1 :]], LEDGER_ID)
    # The record of the erasure names a hash that the forger changed as well, where it is behind the forged entry.
    if seq <= samples.REDACTED:
        names = {"hash": forged[samples.REDACTED]["hash"]}
        redaction = forged[samples.REDACTION]
        changed = redaction["record"] | {"payload": redaction["record"]["payload"] | names}
        changed["id"] = f"redaction:{names['hash']}"
        forged[samples.REDACTION] = redaction | {"record": changed}
        forged = relink(forged, LEDGER_ID)
    assert verify_chain(forged, LEDGER_ID) == []
    return forged


@pytest.mark.parametrize("seq", [samples.FIRST, samples.MIDDLE, samples.NO_META, samples.LAST])
def test_rewritten_suffix(sample: Path, stranger: Stranger, seq: int) -> None:
    entries = stored_entries(stranger, sample)
    forged = _forge(entries, seq)
    stranger.edit(sample, *rewrite_sql(forged))
    head = entries[-1]["hash"]

    assert {kind for kind, _ in refused(sample)} == {"head_mismatch"}
    assert {kind for kind, _ in refused(sample, read_only=True)} == {"head_mismatch"}

    anchor_of(sample).unlink()
    assert refused(sample, expected_head=head, read_only=True) == {("head_mismatch", HEAD_SEQ)}
    assert refused(sample, expected_head=head) == {("head_mismatch", HEAD_SEQ)}
    with open_ledger(sample, read_only=True, accept_rollback=True) as ledger:
        assert ledger.verify().valid, "without anything kept elsewhere a rewritten chain is a chain"
        report = ledger.verify(expected_head=head, expected_length=samples.LENGTH)
    (error,) = report.errors
    assert (error.kind, error.seq) == ("head_mismatch", HEAD_SEQ)
    assert head in (error.expected or "")
    assert forged[-1]["hash"] in (error.actual or "")


@pytest.mark.parametrize("length", [1, 5, samples.LENGTH - 1])
def test_truncated_tail(sample: Path, stranger: Stranger, length: int) -> None:
    if length <= samples.REDACTION:
        # Cut before the record of it, an erasure is one that nobody recorded; this is about cuts that look right.
        entries = [entry for entry in stored_entries(stranger, sample) if not entry["redacted"]]
        stranger.edit(sample, *rewrite_sql(relink(entries, LEDGER_ID)))
    stranger.edit(sample, f"DELETE FROM entries WHERE seq >= {length}")

    assert {kind for kind, _ in refused(sample)} == {"head_mismatch"}
    assert {kind for kind, _ in refused(sample, read_only=True)} == {"head_mismatch"}

    anchor_of(sample).unlink()
    with open_ledger(sample, read_only=True, accept_rollback=True) as ledger:
        report = ledger.verify(expected_length=samples.LENGTH)
    assert faults(report) == {("head_mismatch", length - 1)}
    with pytest.raises(IntegrityError) as caught:
        open_ledger(sample, expected_length=samples.LENGTH).close()
    assert faults(caught.value.report) == {("head_mismatch", length - 1)}


def test_truncated_to_nothing(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "DELETE FROM entries")
    anchor_of(sample).unlink()
    with open_ledger(sample, read_only=True, accept_rollback=True) as ledger:
        assert faults(ledger.verify(expected_length=samples.LENGTH)) == {("head_mismatch", None)}
        assert faults(ledger.verify(expected_head="ab" * 32)) == {("head_mismatch", None)}


def test_longer_than_expected_is_a_mismatch_too(sample: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        open_ledger(sample, expected_length=samples.LENGTH - 1).close()
    assert faults(caught.value.report) == {("head_mismatch", HEAD_SEQ)}


def test_right_expectations_hold(sample: Path, stranger: Stranger) -> None:
    head = stored_entries(stranger, sample)[-1]["hash"]
    with open_ledger(sample, expected_head=head, expected_length=samples.LENGTH) as ledger:
        assert ledger.head() == (HEAD_SEQ, head)
        assert ledger.verify(expected_head=head, expected_length=samples.LENGTH).valid


def test_accepted_rollback_opens_and_stays_accepted(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, f"DELETE FROM entries WHERE seq > {samples.REDACTION}")
    refused(sample)
    with open_ledger(sample, accept_rollback=True) as ledger:
        assert len(ledger) == samples.REDACTION + 1
    with open_ledger(sample) as ledger:
        assert ledger.append(note(100), context=ALICE).seq == samples.REDACTION + 1


def test_accepting_a_rollback_does_not_accept_a_broken_chain(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, "DELETE FROM entries WHERE seq = 5")
    with pytest.raises(IntegrityError):
        open_ledger(sample, accept_rollback=True).close()
    # The refused open has not made the anchor forget.
    stranger.edit(sample, "DELETE FROM entries WHERE seq >= 5")
    assert "head_mismatch" in {kind for kind, _ in refused(sample)}


def test_older_copy_of_the_database(sample: Path) -> None:
    older = sample.read_bytes()
    with open_ledger(sample) as ledger:
        ledger.append(note(100), context=ALICE)
    sample.write_bytes(older)
    assert {kind for kind, _ in refused(sample)} == {"head_mismatch"}
    with open_ledger(sample, accept_rollback=True) as ledger:
        assert len(ledger) == samples.LENGTH


def test_older_copy_of_the_anchor_is_no_fault(sample: Path) -> None:
    older = anchor_of(sample).read_bytes()
    with open_ledger(sample) as ledger:
        ledger.append(note(100), context=ALICE)
    anchor_of(sample).write_bytes(older)
    with open_ledger(sample) as ledger:
        assert len(ledger) == samples.LENGTH + 1


def test_database_gone_but_not_its_anchor(sample: Path) -> None:
    sample.unlink()
    with pytest.raises(IntegrityError):
        open_ledger(sample).close()


def test_database_emptied_but_not_its_anchor(sample: Path) -> None:
    sample.write_bytes(b"")
    with pytest.raises(IntegrityError):
        open_ledger(sample).close()
    assert sample.read_bytes() == b""


def test_anchor_of_another_ledger(sample: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with open_ledger(other, id=OTHER_ID) as ledger:
        ledger.append(note(1), context=ALICE)
    anchor_of(sample).write_bytes(anchor_of(other).read_bytes())
    assert {kind for kind, _ in refused(sample)} == {"head_mismatch"}


def _anchor_edits(anchor: bytes) -> dict[str, bytes]:
    values = json.loads(anchor)
    moved_back = json.dumps(values | {"seq": 3}, separators=(",", ":"), sort_keys=True).encode()
    return {
        "moved back without its checksum": moved_back.ljust(1023) + b"\n",
        "empty": b"",
        "half": anchor[:512],
        "blank": b" " * 1023 + b"\n",
        "zeros": bytes(1024),
        "text": b"not an anchor\n",
        "longer": anchor + anchor,
        "huge": bytes(1 << 20),
        "invalid UTF-8": b"\xff" * 1024,
        "another JSON": b'{"seq":0}'.ljust(1023) + b"\n",
        "deep JSON": b"[" * 1023 + b"\n",
    }


@pytest.mark.parametrize("name", _anchor_edits(b"{}"))
def test_damaged_anchor(sample: Path, name: str) -> None:
    anchor = anchor_of(sample)
    anchor.write_bytes(_anchor_edits(anchor.read_bytes())[name])
    before = kept(sample)
    assert {kind for kind, _ in refused(sample)} == {"head_mismatch"}
    assert {kind for kind, _ in refused(sample, read_only=True)} == {"head_mismatch"}
    assert kept(sample) == before
    with open_ledger(sample, accept_rollback=True) as ledger:
        assert len(ledger) == samples.LENGTH
    with open_ledger(sample):
        assert json.loads(anchor.read_bytes())["seq"] == HEAD_SEQ


def test_every_bit_of_the_anchor(sample: Path) -> None:
    anchor = anchor_of(sample)
    good = anchor.read_bytes()
    significant = len(good.rstrip())
    for bit in range(0, len(good) * 8, 7):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        anchor.write_bytes(flipped)
        if bit // 8 < significant:
            assert {kind for kind, _ in refused(sample, read_only=True)} == {"head_mismatch"}, f"bit {bit}"
            continue
        # In the padding a flip may be refused or mean nothing.
        with contextlib.suppress(IntegrityError), open_ledger(sample, read_only=True) as ledger:
            assert len(ledger) == samples.LENGTH


def test_missing_anchor_is_made_again(sample: Path) -> None:
    anchor = anchor_of(sample)
    good = json.loads(anchor.read_bytes())
    anchor.unlink()
    with open_ledger(sample, read_only=True, accept_rollback=True) as ledger:
        assert len(ledger) == samples.LENGTH
    assert not anchor.exists()
    with open_ledger(sample, accept_rollback=True):
        pass
    assert json.loads(anchor.read_bytes()) == good


def test_anchor_is_a_directory(sample: Path) -> None:
    anchor_of(sample).unlink()
    anchor_of(sample).mkdir()
    with pytest.raises(NucleusError):
        open_ledger(sample).close()


def test_chain_moved_under_another_ledger_id(sample: Path, stranger: Stranger) -> None:
    stranger.edit(sample, f"UPDATE ledger_info SET id = '{OTHER_ID}'")
    with pytest.raises(ConfigError):
        open_ledger(sample).close()
    anchor_of(sample).unlink()
    for ledger_id in (OTHER_ID, None):
        with pytest.raises(IntegrityError) as caught:
            open_ledger(sample, id=ledger_id, accept_rollback=True).close()
        assert faults(caught.value.report) == {("hash_mismatch", 0)}
        assert reported(sample, id=ledger_id) == {("hash_mismatch", 0)}


def test_chain_copied_into_another_ledger(sample: Path, stranger: Stranger, tmp_path: Path) -> None:
    target = tmp_path / "target.db"
    open_ledger(target, id=OTHER_ID).close()
    stranger.edit(target, *rewrite_sql(stored_entries(stranger, sample)))
    with pytest.raises(IntegrityError) as caught:
        open_ledger(target, id=OTHER_ID).close()
    assert faults(caught.value.report) == {("hash_mismatch", 0)}


def test_another_id_is_refused_before_anything_is_touched(sample: Path) -> None:
    before = kept(sample)
    for read_only in (False, True):
        with pytest.raises(ConfigError):
            open_ledger(sample, id=OTHER_ID, read_only=read_only).close()
    assert kept(sample) == before


def test_entry_edited_under_an_open_ledger_is_not_handed_out(sample: Path, stranger: Stranger) -> None:
    with open_ledger(sample) as ledger:
        entry = ledger.get_by_id("r-6", context=ALICE)
        assert entry is not None
        stranger.edit(sample, "UPDATE entries SET payload = '{\"n\":7}' WHERE seq = 6")
        for read in (
            lambda: ledger.get(entry.hash, context=ALICE),
            lambda: ledger.get_by_id("r-6", context=ALICE),
            lambda: ledger.history("r-6", context=ALICE),
            lambda: read_all(ledger),
        ):
            with pytest.raises(IntegrityError) as caught:
                read()
            assert ("hash_mismatch", 6) in faults(caught.value.report)
        assert faults(ledger.verify()) == {("hash_mismatch", 6)}


def test_tail_deleted_under_an_open_ledger_is_found_at_the_next_open(sample: Path, stranger: Stranger) -> None:
    with open_ledger(sample):
        stranger.edit(sample, "DELETE FROM entries WHERE seq >= 9")
    assert "head_mismatch" in {kind for kind, _ in refused(sample)}


def test_tail_deleted_under_an_open_ledger_is_not_built_upon(sample: Path, stranger: Stranger) -> None:
    with open_ledger(sample) as ledger:
        ledger.append(note(100), context=ALICE)
        stranger.edit(sample, "DELETE FROM entries WHERE seq >= 9")
        with pytest.raises(StorageError):
            ledger.append(note(101), context=ALICE)
    assert "head_mismatch" in {kind for kind, _ in refused(sample)}
