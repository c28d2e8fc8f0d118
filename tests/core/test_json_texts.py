"""Which JSON texts are read, and how the others are refused: with the JSON path and the byte offset."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.core.messages import names_any_path, names_path
from tests.reference.canonical import canonicalize
from tests.reference.reading import parse
from tests.reference.vectors import load, refused_input

from nucleus._core import ChainEntry, Record, canonicalize_json
from nucleus.errors import InvalidRecordError

_REFUSED = load("refused.json")["refused"]


@pytest.mark.parametrize("row", _REFUSED, ids=lambda row: str(row["name"]))
def test_refused_texts(row: dict[str, Any]) -> None:
    text = refused_input(row)
    with pytest.raises(InvalidRecordError) as refusal:
        canonicalize_json(text)
    message = str(refusal.value)
    assert re.search(r"\bbyte\D*\d+", message)
    assert "$" in message
    assert not row["paths"] or names_any_path(message, row["paths"])
    if isinstance(text, str):
        with pytest.raises(InvalidRecordError):
            canonicalize_json(text.encode())


@pytest.mark.parametrize("row", _REFUSED, ids=lambda row: str(row["name"]))
def test_refused_texts_are_refused_as_records_and_entries(row: dict[str, Any]) -> None:
    text = refused_input(row)
    with pytest.raises(InvalidRecordError):
        Record.from_json(text)
    with pytest.raises(InvalidRecordError):
        ChainEntry.from_json(text)


@pytest.mark.parametrize(
    "row", [row for row in _REFUSED if row["paths"] and "text" in row], ids=lambda row: str(row["name"])
)
def test_refused_payload_texts_name_their_path(row: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecordError) as refusal:
        Record.from_json(f'{{"id": "r", "stream": "s", "timestamp": 1, "payload": {row["text"]}}}')
    assert names_any_path(str(refusal.value), [path.replace("$", "$.payload", 1) for path in row["paths"]])


@pytest.mark.parametrize("text", ['"\ud800"', '{"\udfff": 1}', "\ud83d\ude00"])
def test_lone_surrogates_in_the_text_itself_are_refused(text: str) -> None:
    for read in canonicalize_json, Record.from_json, ChainEntry.from_json:
        with pytest.raises(InvalidRecordError):
            read(text)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":', " [ "])
@pytest.mark.parametrize("closed", [True, False])
def test_deep_texts_do_not_crash(opening: str, *, closed: bool) -> None:
    closing = "".join({"[": "]", "{": "}"}.get(char, "") for char in reversed(opening))
    text = opening * 100_000 + ("1" + closing * 100_000 if closed else "")
    for read in canonicalize_json, Record.from_json, ChainEntry.from_json:
        with pytest.raises(InvalidRecordError):
            read(text)


def test_deep_text_within_a_record_does_not_crash() -> None:
    with pytest.raises(InvalidRecordError):
        Record.from_json('{"id": "r", "stream": "s", "payload": ' + "[" * 100_000 + "]" * 100_000 + "}")


def test_long_integers_are_refused_briefly() -> None:
    with pytest.raises(InvalidRecordError) as refusal:
        canonicalize_json('{"n": ' + "9" * 100_000 + "}")
    assert names_path(str(refusal.value), "$.n")
    assert len(str(refusal.value)) < 500


def test_byte_offsets_count_bytes() -> None:
    with pytest.raises(InvalidRecordError) as in_ascii:
        canonicalize_json('{"eee": 1e400}')
    with pytest.raises(InvalidRecordError) as beyond_ascii:
        canonicalize_json('{"\u20ac": 1e400}')
    offsets = [re.findall(r"\bbyte\D*(\d+)", str(refusal.value)) for refusal in (in_ascii, beyond_ascii)]
    assert offsets[0] == offsets[1] != []


def test_every_prefix_of_a_text_is_refused() -> None:
    text = '{"a":[1.5e3,"x\\u00e9\\n",true,null,{"b":{}}],"c":-2}'
    assert canonicalize_json(text) == '{"a":[1500,"x\u00e9\\n",true,null,{"b":{}}],"c":-2}'.encode()
    for length in range(len(text)):
        with pytest.raises(InvalidRecordError):
            canonicalize_json(text[:length])


def test_every_byte_replaced_is_read_or_refused_as_the_reference_does() -> None:
    text = b'{"a":[10,"x\\u00e9",true],"b":-2}'
    for position in range(len(text)):
        for byte in range(256):
            changed = text[:position] + bytes([byte]) + text[position + 1 :]
            expected = _canonical_or_none(_reference_form, changed)
            assert _canonical_or_none(canonicalize_json, changed) == expected, changed


def _reference_form(text: bytes) -> bytes:
    return canonicalize(parse(text))


def _canonical_or_none(read: Callable[[bytes], bytes], text: bytes) -> bytes | None:
    try:
        return read(text)
    except ValueError:
        return None


def test_white_space_of_json_is_accepted() -> None:
    assert canonicalize_json(' \t\n\r{ "a" :\r\n[ 1 ,\t2 ] } \n') == b'{"a":[1,2]}'
