"""Records: bounds of their fields, reading and writing, and that they are values."""

import copy
import pickle
import time
from typing import Any

import pytest
from tests.reference.vectors import load

from nucleus._core import Record
from nucleus.errors import InvalidRecordError

_LARGEST = 2**53 - 1
_FIELDS: dict[str, Any] = {"id": "r-1", "stream": "notes", "timestamp": 1, "payload": {"n": 1}, "meta": {"who": "me"}}


def _record(**fields: Any) -> Record:
    return Record(**(_FIELDS | fields))


def test_fields() -> None:
    record = Record("r-1", "notes", {"b": [1.0, None], "a": "x"}, 1_700_000_000_000, {"who": "me"})
    assert (record.id, record.stream, record.timestamp) == ("r-1", "notes", 1_700_000_000_000)
    assert record.payload == {"a": "x", "b": [1, None]}
    assert record.meta == {"who": "me"}
    assert record.to_dict() == {
        "id": "r-1",
        "stream": "notes",
        "timestamp": 1_700_000_000_000,
        "payload": {"a": "x", "b": [1, None]},
        "meta": {"who": "me"},
    }


def test_absent_meta_is_absent() -> None:
    record = Record("r", "s", [], 1)
    assert record.meta is None
    assert record.to_dict() == {"id": "r", "stream": "s", "timestamp": 1, "payload": []}


def test_timestamp_defaults_to_now() -> None:
    before = time.time_ns() // 1_000_000
    records = [Record("r", "s", {}), Record.from_dict({"id": "r", "stream": "s", "payload": {}})]
    records.append(Record.from_json('{"id": "r", "stream": "s", "payload": {}}'))
    after = time.time_ns() // 1_000_000
    for record in records:
        assert before <= record.timestamp <= after


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "i"),
        ("id", "i" * 1024),
        ("id", "\U0001f600" * 256),
        ("id", " "),
        ("stream", "s"),
        ("stream", "s" * 255),
        ("stream", "\u20ac" * 85),
        ("timestamp", 1),
        ("timestamp", _LARGEST),
        ("payload", {}),
        ("payload", []),
        ("payload", {"a": {"b": [{}]}}),
        ("meta", {}),
        ("meta", {"a": {"b": [1]}}),
    ],
)
def test_bounds_are_inclusive(field: str, value: Any) -> None:
    assert getattr(_record(**{field: value}), field) == value
    assert getattr(Record.from_dict(_FIELDS | {field: value}), field) == value


_OUT_OF_BOUNDS: list[tuple[str, Any]] = [
    ("id", ""),
    ("id", "i" * 1025),
    ("id", "\u00e9" * 513),
    ("id", "\U0001f600" * 257),
    ("id", "\ud800"),
    ("stream", ""),
    ("stream", "s" * 256),
    ("stream", "\u20ac" * 86),
    ("stream", "\udfff"),
    ("timestamp", 0),
    ("timestamp", -1),
    ("timestamp", 2**53),
    ("timestamp", 2**63),
    ("timestamp", 2**64),
    ("timestamp", 10**30),
    ("timestamp", -(10**30)),
    ("payload", None),
    ("payload", 1),
    ("payload", 1.5),
    ("payload", True),
    ("payload", "text"),
    ("payload", b"bytes"),
    ("payload", {1, 2}),
    ("meta", []),
    ("meta", ["a"]),
    ("meta", "text"),
    ("meta", 1),
    ("meta", True),
]

_OF_ANOTHER_TYPE: list[tuple[str, Any]] = [
    ("id", None),
    ("id", 1),
    ("id", b"r"),
    ("stream", None),
    ("stream", 1),
    ("timestamp", True),
    ("timestamp", False),
    ("timestamp", 1.0),
    ("timestamp", 1.5),
    ("timestamp", "1"),
]


@pytest.mark.parametrize(("field", "value"), _OUT_OF_BOUNDS, ids=lambda value: ascii(value)[:24])
def test_out_of_bounds_is_refused_by_the_constructor(field: str, value: Any) -> None:
    with pytest.raises(InvalidRecordError, match=rf"\b{field}\b"):
        _record(**{field: value})


@pytest.mark.parametrize(("field", "value"), _OF_ANOTHER_TYPE, ids=ascii)
def test_another_type_is_refused_by_the_constructor(field: str, value: Any) -> None:
    with pytest.raises((InvalidRecordError, TypeError), match=rf"\b{field}\b"):
        _record(**{field: value})


@pytest.mark.parametrize(("field", "value"), _OUT_OF_BOUNDS + _OF_ANOTHER_TYPE, ids=lambda value: ascii(value)[:24])
def test_out_of_bounds_and_other_types_are_refused_by_from_dict(field: str, value: Any) -> None:
    with pytest.raises(InvalidRecordError, match=rf"\b{field}\b"):
        Record.from_dict(_FIELDS | {field: value})


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("id", '""'),
        ("id", "1"),
        ("id", "null"),
        ("id", '"\\ud800"'),
        ("stream", '""'),
        ("stream", "[]"),
        ("timestamp", "0"),
        ("timestamp", "-1"),
        ("timestamp", "1.5"),
        ("timestamp", "true"),
        ("timestamp", '"1"'),
        ("timestamp", "9007199254740992"),
        ("timestamp", "1e400"),
        ("payload", "null"),
        ("payload", "1"),
        ("payload", '"text"'),
        ("meta", "[]"),
        ("meta", "1"),
    ],
)
def test_out_of_bounds_is_refused_by_from_json(field: str, text: str) -> None:
    texts = {"id": '"r"', "stream": '"s"', "timestamp": "1", "payload": "{}"} | {field: text}
    with pytest.raises(InvalidRecordError, match=rf"\b{field}\b"):
        Record.from_json("{" + ",".join(f'"{key}":{value}' for key, value in texts.items()) + "}")


@pytest.mark.parametrize("missing", ["id", "stream", "payload"])
def test_missing_fields_are_refused_by_name(missing: str) -> None:
    fields = {"id": "r", "stream": "s", "payload": {}}
    del fields[missing]
    with pytest.raises(InvalidRecordError, match=rf"\b{missing}\b"):
        Record.from_dict(fields)
    present = {"id": '"r"', "stream": '"s"', "payload": "{}"}
    del present[missing]
    with pytest.raises(InvalidRecordError, match=rf"\b{missing}\b"):
        Record.from_json("{" + ",".join(f'"{key}":{value}' for key, value in present.items()) + "}")


@pytest.mark.parametrize("unknown", ["hash", "Id", "time", "payload "])
def test_unknown_fields_are_refused_by_name(unknown: str) -> None:
    with pytest.raises(InvalidRecordError, match=unknown):
        Record.from_dict(_FIELDS | {unknown: 1})
    with pytest.raises(InvalidRecordError, match=unknown):
        Record.from_json(f'{{"id": "r", "stream": "s", "payload": {{}}, "{unknown}": 1}}')


def test_keys_of_from_dict_must_be_strings() -> None:
    with pytest.raises(InvalidRecordError):
        Record.from_dict({"id": "r", "stream": "s", "payload": {}, 1: 2})  # type: ignore[dict-item]


@pytest.mark.parametrize("text", ["[]", "1", '"r"', "null", "{}", "", "{"])
def test_a_record_text_is_a_record_object(text: str) -> None:
    with pytest.raises(InvalidRecordError):
        Record.from_json(text)


def test_reading_and_writing_agree() -> None:
    for row in load("ledger.json")["entries"]:
        record = Record.from_json(row["record"])
        assert Record.from_json(row["record"].encode()) == record
        assert Record.from_dict(record.to_dict()) == record
        assert Record(**record.to_dict()) == record


def test_equality_is_of_content() -> None:
    record = _record(payload={"a": 1, "b": [2.0, -0.0]})
    same = _record(payload={"b": (2, 0), "a": 1.0})
    assert record == same
    assert hash(record) == hash(same)
    assert len({record, same}) == 1
    assert record.__eq__(1) is NotImplemented
    assert record != record.to_dict()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "r-2"),
        ("stream", "other"),
        ("timestamp", 2),
        ("payload", {"n": True}),
        ("payload", {"n": "1"}),
        ("payload", [1]),
        ("meta", None),
        ("meta", {}),
        ("meta", {"who": "you"}),
    ],
)
def test_every_field_tells_records_apart(field: str, value: Any) -> None:
    assert _record(**{field: value}) != _record()


def test_absent_and_empty_meta_differ() -> None:
    assert _record(meta=None) != _record(meta={})
    assert (_record(meta=None).meta, _record(meta={}).meta) == (None, {})


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(protocol: int) -> None:
    for row in load("ledger.json")["entries"]:
        record = Record.from_json(row["record"])
        again = pickle.loads(pickle.dumps(record, protocol))
        assert type(again) is Record
        assert again == record
        assert again.to_dict() == record.to_dict()


def test_copies_are_equal() -> None:
    record = _record()
    assert copy.copy(record) == copy.deepcopy(record) == record


def test_repr_names_the_record() -> None:
    assert repr(_record(id="invoice-7", stream="invoices")).startswith("Record(")
    assert "invoice-7" in repr(_record(id="invoice-7"))
    assert "invoices" in repr(_record(stream="invoices"))


@pytest.mark.parametrize("field", ["id", "stream", "timestamp", "payload", "meta", "anything_else"])
def test_records_are_immutable(field: str) -> None:
    record = _record()
    with pytest.raises((AttributeError, TypeError)):
        setattr(record, field, _FIELDS.get(field, 1))
    with pytest.raises((AttributeError, TypeError)):
        delattr(record, field)
    assert record == _record()


def test_records_keep_nothing_of_what_they_were_made_from() -> None:
    payload: dict[str, Any] = {"a": [1]}
    meta: dict[str, Any] = {"m": [1]}
    record = Record("r", "s", payload, 1, meta)
    payload["a"].append(2)
    meta["x"] = 1
    assert (record.payload, record.meta) == ({"a": [1]}, {"m": [1]})


def test_records_give_nothing_away_to_change() -> None:
    record = _record(payload={"a": [1]}, meta={"m": [1]})
    record.payload["a"].append(2)
    taken = record.meta
    assert taken is not None
    taken["x"] = 1
    record.to_dict()["payload"]["a"].append(3)
    assert (record.payload, record.meta) == ({"a": [1]}, {"m": [1]})


def test_whole_doubles_read_back_as_int_and_large_ones_as_float() -> None:
    payload = Record("r", "s", [5.0, -0.0, 1e20, 2.0**53, 2**53 - 1, 1.5, 1e21, True]).payload
    assert [(type(value), value) for value in payload] == [
        (int, 5),
        (int, 0),
        (float, 1e20),
        (float, 2.0**53),
        (int, 2**53 - 1),
        (float, 1.5),
        (float, 1e21),
        (bool, True),
    ]


def test_records_cannot_be_subclassed() -> None:
    with pytest.raises(TypeError):
        type("Sub", (Record,), {})
