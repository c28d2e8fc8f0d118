"""Rows rewritten below an open ledger, with hashes that fit: what is read alone, or decides, finds them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reference.canonical import canonicalize
from tests.reference.chain import payload_hash, recompute_hash
from tests.storage.chains import stored_entries
from tests.storage.ledgers import ALICE, LEDGER_ID, note
from tests.storage.stranger import Stranger, literal

from nucleus import (
    IntegrityError,
    Ledger,
    ModuleConfig,
    QueryFilters,
    RequestContext,
    create_ledger,
    sqlite_storage,
)

BOB = RequestContext.local("oid:onoal:user:bob")
MALLORY = RequestContext.local("oid:onoal:user:mallory")


@pytest.fixture
def opened(tmp_path: Path) -> Ledger:
    """A ledger with a car of alice's at seq 0 and notes behind it."""
    ledger = create_ledger(
        LEDGER_ID, storage=sqlite_storage(tmp_path / "ledger.db"), modules=[ModuleConfig("asset", "1.0.0")]
    )
    ledger.modules.get("asset").register("car-1", owner_oid=ALICE.oid, payload={"seats": 4}, context=ALICE)
    for number in range(1, 6):
        ledger.append(note(number), context=ALICE)
    return ledger


def _forge(ledger: Ledger, stranger: Stranger, seq: int, **changes: object) -> None:
    """Rewrite the payload of one entry, with commitment and hash made right, but not the link of the next one."""
    path = Path(str(ledger.path))
    entry = stored_entries(stranger, path)[seq]
    entry["record"]["payload"] |= changes
    entry["payload_hash"] = payload_hash(bytes.fromhex(entry["salt"]), entry["record"]["payload"])
    forged = recompute_hash(entry, LEDGER_ID)
    payload = canonicalize(entry["record"]["payload"]).decode()
    stranger.edit(path, f"UPDATE entries SET payload = {literal(payload)}, hash = x'{forged}' WHERE seq = {seq}")


READS: dict[str, Callable[[Ledger, str], object]] = {
    "get by the hash of then": lambda ledger, known: ledger.get(known, context=ALICE),
    "get_by_id": lambda ledger, known: ledger.get_by_id("r-2", context=ALICE),
    "entries": lambda ledger, known: list(ledger.entries(context=ALICE)),
    "verify": lambda ledger, known: _raise_if_invalid(ledger),
}


def _raise_if_invalid(ledger: Ledger) -> None:
    report = ledger.verify()
    if not report.valid:
        raise IntegrityError("not valid", report=report)


@pytest.mark.parametrize("read", READS)
def test_rewritten_entry_is_not_handed_out(opened: Ledger, stranger: Stranger, read: str) -> None:
    with opened as ledger:
        known = ledger.get_by_id("r-2", context=ALICE)
        assert known is not None
        _forge(ledger, stranger, 2, n=1_000_000)
        with pytest.raises(IntegrityError):
            READS[read](ledger, known.hash)


def test_rewritten_owner_moves_nothing(opened: Ledger, stranger: Stranger) -> None:
    with opened as ledger:
        assets = ledger.modules.get("asset")
        _forge(ledger, stranger, 0, owner_oid=BOB.oid)
        for requester in (BOB, ALICE):
            with pytest.raises(IntegrityError):
                assets.transfer("car-1", to_oid=MALLORY.oid, context=requester)
        assert len(ledger) == 6


@pytest.mark.parametrize("seq", [0, 3])
def test_entry_that_is_gone_is_no_answer_of_none(opened: Ledger, stranger: Stranger, seq: int) -> None:
    """Seqs have no gaps: a look-up that leads below the head and finds nothing there has found a fault."""
    with opened as ledger:
        record_id = ("car-1", "r-1", "r-2", "r-3")[seq]
        known = ledger.get_by_id(record_id, context=ALICE)
        assert known is not None
        stranger.edit(Path(str(ledger.path)), f"DELETE FROM entries WHERE seq = {seq}")
        for read in (
            lambda: ledger.get(known.hash, context=ALICE),
            lambda: ledger.get_by_id(record_id, context=ALICE),
            lambda: ledger.history(record_id, context=ALICE),
            lambda: ledger.query(QueryFilters(id=record_id), context=ALICE),
            lambda: list(ledger.entries(context=ALICE)),
            lambda: list(ledger.entries(context=ALICE, start_seq=seq, end_seq=seq + 1)),
        ):
            with pytest.raises(IntegrityError):
                read()
