"""Which Python objects have a canonical form, and how the others are refused: with the JSON path and a hint."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import re
import types
import uuid
from typing import Any, NamedTuple

import pytest
from tests.core.messages import names_any_path, names_path

from nucleus._core import Record, canonicalize
from nucleus.errors import InvalidRecordError

# A hint says what to pass instead; these are the words for it.
_HINTS = r"\b(str|string|text|list|dict|int|float|number|base64|hex|isoformat|convert|milliseconds)\b"


class _Color(enum.Enum):
    RED = "red"


class _Level(enum.IntEnum):
    HIGH = 3


class _Word(enum.StrEnum):
    YES = "yes"


class _Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class _Plain:
    x: int = 1


class _LyingInt(int):
    def __int__(self) -> int:
        return 7

    def __index__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "7"

    __str__ = __repr__


class _LyingFloat(float):
    def __float__(self) -> float:
        return 7.5

    def __repr__(self) -> str:
        return "7.5"


class _LyingStr(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "lie"

    __repr__ = __str__

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"lie"


class _LyingDict(dict[str, object]):
    def items(self) -> Any:
        return {"lie": 1}.items()

    def keys(self) -> Any:
        return {"lie": 1}.keys()

    def __iter__(self) -> Any:
        return iter(["lie"])

    def __len__(self) -> int:
        return 0


class _LyingList(list[object]):
    def __iter__(self) -> Any:
        return iter(["lie"])

    def __len__(self) -> int:
        return 0


class _LyingTuple(tuple[object, ...]):
    __slots__ = ()

    def __iter__(self) -> Any:
        return iter(["lie"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (_Level.HIGH, "3"),
        (_Word.YES, '"yes"'),
        (_Point(1, 2.0), "[1,2]"),
        ((1, (2, ())), "[1,[2,[]]]"),
        (collections.OrderedDict(b=1, a=2), '{"a":2,"b":1}'),
        (collections.defaultdict(list, {"a": [1]}), '{"a":[1]}'),
        (collections.Counter("aab"), '{"a":2,"b":1}'),
        (_LyingInt(41), "41"),
        (_LyingFloat(0.5), "0.5"),
        (_LyingStr("truth"), '"truth"'),
        (_LyingDict(truth=1), '{"truth":1}'),
        ({_LyingStr("truth"): 1}, '{"truth":1}'),
        (_LyingList(["truth"]), '["truth"]'),
        (_LyingTuple(["truth"]), '["truth"]'),
        ([True, 1, 1.0, False, 0, -0.0], "[true,1,1,false,0,0]"),
    ],
)
def test_subclasses_count_by_their_built_in_value(value: object, expected: str) -> None:
    assert canonicalize(value).decode() == expected


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        bytearray(b"bytes"),
        memoryview(b"bytes"),
        datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC),
        datetime.date(2026, 11, 20),
        datetime.timedelta(seconds=1),
        decimal.Decimal("1.5"),
        fractions.Fraction(1, 3),
        complex(1, 2),
        uuid.UUID(int=1),
        pathlib.PurePosixPath("/tmp/x"),
        {1, 2},
        frozenset({1}),
        range(3),
        (item for item in [1]),
        {"a": 1}.keys(),
        collections.deque([1]),
        collections.UserDict(a=1),
        types.MappingProxyType({"a": 1}),
        _Color.RED,
        _Plain(),
        object(),
        int,
        len,
        ...,
        NotImplemented,
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_are_refused_with_path_type_and_hint(value: object) -> None:
    with pytest.raises(InvalidRecordError) as refusal:
        canonicalize({"a": [0, {"weird key": value}]})
    message = str(refusal.value)
    assert names_path(message, '$.a[1]["weird key"]')
    assert type(value).__name__ in message
    assert re.search(_HINTS, message)


_UNWRITABLE = {
    "nan": math.nan,
    "infinity": math.inf,
    "negative infinity": -math.inf,
    "2^53": 2**53,
    "-2^53": -(2**53),
    "2^63": 2**63,
    "-2^63": -(2**63),
    "2^64": 2**64,
    "100,001 digits": 10**100_000,
    "minus 100,001 digits": -(10**100_000),
    "high surrogate": "\ud800",
    "low surrogate": "a\udfffb",
    "two halves of a pair": "\ud83d\ude00",
    "halves in the wrong order": "\ude00\ud83d",
}


@pytest.mark.parametrize("value", _UNWRITABLE.values(), ids=_UNWRITABLE)
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda value: value, "$"),
        (lambda value: [0, value], "$[1]"),
        (lambda value: {"a": [{}, [], (1, value)]}, "$.a[2][1]"),
        (lambda value: {"a": {"weird key": {"b": value}}}, '$.a["weird key"].b'),
        (lambda value: {'say "hi"': value}, '$["say \\"hi\\""]'),
        (lambda value: {"": value}, '$[""]'),
    ],
    ids=["root", "array", "nested array", "weird key", "quoted key", "empty key"],
)
def test_values_without_canonical_form_are_refused_with_their_path(value: object, wrap: Any, path: str) -> None:
    with pytest.raises(InvalidRecordError) as refusal:
        canonicalize(wrap(value))
    assert names_path(str(refusal.value), path)
    assert len(str(refusal.value)) < 1_000


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("payload", {"a": [1, 2, 3, {"weird key": math.nan}]}, '$.payload.a[3]["weird key"]'),
        ("payload", [0, {"b": b"x"}], "$.payload[1].b"),
        ("payload", {"b": {"c": "\ud800"}}, "$.payload.b.c"),
        ("payload", {"b": {"c": 2**53}}, "$.payload.b.c"),
        ("meta", {"b": {"c": math.inf}}, "$.meta.b.c"),
        ("meta", {"b": [{1, 2}]}, "$.meta.b[0]"),
    ],
)
def test_record_refusals_start_their_path_at_the_field(field: str, value: Any, path: str) -> None:
    fields: dict[str, Any] = {"id": "r", "stream": "s", "timestamp": 1, "payload": {}} | {field: value}
    with pytest.raises(InvalidRecordError) as refusal:
        Record(**fields)
    assert names_path(str(refusal.value), path)
    with pytest.raises(InvalidRecordError) as refusal:
        Record.from_dict(fields)
    assert names_path(str(refusal.value), path)


@pytest.mark.parametrize("key", [1, 1.5, None, True, b"k", ("k",), _Color.RED, "\ud800", "a\udfff"], ids=ascii)
def test_keys_that_are_not_strings_are_refused(key: object) -> None:
    with pytest.raises(InvalidRecordError) as refusal:
        canonicalize({"a": [{key: 1}]})
    # The fault is the key's: the path of the object that holds it, or that path and the key.
    assert re.search(r"(?<![\w$])\$\.a\[0\]", str(refusal.value))


def test_nesting_of_128_is_accepted_and_129_refused() -> None:
    arrays: Any = []
    objects: Any = {}
    for _ in range(127):
        arrays, objects = [arrays], {"k": objects}
    assert canonicalize(arrays) == b"[" * 128 + b"]" * 128
    assert canonicalize(objects) == b'{"k":' * 127 + b"{}" + b"}" * 127
    for too_deep, path in ([arrays], "$" + "[0]" * 128), ({"k": objects}, "$" + ".k" * 128):
        with pytest.raises(InvalidRecordError, match="128") as refusal:
            canonicalize(too_deep)
        assert names_any_path(str(refusal.value), [path])


def test_nesting_counts_from_the_payload_and_from_the_meta() -> None:
    deep: Any = 1
    for _ in range(127):
        deep = [deep]
    record = Record("r", "s", [deep], 1, {"m": deep})
    assert record.payload == [deep]
    assert record.meta == {"m": deep}
    text = f'{{"id":"r","stream":"s","payload":{canonicalize([deep]).decode()}}}'
    assert Record.from_json(text).payload == [deep]
    for fields in {"payload": [[deep]]}, {"payload": {}, "meta": {"m": [deep]}}:
        with pytest.raises(InvalidRecordError, match=r"\$\.(payload|meta)"):
            Record("r", "s", timestamp=1, **fields)


def test_deep_python_nesting_does_not_crash() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidRecordError, match="128"):
        canonicalize(deep)


def test_cycles_are_refused() -> None:
    array: list[object] = [1]
    array.append({"back": array})
    mapping: dict[str, object] = {}
    mapping["self"] = mapping
    for cycle in (array, mapping, [array], {"a": (mapping,)}):
        with pytest.raises(InvalidRecordError, match=r"(?i)cycl|circular|contains itself|128"):
            canonicalize(cycle)
    with pytest.raises(InvalidRecordError, match=r"\$\.payload"):
        Record("r", "s", mapping)


def test_shared_objects_are_not_cycles() -> None:
    shared = {"a": [1]}
    assert canonicalize([shared, shared, {"b": shared}]) == b'[{"a":[1]},{"a":[1]},{"b":{"a":[1]}}]'


def test_integers_of_a_hundred_thousand_digits_are_refused_without_their_digits() -> None:
    with pytest.raises(InvalidRecordError) as refusal:
        canonicalize({"n": 10**100_000})
    assert names_path(str(refusal.value), "$.n")
    assert len(str(refusal.value)) < 500


def test_a_long_refused_string_does_not_fill_the_message() -> None:
    with pytest.raises(InvalidRecordError) as refusal:
        canonicalize({"n": "x" * 1_000_000 + "\ud800"})
    assert names_path(str(refusal.value), "$.n")
    assert len(str(refusal.value)) < 1_000


def test_a_refusal_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"\$"):
        canonicalize(math.nan)
