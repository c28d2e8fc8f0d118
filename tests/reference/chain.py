"""Entry hashes and chain verification, written from the specification of the format for clarity, not speed.

An entry is a dict in the shape of one line of an export:
``{format, hash, payload_hash, prev_hash, record: {id, meta?, payload, stream, timestamp}, redacted, salt, seq}``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from blake3 import blake3
from tests.reference.canonical import MAX_DEPTH, MAX_SAFE_INTEGER, RefusedError, canonicalize

Entry = dict[str, Any]
Record = dict[str, Any]

_ENTRY_KEYS = {"format", "hash", "payload_hash", "prev_hash", "record", "redacted", "salt", "seq"}
_RECORD_KEYS = {"id", "payload", "stream", "timestamp"}


@dataclass(frozen=True)
class Fault:
    """One fault: what the rest of the chain demands, and what the entry holds."""

    kind: str
    seq: int | None
    expected: str | None = None
    actual: str | None = None


def derive(context: str, data: bytes) -> bytes:
    """Return BLAKE3 in key-derivation mode, 32 bytes."""
    return blake3(data, derive_key_context=context).digest()


def genesis(ledger_id: str) -> bytes:
    """Return what stands for the previous hash at seq 0."""
    return derive("nucleus-ledger 2026-11-20 ledger v1", ledger_id.encode("utf-8"))


def payload_hash(salt: bytes, payload: object) -> str:
    """Return the commitment to a payload, in hex."""
    return derive("nucleus-ledger 2026-11-20 payload v1", salt + canonicalize(payload, "$.payload")).hex()


def header(record: Record, commitment: str, seq: int) -> bytes:
    """Return the canonical header of an entry, which holds the payload's commitment instead of the payload."""
    fields = {key: value for key, value in record.items() if key != "payload"}
    # `meta` may use its full depth, one level below the header.
    return canonicalize(fields | {"format": 1, "payload_hash": commitment, "seq": seq}, max_depth=MAX_DEPTH + 1)


def entry_hash(prev: bytes, header_bytes: bytes) -> str:
    """Return the hash of an entry, in hex; ``prev`` is the previous entry's hash or the ledger's genesis."""
    return derive("nucleus-ledger 2026-11-20 entry v1", prev + header_bytes).hex()


def recompute_hash(entry: Entry, ledger_id: str) -> str:
    """Return the hash that an entry's own stored parts give."""
    commitment = entry["payload_hash"] if entry["redacted"] else commit(entry)
    prev = genesis(ledger_id) if entry["prev_hash"] is None else bytes.fromhex(entry["prev_hash"])
    return entry_hash(prev, header(entry["record"], commitment, entry["seq"]))


def commit(entry: Entry) -> str:
    """Return the commitment that an entry's own salt and payload give."""
    return payload_hash(bytes.fromhex(entry["salt"]), entry["record"]["payload"])


def is_well_formed(entry: Entry) -> bool:
    """Tell whether every field of an entry has its type and bounds; nothing is said about hashes."""
    record = entry.get("record")
    if set(entry) != _ENTRY_KEYS or not isinstance(record, dict) or set(record) - {"meta"} != _RECORD_KEYS:
        return False
    try:
        canonicalize(record.get("meta"))
        canonicalize(record["payload"])
        fields_fit = (
            0 < len(record["id"].encode()) <= 1024
            and 0 < len(record["stream"].encode()) <= 255
            and _is_integer(record["timestamp"], 1)
            and isinstance(record.get("meta", {}), dict)
        )
    except (RefusedError, AttributeError, UnicodeEncodeError):
        return False
    if entry["redacted"] is True:
        content_fits = record["payload"] is None and entry["salt"] is None
    else:
        content_fits = isinstance(record["payload"], dict | list) and _is_hex(entry["salt"], 16)
    return (
        fields_fit
        and (content_fits and isinstance(entry["redacted"], bool))
        and (_is_integer(entry["format"], 1) and entry["format"] == 1)
        and _is_integer(entry["seq"], 0)
        and _is_hex(entry["hash"], 32)
        and _is_hex(entry["payload_hash"], 32)
        and (entry["prev_hash"] is None or _is_hex(entry["prev_hash"], 32))
    )


def _is_integer(value: object, smallest: int) -> bool:
    return type(value) is int and smallest <= value <= MAX_SAFE_INTEGER


def _is_hex(value: object, length: int) -> bool:
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{2 * length}}}", value) is not None


def verify_chain(
    entries: Sequence[Entry], ledger_id: str, *, expected_head: str | None = None, expected_length: int | None = None
) -> list[Fault]:
    """Return every fault of a chain, in chain order.

    Faults are independent: an entry is hashed with its own stored ``prev_hash``, linked to what the entry before it
    in the list holds as its hash, and numbered after the seq found there.
    """
    faults: list[Fault] = []
    recorded = {_redacts(entry) for entry in entries}
    next_seq, previous_hash = 0, None
    for position, entry in enumerate(entries):
        seq = entry["seq"] if _is_integer(entry["seq"], 0) else None
        if seq is not None and seq != next_seq:
            faults.append(Fault("sequence_gap", seq, str(next_seq), str(seq)))
        # A first entry beyond seq 0 has lost its predecessor to the gap: there is no link to check.
        if entry["prev_hash"] != previous_hash and (position > 0 or seq == 0):
            faults.append(Fault("chain_link_broken", seq, previous_hash, entry["prev_hash"]))
        if not is_well_formed(entry):
            faults.append(Fault("malformed_entry", seq))
        else:
            content = _content_faults(entry, ledger_id)
            faults.extend(content)
            if not entry["redacted"] and not content and (entry["hash"], seq) in recorded:
                faults.append(Fault("redaction_undone", seq))
            if entry["redacted"] and (entry["hash"], seq) not in recorded:
                faults.append(Fault("unrecorded_redaction", seq))
        next_seq, previous_hash = (next_seq if seq is None else seq) + 1, entry["hash"]
    head_seq = entries[-1]["seq"] if entries else None
    if expected_length is not None and expected_length != len(entries):
        faults.append(Fault("head_mismatch", head_seq, str(expected_length), str(len(entries))))
    if expected_head is not None and expected_head != previous_hash:
        faults.append(Fault("head_mismatch", head_seq, expected_head, previous_hash))
    return faults


def _content_faults(entry: Entry, ledger_id: str) -> list[Fault]:
    if (recomputed := recompute_hash(entry, ledger_id)) != entry["hash"]:
        return [Fault("hash_mismatch", entry["seq"], recomputed, entry["hash"])]
    if not entry["redacted"] and commit(entry) != entry["payload_hash"]:
        return [Fault("hash_mismatch", entry["seq"], commit(entry), entry["payload_hash"])]
    return []


def _redacts(entry: Entry) -> tuple[str, int] | None:
    """Return (hash, seq) of the entry whose erasure this entry records, or None."""
    if not is_well_formed(entry) or entry["record"]["stream"] != "redactions" or entry["redacted"]:
        return None
    payload = entry["record"]["payload"]
    if not isinstance(payload, dict) or not _is_hex(payload.get("hash"), 32) or not _is_integer(payload.get("seq"), 0):
        return None
    return (payload["hash"], payload["seq"]) if entry["record"]["id"] == f"redaction:{payload['hash']}" else None
