"""Building chains to test with: appending, erasing, and writing entries as export lines."""

from typing import Any

from tests.reference.canonical import MAX_DEPTH, canonicalize
from tests.reference.chain import Entry, Record, payload_hash, recompute_hash


def append(entries: list[Entry], ledger_id: str, record: Record, salt: bytes) -> Entry:
    """Append one record to a chain and return its entry."""
    seq, prev_hash = (entries[-1]["seq"] + 1, entries[-1]["hash"]) if entries else (0, None)
    entry: Entry = {
        "format": 1,
        "payload_hash": payload_hash(salt, record["payload"]),
        "prev_hash": prev_hash,
        "record": record,
        "redacted": False,
        "salt": salt.hex(),
        "seq": seq,
    }
    entry["hash"] = recompute_hash(entry, ledger_id)
    entries.append(entry)
    return entry


def erase(entry: Entry) -> Entry:
    """Return an entry without payload and salt, as it is left by a redaction."""
    return entry | {"record": entry["record"] | {"payload": None}, "redacted": True, "salt": None}


def redaction_record(entry: Entry, reason: str, timestamp: int, meta: dict[str, Any]) -> Record:
    """Return the record that makes the erasure of an entry legitimate."""
    payload = {"hash": entry["hash"], "reason": reason, "seq": entry["seq"]}
    identity = {"id": f"redaction:{entry['hash']}", "stream": "redactions", "timestamp": timestamp}
    return identity | {"payload": payload, "meta": meta}


def line(entry: Entry) -> str:
    """Return an entry as one line of an export."""
    # `payload` may use its full depth, two levels below the line.
    return canonicalize(entry, max_depth=MAX_DEPTH + 2).decode("utf-8")
