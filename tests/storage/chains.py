"""Stored rows as the independent reference sees them, and back: what an informed attacker has at hand."""

import json
from pathlib import Path

from tests.reference.canonical import canonicalize
from tests.reference.chain import Entry, payload_hash, recompute_hash
from tests.storage.stranger import Stranger, Value, literal

COLUMNS = (
    "seq",
    "format",
    "hash",
    "prev_hash",
    "record_id",
    "stream",
    "timestamp",
    "payload",
    "salt",
    "payload_hash",
    "meta",
)


def stored_entries(stranger: Stranger, path: Path) -> list[Entry]:
    """Return the entries of a valid ledger file in the shape that the reference works on."""
    rows = stranger.query(path, f"SELECT {', '.join(COLUMNS)} FROM entries ORDER BY seq")
    return [_entry(dict(zip(COLUMNS, row, strict=True))) for row in rows]


def _entry(row: dict[str, Value]) -> Entry:
    texts = {name: json.loads(str(row[name])) for name in ("payload", "meta") if row[name] is not None}
    blobs = {name: value.hex() for name, value in row.items() if isinstance(value, bytes)}
    record = {"id": row["record_id"], "stream": row["stream"], "timestamp": row["timestamp"]}
    record |= {"payload": texts.get("payload")} | ({"meta": texts["meta"]} if "meta" in texts else {})
    entry: Entry = {"seq": row["seq"], "format": row["format"], "record": record, "redacted": "payload" not in texts}
    entry |= {"hash": blobs["hash"], "prev_hash": blobs.get("prev_hash"), "salt": blobs.get("salt")}
    if entry["redacted"]:
        return entry | {"payload_hash": blobs["payload_hash"]}
    return entry | {"payload_hash": payload_hash(bytes.fromhex(entry["salt"]), record["payload"])}


def relink(entries: list[Entry], ledger_id: str) -> list[Entry]:
    """Return the chain with seqs, links and hashes made right for the content that its entries hold."""
    linked: list[Entry] = []
    for seq, entry in enumerate(entries):
        changed = entry | {"seq": seq, "prev_hash": linked[-1]["hash"] if linked else None}
        if not changed["redacted"]:
            salt = bytes.fromhex(changed["salt"])
            changed["payload_hash"] = payload_hash(salt, changed["record"]["payload"])
        linked.append(changed | {"hash": recompute_hash(changed, ledger_id)})
    return linked


def insert_sql(entry: Entry) -> str:
    """Return the statement that stores an entry as a row."""
    record = entry["record"]
    values: list[Value] = [
        entry["seq"],
        entry["format"],
        bytes.fromhex(entry["hash"]),
        None if entry["prev_hash"] is None else bytes.fromhex(entry["prev_hash"]),
        record["id"],
        record["stream"],
        record["timestamp"],
        None if entry["redacted"] else canonicalize(record["payload"]).decode(),
        None if entry["redacted"] else bytes.fromhex(entry["salt"]),
        bytes.fromhex(entry["payload_hash"]) if entry["redacted"] else None,
        canonicalize(record["meta"]).decode() if "meta" in record else None,
    ]
    return f"INSERT INTO entries({', '.join(COLUMNS)}) VALUES ({', '.join(map(literal, values))})"


def rewrite_sql(entries: list[Entry]) -> list[str]:
    """Return the statements that make a file hold exactly these entries."""
    return ["DELETE FROM entries", *map(insert_sql, entries)]
