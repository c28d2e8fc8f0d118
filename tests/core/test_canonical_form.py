"""The canonical form of JSON texts and Python objects: published examples, golden vectors, number edges, key order."""

import math
import random
import struct
from typing import Any

import pytest
from tests.reference import canonical as reference
from tests.reference.vectors import load

from nucleus._core import canonicalize, canonicalize_json
from nucleus.errors import InvalidRecordError

_PUBLISHED = load("rfc8785.json")
_DOCUMENTS = load("documents.json")["documents"]
_NUMBERS = load("numbers.json")


def _double(ieee754: str) -> float:
    value: float = struct.unpack(">d", bytes.fromhex(ieee754))[0]
    return value


@pytest.mark.parametrize("row", _PUBLISHED["documents"], ids=lambda row: str(row["name"]))
def test_published_documents(row: dict[str, Any]) -> None:
    assert canonicalize_json(row["input"]) == bytes.fromhex(row["utf8"])
    assert canonicalize_json(row["input"].encode()) == bytes.fromhex(row["utf8"])
    assert canonicalize_json(row["canonical"]) == bytes.fromhex(row["utf8"])


@pytest.mark.parametrize("row", _PUBLISHED["numbers"], ids=lambda row: str(row["ieee754"]))
def test_published_numbers(row: dict[str, Any]) -> None:
    value = _double(row["ieee754"])
    if row["canonical"] is None:
        with pytest.raises(InvalidRecordError, match=r"\$"):
            canonicalize(value)
    else:
        assert canonicalize(value).decode() == row["canonical"]
        assert canonicalize([value, {"n": value}]).decode() == f'[{row["canonical"]},{{"n":{row["canonical"]}}}]'


@pytest.mark.parametrize("row", _DOCUMENTS, ids=lambda row: str(row["name"]))
def test_golden_documents(row: dict[str, Any]) -> None:
    assert canonicalize_json(row["input"]).decode() == row["canonical"]
    assert canonicalize_json(row["input"].encode()).decode() == row["canonical"]
    assert canonicalize_json(row["canonical"]).decode() == row["canonical"]


def test_golden_doubles() -> None:
    written = {row["ieee754"]: canonicalize(_double(row["ieee754"])).decode() for row in _NUMBERS["doubles"]}
    assert written == {row["ieee754"]: row["canonical"] for row in _NUMBERS["doubles"]}


def test_golden_literals() -> None:
    written = {row["literal"]: canonicalize_json(row["literal"]).decode() for row in _NUMBERS["literals"]}
    assert written == {row["literal"]: row["canonical"] for row in _NUMBERS["literals"]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-0.0, "0"),
        (0, "0"),
        (5.0, "5"),
        (-1.5, "-1.5"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (1e21, "1e+21"),
        (math.nextafter(1e21, 0), "999999999999999900000"),
        (1e20, "100000000000000000000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (123e-8, "0.00000123"),
        (2.0**53, "9007199254740992"),
        (-(2.0**53), "-9007199254740992"),
        (2.0**64, "18446744073709552000"),
        (2**53 - 1, "9007199254740991"),
        (-(2**53 - 1), "-9007199254740991"),
        (333333333.33333329, "333333333.3333333"),
        (0.1 + 0.2, "0.30000000000000004"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
    ],
)
def test_scalar_edges(value: object, expected: str) -> None:
    assert canonicalize(value).decode() == expected


def test_any_double_is_written_as_ecmascript_writes_it() -> None:
    generator = random.Random(20261120)
    doubles = [_double(generator.randbytes(8).hex()) for _ in range(50_000)]
    doubles += [generator.uniform(-1, 1) * 10.0 ** generator.randint(-9, 24) for _ in range(50_000)]
    finite = list(filter(math.isfinite, doubles))
    assert canonicalize(finite).decode() == "[" + ",".join(map(reference.format_number, finite)) + "]"


def test_any_double_survives_its_text() -> None:
    generator = random.Random(20261121)
    doubles = [_double(generator.randbytes(8).hex()) for _ in range(50_000)]
    finite = list(filter(math.isfinite, doubles))
    text = "[" + ",".join(f"{value:.17e}" for value in finite) + "]"
    assert canonicalize_json(text) == canonicalize(finite)


def test_decimal_literals_of_many_digits_are_rounded_correctly() -> None:
    generator = random.Random(20261122)
    literals = [f"0.{generator.randrange(10**40):040d}e{generator.randint(-320, 300)}" for _ in range(5_000)]
    expected = "[" + ",".join(reference.format_number(float(literal)) for literal in literals) + "]"
    assert canonicalize_json(f"[{','.join(literals)}]").decode() == expected


def test_a_literal_of_a_hundred_thousand_digits_is_a_double() -> None:
    assert canonicalize_json("0." + "1" * 100_000) == b"0.1111111111111111"
    assert canonicalize_json("1" + "0" * 100_000 + "e-100000") == b"1"
    assert canonicalize_json("0." + "0" * 100_000 + "1") == b"0"


def test_keys_sort_by_utf16_code_units() -> None:
    ordered = ["", "A", "a", "b\U0001f600", "b\uff21", "\ud7ff", "\U00010000", "\U0010ffff", "\ue000", "\uffff"]
    expected = "{" + ",".join(f'"{key}":0' for key in ordered) + "}"
    assert canonicalize(dict.fromkeys(ordered[::-1], 0)).decode() == expected
    assert canonicalize(dict.fromkeys(sorted(ordered), 0)).decode() == expected


def test_keys_sort_at_every_level_and_arrays_never() -> None:
    value = {"b": [{"z": 2, "a": 1}, 0], "a": {"d": [], "c": {}}}
    assert canonicalize(value) == b'{"a":{"c":{},"d":[]},"b":[{"a":1,"z":2},0]}'


def test_strings_are_written_with_the_fewest_escapes() -> None:
    everything = "".join(map(chr, range(0x300))) + "\u2028\u2029\ud7ff\ue000\ufeff\uffff\U0001f600\U0010ffff"
    assert canonicalize(everything).decode() == reference.format_string(everything)
    assert canonicalize({everything: 1}).decode() == "{" + reference.format_string(everything) + ":1}"


def test_unicode_is_not_normalised() -> None:
    assert canonicalize(["\u00c5", "A\u030a"]) == b'["\xc3\x85","A\xcc\x8a"]'


def test_canonical_form_of_a_large_array() -> None:
    assert canonicalize(list(range(100_000))).decode() == "[" + ",".join(map(str, range(100_000))) + "]"


def test_canonical_text_of_a_double_beyond_the_safe_integers_is_an_integer_literal_and_refused() -> None:
    assert canonicalize_json("1e20") == b"100000000000000000000"
    with pytest.raises(InvalidRecordError, match=r"\$"):
        canonicalize_json(b"100000000000000000000")
