"""What the golden vectors are made from: documents, numbers, and the records of two ledgers."""

import math
import struct
from dataclasses import dataclass
from typing import Any

from tests.reference.building import append, erase, redaction_record
from tests.reference.canonical import MAX_DEPTH, MAX_SAFE_INTEGER
from tests.reference.chain import Entry, Record

GOLDEN_LEDGER_ID = "golden-ledger-\u00e9-\U0001f512"
SMALL_LEDGER_ID = "small-ledger"

_WRITER = {"recorded_at": 1_795_132_800_000, "requester_oid": "oid:onoal:user:alice"}
_NOON = 1_795_176_000_000

# JSON texts whose canonical form exercises one rule each.
DOCUMENTS = {
    "null": "null",
    "true": " true ",
    "false": "\t\r\nfalse\n",
    "string": '"text"',
    "empty object": "{ }",
    "empty array": "[ ]",
    "nested empties": '{"b": [[], {}, [{}], ""], "a": {"": {}}}',
    "arrays keep their order": '[56, {"d": true, "10": null, "1": []}, 3, "2", 1]',
    "keys that look like numbers": '{"10": 1, "9": 2, "1": 3, "01": 4, "-1": 5, "1.5": 6, "": 7, " ": 8}',
    "upper case before lower case": '{"b": 1, "a": 2, "B": 3, "A": 4, "_": 5, "Aa": 6, "AA": 7}',
    "prefixes sort first": '{"abc": 1, "ab": 2, "a": 3, "": 4, "abd": 5}',
    "order ignores locale": '{"p\\u00eache": 1, "peach": 2, "p\\u00e9ch\\u00e9": 3, "sin": 4, "\\u00e9": 5, "z": 6}',
    "order by UTF-16 code units": (
        '{"\\uffff": 1, "\\ue000": 2, "\\ud7ff": 3, "\\ud800\\udc00": 4, "\\udbff\\udfff": 5, "\\ud83d\\ude00": 6,'
        ' "\\ufb33": 7, "\\uff21": 8, "\\ud83d\\ude00a": 9}'
    ),
    "order of control characters": '{"\\u0001": 1, "\\u0000": 2, "\\n": 3, "\\t": 4, " ": 5, "\\u007f": 6}',
    "no normalisation": '{"A\\u030a": "A\\u030a", "\\u00c5": "\\u00c5", "\\u212b": "\\u212b"}',
    "every control character": '"' + "".join(f"\\u{code:04X}" for code in range(0x20)) + '"',
    "short escapes": '"\\b\\t\\n\\f\\r\\"\\\\\\/"',
    "characters written as themselves": '"\\u007f\\u0080\\u00a0\\u2028\\u2029\\ufeff\\ufffd\\uffff</script>&\\u0027"',
    "surrogate pairs": '"\\ud800\\udc00 \\uD83D\\uDE00 \\udbff\\udfff"',
    "escaped and raw are the same": '["\\u20ac", "\u20ac", "\\ud83d\\ude00", "\U0001f600", "\\u0041", "A"]',
    "keys of a well-known JSON library": (
        '{"$serde_json::private::RawValue": "[1,2]", "n": {"$serde_json::private::Number": "1e5"}}'
    ),
    "deepest nesting": "[" * MAX_DEPTH + "]" * MAX_DEPTH,
    "deepest nesting around a number": '{"a":[' * (MAX_DEPTH // 2) + "1.0" + "]}" * (MAX_DEPTH // 2),
    "largest integers": f"[{MAX_SAFE_INTEGER}, {-MAX_SAFE_INTEGER}, 0, -0, -1]",
}

# JSON number literals: how they are read (correctly rounded) as much as how they are written.
_LITERALS = """
    0 -0 0.0 -0.0 0e0 0E+5 0e-5 0e999999999 -0e-999999999 1 -1 10 1.0 1.50 1e0 1E5 1e+5 1e05 1e-05 100e-2 0.1e1
    9007199254740991 -9007199254740991 9007199254740991.0 9007199254740992.0 9007199254740993.0 9.007199254740993e15
    1e20 1e21 1.0E+2 123456789012345680000.0 999999999999999999999.0 1000000000000000000000.0 0.000001 0.0000001
    333333333.33333329 0.1 0.2 0.30000000000000004 0.3 1e23 9.5367431640625e-7 4.35 0.00012345 12345.678e-3
    5e-324 3e-324 2.5e-324 2.4e-324 1e-400 -1e-400 1e-999999999 2.2250738585072011e-308 2.2250738585072012e-308
    2.2250738585072014e-308 6.631236846766476e-316 1.7976931348623157e308 1.7976931348623158e308
    179769313486231580793e288 1.00000000000000011102230246251565404236316680908203125
    1.00000000000000011102230246251565404236316680908203124 1.00000000000000011102230246251565404236316680908203126
    7.2057594037927933e16 9007199254740993e0 0.500000000000000166533453693773481063544750213623046875
    8.98846567431158e307 4.4501477170144023e-308 6.9294956446009195e15 3.518437208883201171875e13 62.5364939768271845828
"""


def literals() -> list[str]:
    """Return number literals as JSON texts write them."""
    return _LITERALS.split()


def doubles() -> list[float]:
    """Return doubles at every edge of the number format: exponents where the layout changes, and their neighbours."""
    decimal_exponents = [*range(-320, -30, 10), *range(-30, 31), *range(40, 309, 10), 308]
    binary_exponents = [-1074, -1073, -1023, -1022, -1021, *range(-30, 80), 1022, 1023]
    bases = [float(f"1e{exponent}") for exponent in decimal_exponents]
    bases += [math.ldexp(1.0, exponent) for exponent in binary_exponents]
    bases += [123.456, 0.1, 1 / 3, 2 / 3, 4.35, 1.7976931348623157e308, 333333333.33333329, 1e21 / 3, 1e-6 / 3]
    bases += [float(digits) for digits in ("12345678901234567", "1234567890123456789", "123456789012345678901")]
    near = {x for base in bases for x in (math.nextafter(base, 0), base, math.nextafter(base, math.inf))}
    return [*sorted(x for x in near if math.isfinite(x)), -0.0, -1.0, -1.5, -1e21, -1e-7, -5e-324, -1e20]


def bits(value: float) -> str:
    """Return the IEEE 754 representation of a double, 16 hex digits."""
    return struct.pack(">d", value).hex()


@dataclass(frozen=True)
class GoldenEntry:
    """One record of a golden ledger, the fixed salt it is stored with, and what becomes of it."""

    name: str
    record: Record
    salt: bytes
    redacted: bool = False


def _record(id: str, payload: object, stream: str = "notes", timestamp: int = _NOON, meta: object = None) -> Record:
    record = {"stream": stream, "id": id, "payload": payload, "timestamp": timestamp}
    return record if meta is None else record | {"meta": meta}


def _nested(depth: int) -> Any:
    value: Any = 1.0
    for level in range(depth):
        value = {"k": value} if level % 2 else [value]
    return value


def _golden_records() -> list[tuple[str, Record]]:
    keys = ["\uffff", "\ue000", "\ud7ff", "\U00010000", "\U0010ffff", "\U0001f600", "\ufb33", "\x00", "\x7f", "", "1"]
    escapes = "".join(map(chr, range(0x21))) + '"\\/\x7f\x80\u2028\u2029\ufeff\uffff\U0010ffffA\u030a'
    integers = [MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER, 0, -0.0, -1, 2**31, 2**32, 10**15]
    version = {"title": "first", "tags": ["a", "b"]}
    return [
        ("smallest record", _record("r", {}, stream="s", timestamp=1)),
        ("empty array, latest timestamp", _record("empty", [], timestamp=MAX_SAFE_INTEGER)),
        (
            "empty containers and literals",
            _record("nested", {"z": [[], {}, [{}]], "a": {"": None}, "t": [True, False]}),
        ),
        ("key order", _record("keys", {key: number for number, key in enumerate(keys)})),
        ("escapes", _record("escapes", {"text": escapes, escapes: "key"})),
        ("doubles", _record("doubles", doubles()[::7])),
        ("doubles that print as integers", _record("whole", [5.0, 1e20, 2.0**53, -(2.0**60), 123456789012345680000.0])),
        ("integers", _record("integers", {"n": integers})),
        ("deepest payload", _record("deep", _nested(MAX_DEPTH))),
        ("meta", _record("meta", {"n": 1}, meta=_WRITER | {"note": {"z": [1.0], "\U0001f600": None, "\ufb33": "\n"}})),
        ("empty meta", _record("empty-meta", {"n": 1}, meta={})),
        ("deepest meta", _record("deep-meta", {"n": 1}, meta={"m": _nested(MAX_DEPTH - 1)})),
        ("longest id, ASCII", _record("i" * 1024, {"n": 1})),
        ("longest id and stream, 4 bytes a character", _record("\U0001f600" * 256, {"n": 1}, stream="\u20ac" * 85)),
        ("id and stream with escapes", _record('line\nfeed "quoted" \\', {"n": 1}, stream="tab\there")),
        ("first version of an id", _record("versioned", version)),
        (
            "second version of an id, earlier timestamp",
            _record("versioned", version | {"title": "2"}, timestamp=_NOON - 1),
        ),
        ("a record repeated", _record("versioned", version)),
        ("array payload", _record("array", [{"b": 1, "a": 2}, [3, [4]], "five", None], meta=_WRITER)),
        ("erased", _record("person", {"name": "Erika Mustermann", "born": 1964}, stream="persons", meta=_WRITER)),
        ("erased array without meta", _record("list", ["secret", 7])),
        ("large payload", _record("large", {"text": "0123456789abcde\u00e9" * 1024, "n": [i * i for i in range(500)]})),
        ("keys of a well-known JSON library", _record("magic", {"$serde_json::private::Number": "1e5"})),
    ]


def golden_entries() -> list[GoldenEntry]:
    """Return the content of the ledger with every edge case, without its redaction records."""
    salts = [bytes((31 * i + j * j) % 256 for j in range(16)) for i in range(len(_golden_records()))]
    salts[0], salts[1] = b"\x00" * 16, b"\xff" * 16
    named = zip(_golden_records(), salts, strict=True)
    return [GoldenEntry(name, record, salt, name.startswith("erased")) for (name, record), salt in named]


def small_entries() -> list[GoldenEntry]:
    """Return the content of the ledger that is tampered with."""
    records = [
        ("object", _record("r-1", {"n": 1, "s": "text"}, meta=_WRITER)),
        ("array", _record("r-2", [1, 2.5, None], timestamp=1)),
        ("erased", _record("r-3", {"name": "Erika Mustermann"}, meta=_WRITER)),
        ("no meta", _record("r-1", {"n": 2}, stream="other")),
    ]
    return [
        GoldenEntry(name, record, bytes(range(i, i + 16)), name.startswith("erased"))
        for i, (name, record) in enumerate(records)
    ]


def build(ledger_id: str, content: list[GoldenEntry]) -> list[Entry]:
    """Return a ledger's entries: the content, the redaction records behind it, and the erased entries erased."""
    entries: list[Entry] = []
    for golden in content:
        append(entries, ledger_id, golden.record, golden.salt)
    for seq, golden in enumerate(content):
        if golden.redacted:
            record = redaction_record(entries[seq], f"request {seq}", _NOON + seq, _WRITER)
            append(entries, ledger_id, record, bytes(range(100, 116)))
            entries[seq] = erase(entries[seq])
    return entries
