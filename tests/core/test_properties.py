"""Thousands of generated values and records, against the public packages rfc8785 and blake3 and the reference."""

import json
import random
from typing import Any

import blake3
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reference import canonical as reference
from tests.reference import chain, strategies
from tests.reference.building import line
from tests.reference.reading import parse

from nucleus._core import ChainEntry, Record, canonicalize, canonicalize_json, verify_chain

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]


def _shuffled(value: Any, generator: random.Random) -> Any:
    """Return an equal value whose objects list their members in another order."""
    if isinstance(value, dict):
        members = [(key, _shuffled(item, generator)) for key, item in value.items()]
        generator.shuffle(members)
        return dict(members)
    return [_shuffled(item, generator) for item in value] if isinstance(value, list) else value


def _exact(value: Any) -> str:
    """Return a text that tells 1, 1.0 and True apart and ignores the order of members."""
    return json.dumps(value, sort_keys=True)


@settings(max_examples=1_500, deadline=None, suppress_health_check=_SLOW_IS_FINE)
@given(strategies.values)
def test_values(value: Any) -> None:
    canonical = canonicalize(value)
    assert canonical == rfc8785.dumps(value)
    assert canonical == reference.canonicalize(value)


@settings(max_examples=2_500, deadline=None, suppress_health_check=_SLOW_IS_FINE)
@given(strategies.records)
def test_records_from_objects(fields: dict[str, Any]) -> None:
    assert canonicalize(fields) == rfc8785.dumps(fields)
    record = Record(**fields)
    assert Record.from_dict(fields) == record
    assert _exact(record.payload) == _exact(parse(rfc8785.dumps(fields["payload"]), stored=True))
    assert rfc8785.dumps(record.to_dict()) == rfc8785.dumps(fields)


@settings(max_examples=2_500, deadline=None, suppress_health_check=_SLOW_IS_FINE)
@given(
    fields=strategies.records,
    seed=st.integers(0, 2**32),
    ensure_ascii=st.booleans(),
    indent=st.sampled_from([None, 0, 1, "\t"]),
)
def test_records_from_texts(fields: dict[str, Any], seed: int, ensure_ascii: bool, indent: int | str | None) -> None:
    text = json.dumps(_shuffled(fields, random.Random(seed)), ensure_ascii=ensure_ascii, indent=indent)
    assert canonicalize_json(text) == canonicalize_json(text.encode()) == rfc8785.dumps(fields)
    assert Record.from_json(text) == Record(**fields)


@settings(max_examples=300, deadline=None, suppress_health_check=_SLOW_IS_FINE)
@given(strategies.chains("property", max_records=10))
def test_chains(entries: list[chain.Entry]) -> None:
    lines = [line(entry) for entry in entries]
    read = [ChainEntry.from_json(text) for text in lines]
    assert [entry.to_json() for entry in read] == lines
    assert verify_chain(read, "property", expected_head=entries[-1]["hash"], expected_length=len(entries)).valid


@settings(max_examples=300, deadline=None, suppress_health_check=_SLOW_IS_FINE)
@given(strategies.records, strategies.salts, st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_any_entry_with_hashes_of_the_public_packages_adds_up(
    fields: dict[str, Any], salt: bytes, seq: int, prev: bytes
) -> None:
    payload_input = salt + rfc8785.dumps(fields["payload"])
    commitment = blake3.blake3(payload_input, derive_key_context="nucleus-ledger 2026-11-20 payload v1").hexdigest()
    stated = {key: value for key, value in fields.items() if key != "payload"}
    header = rfc8785.dumps(stated | {"format": 1, "payload_hash": commitment, "seq": seq})
    entry = {
        "format": 1,
        "hash": blake3.blake3(prev + header, derive_key_context="nucleus-ledger 2026-11-20 entry v1").hexdigest(),
        "payload_hash": commitment,
        "prev_hash": prev.hex(),
        "record": fields,
        "redacted": False,
        "salt": salt.hex(),
        "seq": seq,
    }
    report = verify_chain([ChainEntry.from_json(line(entry))], "property")
    assert "hash_mismatch" not in report.counts
    assert "malformed_entry" not in report.counts
