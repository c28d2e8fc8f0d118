"""A third party checks any entry with nothing but the public packages rfc8785 and blake3."""

from typing import Any

import pytest
import rfc8785
from blake3 import blake3
from tests.reference.vectors import load

from nucleus._core import ChainEntry, Engine, Record


def _derive(purpose: str, data: bytes) -> bytes:
    return blake3(data, derive_key_context=f"nucleus-ledger 2026-11-20 {purpose} v1").digest()


def check(entry: ChainEntry, ledger_id: str) -> None:
    """Recompute the hash of an entry that still has its payload."""
    record = entry.record.to_dict()
    salted = (entry.salt or b"") + rfc8785.dumps(record.pop("payload"))
    commitment = _derive("payload", salted).hex()
    header = rfc8785.dumps(record | {"format": 1, "payload_hash": commitment, "seq": entry.seq})
    prev = bytes.fromhex(entry.prev_hash) if entry.prev_hash else _derive("ledger", ledger_id.encode())
    assert entry.hash == _derive("entry", prev + header).hex()


def test_golden_entries() -> None:
    ledger = load("ledger.json")
    rows = [row for row in ledger["entries"] if not row["redacted"]]
    assert len(rows) > 20
    for row in rows:
        check(ChainEntry.from_json(row["line"]), ledger["ledger_id"])


def test_entries_of_a_ledger() -> None:
    engine = Engine(id="third-party")
    payloads: list[Any] = [{"n": 1}, [1.5, "\U0001f600", None], {"\ufb33": {"\U0001f600": 1e21}}, {}]
    records = [Record(f"r-{i}", "notes", payload, meta={"i": i}) for i, payload in enumerate(payloads)]
    entries = [engine.append(record, "oid:onoal:user:alice") for record in records]
    for entry in entries:
        check(entry, "third-party")
    engine.close()
    assert [entry.seq for entry in entries] == [0, 1, 2, 3]
    assert len({entry.salt for entry in entries}) == len(entries)


def test_the_check_can_fail() -> None:
    ledger = load("ledger.json")
    entry = ChainEntry.from_json(ledger["entries"][0]["line"])
    with pytest.raises(AssertionError):
        check(entry, ledger["ledger_id"] + "x")
