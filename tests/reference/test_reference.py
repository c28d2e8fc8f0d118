"""The reference agrees with the published examples, with independent packages, and with the vectors it wrote."""

import json
import math
import random
import struct
from typing import Any

import blake3
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import chain, golden_inputs, strategies, write_vectors
from tests.reference.building import line
from tests.reference.canonical import RefusedError, canonicalize, format_number
from tests.reference.reading import parse
from tests.reference.tampering import tamperings
from tests.reference.vectors import VECTORS, load, refused_input

_PUBLISHED = load("rfc8785.json")


@pytest.mark.parametrize("row", _PUBLISHED["documents"], ids=lambda row: str(row["name"]))
def test_published_documents(row: dict[str, Any]) -> None:
    assert canonicalize(parse(row["input"])) == row["canonical"].encode() == bytes.fromhex(row["utf8"])


@pytest.mark.parametrize("row", _PUBLISHED["numbers"], ids=lambda row: str(row["ieee754"]))
def test_published_numbers(row: dict[str, Any]) -> None:
    value = struct.unpack(">d", bytes.fromhex(row["ieee754"]))[0]
    if row["canonical"] is None:
        with pytest.raises(RefusedError):
            format_number(value)
    else:
        assert format_number(value) == row["canonical"]


def test_numbers_agree_with_rfc8785_package_for_any_bit_pattern() -> None:
    generator = random.Random(8785)
    doubles = [struct.unpack(">d", generator.randbytes(8))[0] for _ in range(20_000)]
    for value in filter(math.isfinite, doubles):
        assert format_number(value).encode() == rfc8785.dumps(value)


@settings(max_examples=1000, deadline=None)
@given(strategies.values)
def test_values_agree_with_rfc8785_package(value: Any) -> None:
    canonical = canonicalize(value)
    assert canonical == rfc8785.dumps(value)
    assert canonicalize(parse(canonical, stored=True)) == canonical


@settings(max_examples=300, deadline=None)
@given(strategies.records, strategies.salts, st.binary(min_size=32, max_size=32), st.integers(0, 2**53 - 1))
def test_hashes_agree_with_public_packages(record: dict[str, Any], salt: bytes, prev: bytes, seq: int) -> None:
    commitment = blake3.blake3(
        salt + rfc8785.dumps(record["payload"]),
        derive_key_context="nucleus-ledger 2026-11-20 payload v1",
    ).hexdigest()
    fields = {key: record[key] for key in record if key != "payload"}
    header = rfc8785.dumps(fields | {"format": 1, "payload_hash": commitment, "seq": seq})
    expected = blake3.blake3(prev + header, derive_key_context="nucleus-ledger 2026-11-20 entry v1").hexdigest()

    assert chain.payload_hash(salt, record["payload"]) == commitment
    assert chain.entry_hash(prev, chain.header(record, commitment, seq)) == expected


@pytest.mark.parametrize("row", load("refused.json")["refused"], ids=lambda row: str(row["name"]))
def test_refused_texts(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011, syntax errors are those of the json module
        canonicalize(parse(refused_input(row)))
    if isinstance(refusal.value, RefusedError):
        assert refusal.value.path in row["paths"]


@pytest.mark.parametrize("name", sorted(write_vectors.FILES))
def test_golden_vectors_are_what_the_reference_says(name: str) -> None:
    assert (VECTORS / name).read_text(encoding="ascii") == write_vectors.rendered(write_vectors.FILES[name]())


def test_golden_vectors_are_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (VECTORS / name).stat().st_mtime_ns for name in write_vectors.FILES}
    assert write_vectors.main() == 1
    assert "written once" in capsys.readouterr().err
    assert {name: (VECTORS / name).stat().st_mtime_ns for name in write_vectors.FILES} == before


def test_golden_ledger_verifies_from_its_lines() -> None:
    ledger = load("ledger.json")
    entries = [parse(row["line"], stored=True) for row in ledger["entries"]]
    assert chain.verify_chain(entries, ledger["ledger_id"], expected_head=ledger["head"]) == []
    assert [line(entry) for entry in entries] == [row["line"] for row in ledger["entries"]]


def test_golden_ledger_has_the_edge_cases() -> None:
    content = golden_inputs.golden_entries()
    ids = [item.record["id"] for item in content]
    assert len(ids) > len(set(ids))
    assert max(len(record_id.encode()) for record_id in ids) == 1024
    assert {item.record["timestamp"] for item in content} >= {1, 2**53 - 1}
    assert {type(item.record["payload"]) for item in content} == {dict, list}
    assert {"meta" in item.record for item in content} == {True, False}
    assert any(item.redacted for item in content)
    assert max(len(json.dumps(item.record)) for item in content) > 16_384


def test_no_tampering_is_inert() -> None:
    ledger_id = golden_inputs.SMALL_LEDGER_ID
    entries = golden_inputs.build(ledger_id, golden_inputs.small_entries())
    assert chain.verify_chain(entries, ledger_id) == []
    assert [case.name for case in tamperings(entries, ledger_id) if not case.faults()] == []


@settings(max_examples=100, deadline=None)
@given(strategies.chains("property", max_records=6))
def test_built_chains_verify(entries: list[chain.Entry]) -> None:
    assert chain.verify_chain(entries, "property") == []
