"""Chain entries: the golden ledger, reading and writing of export lines, and that they are values."""

import copy
import json
import pickle
from typing import Any

import pytest
from tests.reference import golden_inputs
from tests.reference.building import line
from tests.reference.reading import parse
from tests.reference.vectors import load

from nucleus._core import ChainEntry, Record, canonicalize_json
from nucleus.errors import InvalidRecordError

_LEDGER = load("ledger.json")
_ROWS = list(enumerate(_LEDGER["entries"]))


@pytest.mark.parametrize(("seq", "row"), _ROWS, ids=lambda value: str(value["name"]) if isinstance(value, dict) else "")
def test_golden_entries_are_read(seq: int, row: dict[str, Any]) -> None:
    entry = ChainEntry.from_json(row["line"])
    recorded = Record.from_json(row["record"])
    assert (entry.seq, entry.format) == (seq, 1)
    assert (entry.hash, entry.payload_hash) == (row["hash"], row["payload_hash"])
    assert entry.prev_hash == (None if seq == 0 else row["prev"])
    assert entry.redacted is row["redacted"]
    assert (entry.record.id, entry.record.stream) == (recorded.id, recorded.stream)
    assert (entry.record.timestamp, entry.record.meta) == (recorded.timestamp, recorded.meta)
    if row["redacted"]:
        assert (entry.salt, entry.record.payload) == (None, None)
    else:
        assert entry.salt == bytes.fromhex(row["salt"])
        assert entry.record == recorded


@pytest.mark.parametrize("row", _LEDGER["entries"], ids=lambda row: str(row["name"]))
def test_golden_entries_are_written_as_they_were_read(row: dict[str, Any]) -> None:
    assert ChainEntry.from_json(row["line"]).to_json() == row["line"]
    assert ChainEntry.from_json(row["line"].encode()).to_json() == row["line"]


@pytest.mark.parametrize("row", _LEDGER["entries"], ids=lambda row: str(row["name"]))
def test_golden_payloads_are_canonicalised(row: dict[str, Any]) -> None:
    payload_text = json.dumps(json.loads(row["record"])["payload"])
    assert canonicalize_json(payload_text).decode() == row["payload"]


def test_the_reader_keeps_the_types_of_numbers() -> None:
    for row in _LEDGER["entries"]:
        if not row["redacted"]:
            payload = ChainEntry.from_json(row["line"]).record.payload
            assert json.dumps(payload, sort_keys=True) == json.dumps(parse(row["payload"], stored=True), sort_keys=True)


def _small_chain() -> list[dict[str, Any]]:
    return golden_inputs.build(golden_inputs.SMALL_LEDGER_ID, golden_inputs.small_entries())


@pytest.mark.parametrize(
    "missing", ["format", "hash", "payload_hash", "prev_hash", "record", "redacted", "salt", "seq"]
)
def test_lines_with_a_missing_field_are_refused(missing: str) -> None:
    fields = {key: value for key, value in _small_chain()[1].items() if key != missing}
    with pytest.raises(InvalidRecordError, match=rf"\b{missing}\b"):
        ChainEntry.from_json(line(fields))


@pytest.mark.parametrize("missing", ["id", "payload", "stream", "timestamp"])
def test_lines_with_a_missing_record_field_are_refused(missing: str) -> None:
    entry = _small_chain()[1]
    record = {key: value for key, value in entry["record"].items() if key != missing}
    with pytest.raises(InvalidRecordError, match=rf"\b{missing}\b"):
        ChainEntry.from_json(line(entry | {"record": record}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seq", "1"),
        ("seq", 1.5),
        ("seq", None),
        ("seq", True),
        ("format", "1"),
        ("format", None),
        ("hash", None),
        ("hash", 1),
        ("prev_hash", 1),
        ("payload_hash", None),
        ("redacted", None),
        ("redacted", 0),
        ("redacted", "false"),
        ("salt", 1),
        ("salt", "zz" * 16),
        ("record", None),
        ("record", []),
        ("record", "r"),
    ],
)
def test_lines_with_a_field_of_another_type_are_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidRecordError, match=rf"\b{field}\b"):
        ChainEntry.from_json(line(_small_chain()[1] | {field: value}))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "1", '"x"', "not json", "\ufeff{}"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidRecordError):
        ChainEntry.from_json(text)


def test_lines_with_duplicate_keys_are_refused() -> None:
    text = line(_small_chain()[1])
    for original, doubled in ('"seq":1', '"seq":1,"seq":1'), ('"id":"r-2"', '"id":"r-2","id":"r-2"'):
        assert original in text
        with pytest.raises(InvalidRecordError):
            ChainEntry.from_json(text.replace(original, doubled))


def test_equality_is_of_every_field() -> None:
    lines = list(dict.fromkeys([row["line"] for row in _LEDGER["entries"]] + [line(entry) for entry in _small_chain()]))
    entries = [ChainEntry.from_json(text) for text in lines]
    again = [ChainEntry.from_json(text) for text in lines]
    assert entries == again
    assert [hash(entry) for entry in entries] == [hash(entry) for entry in again]
    assert len(set(entries + again)) == len(entries)
    assert all(left != right for i, left in enumerate(entries) for right in entries[:i])
    assert entries[0].__eq__("entry") is NotImplemented


def test_entries_that_differ_in_one_field_differ() -> None:
    entry = _small_chain()[1]
    original = ChainEntry.from_json(line(entry))
    changes = {"hash": "0" * 64, "prev_hash": "1" * 64, "payload_hash": "2" * 64, "salt": "3" * 32, "seq": 7}
    for field, value in changes.items():
        assert ChainEntry.from_json(line(entry | {field: value})) != original


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(protocol: int) -> None:
    for row in _LEDGER["entries"]:
        entry = ChainEntry.from_json(row["line"])
        again = pickle.loads(pickle.dumps(entry, protocol))
        assert type(again) is ChainEntry
        assert again == entry
        assert again.to_json() == row["line"]


def test_copies_are_equal() -> None:
    entry = ChainEntry.from_json(_LEDGER["entries"][9]["line"])
    assert copy.copy(entry) == copy.deepcopy(entry) == entry


def test_repr_names_the_entry() -> None:
    row = _LEDGER["entries"][9]
    text = repr(ChainEntry.from_json(row["line"]))
    assert text.startswith("ChainEntry(")
    assert "9" in text
    assert row["hash"][:8] in text


@pytest.mark.parametrize(
    "field", ["seq", "format", "hash", "prev_hash", "salt", "payload_hash", "redacted", "record", "anything_else"]
)
def test_entries_are_immutable(field: str) -> None:
    entry = ChainEntry.from_json(_LEDGER["entries"][9]["line"])
    with pytest.raises((AttributeError, TypeError)):
        setattr(entry, field, getattr(entry, field, 1))
    with pytest.raises((AttributeError, TypeError)):
        delattr(entry, field)
    entry.record.payload["n"] = 2
    assert entry.to_json() == _LEDGER["entries"][9]["line"]


def test_entries_come_only_from_a_ledger_or_a_line() -> None:
    with pytest.raises(TypeError):
        ChainEntry()
    with pytest.raises(TypeError):
        type("Sub", (ChainEntry,), {})
