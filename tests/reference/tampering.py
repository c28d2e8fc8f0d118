"""Every way in which a chain is tampered with by the tests: each field of each entry, and the chain's structure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.reference.building import append, erase
from tests.reference.canonical import MAX_SAFE_INTEGER
from tests.reference.chain import Entry, Fault, Record, genesis, verify_chain

_ZEROS = "0" * 64
_SALT = bytes(range(200, 216))


@dataclass(frozen=True)
class Tampering:
    """A chain that must not verify, and what the verifier is told from elsewhere."""

    name: str
    entries: list[Entry]
    ledger_id: str
    expected_head: str | None = None
    expected_length: int | None = None

    def faults(self) -> list[Fault]:
        """Return what the reference finds."""
        return verify_chain(
            self.entries,
            self.ledger_id,
            expected_head=self.expected_head,
            expected_length=self.expected_length,
        )


def tamperings(entries: list[Entry], ledger_id: str) -> Iterator[Tampering]:
    """Yield every tampering of a valid chain of at least two entries."""
    for position, entry in enumerate(entries):
        for name, changed in _changed_entries(entry, ledger_id):
            if changed != entry:
                chain = [*entries[:position], changed, *entries[position + 1 :]]
                yield Tampering(f"entry {position}: {name}", chain, ledger_id)
    for name, chain in _restructured(entries, ledger_id):
        yield Tampering(name, chain, ledger_id)
    yield from _found_by_expectation(entries, ledger_id)
    yield Tampering("moved under another ledger id", entries, ledger_id + "x")


def _changed_entries(entry: Entry, ledger_id: str) -> Iterator[tuple[str, Entry]]:
    yield from _changed_hashes(entry, ledger_id)
    yield from _changed_fields(entry)
    yield from _changed_content(entry)
    yield from _malformed(entry)


def _changed_hashes(entry: Entry, ledger_id: str) -> Iterator[tuple[str, Entry]]:
    for field in ("hash", "prev_hash", "payload_hash", "salt"):
        if entry[field] is not None:
            yield f"{field}, first digit", entry | {field: _flipped(entry[field], 0)}
            yield f"{field}, last digit", entry | {field: _flipped(entry[field], -1)}
            yield f"{field}, zeros", entry | {field: "0" * len(entry[field])}
    yield "prev_hash absent", entry | {"prev_hash": None}
    yield "prev_hash is the genesis", entry | {"prev_hash": genesis(ledger_id).hex()}
    yield "prev_hash is its own hash", entry | {"prev_hash": entry["hash"]}
    yield "payload_hash is the hash", entry | {"payload_hash": entry["hash"]}


def _changed_fields(entry: Entry) -> Iterator[tuple[str, Entry]]:
    for seq in (0, entry["seq"] + 1, entry["seq"] + 1000, MAX_SAFE_INTEGER):
        yield f"seq is {seq}", entry | {"seq": seq}
    record = entry["record"]
    for field in ("id", "stream"):
        yield f"{field}, last character", _with(entry, **{field: record[field][:-1] + "~"})
        yield f"{field}, first character", _with(entry, **{field: "~" + record[field][1:]})
    yield "timestamp one off", _with(entry, timestamp=record["timestamp"] + (-1 if record["timestamp"] > 1 else 1))
    yield "timestamp smallest", _with(entry, timestamp=1)
    yield "meta changed", _with(entry, meta=record.get("meta", {}) | {"tampered": True})
    yield "meta empty", _with(entry, meta={})
    yield "meta removed", entry | {"record": {key: value for key, value in record.items() if key != "meta"}}


def _changed_content(entry: Entry) -> Iterator[tuple[str, Entry]]:
    payload = entry["record"]["payload"]
    if entry["redacted"]:
        yield "payload made up again", _with(entry, payload={"n": 1}) | {"redacted": False, "salt": _SALT.hex()}
        return
    yield "payload wrapped", _with(entry, payload=[payload])
    yield "payload emptied to an object", _with(entry, payload={})
    yield "payload emptied to an array", _with(entry, payload=[])
    yield "payload erased", erase(entry)
    if isinstance(payload, dict):
        yield "payload with a member more", _with(entry, payload=payload | {"tampered": None})
        for key, value in payload.items():
            yield f"payload without {key!r}", _with(entry, payload={k: v for k, v in payload.items() if k != key})
            yield f"payload with another {key!r}", _with(entry, payload=payload | {key: [value]})
    if entry["record"]["stream"] == "redactions" and isinstance(payload, dict):
        yield "redaction of another hash", _with(entry, payload=payload | {"hash": _ZEROS})
        yield "redaction of another seq", _with(entry, payload=payload | {"seq": payload["seq"] + 1})


def _malformed(entry: Entry) -> Iterator[tuple[str, Entry]]:
    for field, value in [
        ("format", 0),
        ("format", 2),
        ("seq", -1),
        ("salt", "00"),
        ("prev_hash", "00"),
        ("hash", "00"),
    ]:
        yield f"malformed {field}, {value!r}", entry | {field: value}
    yield "malformed hash, upper case", entry | {"hash": entry["hash"].upper()}
    yield "malformed hash, not hexadecimal", entry | {"hash": "g" * 64}
    yield "malformed, unknown field", entry | {"note": "x"}
    yield "malformed record, unknown field", _with(entry, note="x")
    yield "malformed meta", _with(entry, meta=[])
    yield "malformed id, empty", _with(entry, id="")
    yield "malformed id, too long", _with(entry, id="i" * 1025)
    yield "malformed stream, too long", _with(entry, stream="s" * 256)
    yield "malformed timestamp, zero", _with(entry, timestamp=0)
    yield "malformed timestamp, beyond 2^53-1", _with(entry, timestamp=2.0**53)
    yield "malformed payload, a number", _with(entry, payload=1)
    yield "malformed redacted", entry | {"redacted": not entry["redacted"]}
    if not entry["redacted"]:
        yield "malformed payload, null", _with(entry, payload=None)
        yield "malformed salt, null", entry | {"salt": None}


def _restructured(entries: list[Entry], ledger_id: str) -> Iterator[tuple[str, list[Entry]]]:
    last = len(entries) - 1
    for i in range(last):
        yield f"entry {i} deleted", entries[:i] + entries[i + 1 :]
        yield f"entries {i} and {i + 1} swapped", [*entries[:i], entries[i + 1], entries[i], *entries[i + 2 :]]
        forged = entries[: i + 1]
        append(forged, ledger_id, _forged_record("forged"), _SALT)
        yield f"forged entry inserted after {i}", forged + entries[i + 1 :]
        yield f"entry {i + 1} replaced by a forged one", forged + entries[i + 2 :]
    for i in range(last + 1):
        yield f"entry {i} doubled", [*entries[: i + 1], *entries[i:]]
    yield "reversed", entries[::-1]
    yield "last entry moved to the front", [entries[last], *entries[:last]]
    yield "first entries deleted", entries[last:]


def _found_by_expectation(entries: list[Entry], ledger_id: str) -> Iterator[Tampering]:
    head, length = entries[-1]["hash"], len(entries)
    truncated = entries[:-1]
    yield Tampering("truncated, length known", truncated, ledger_id, expected_length=length)
    yield Tampering("truncated, head known", truncated, ledger_id, expected_head=head)
    yield Tampering("truncated, both known", truncated, ledger_id, head, length)
    yield Tampering("all deleted, length known", [], ledger_id, expected_length=length)
    yield Tampering("all deleted, head known", [], ledger_id, expected_head=head)
    longer = list(entries)
    append(longer, ledger_id, _forged_record("more"), _SALT)
    yield Tampering("extended, length known", longer, ledger_id, expected_length=length)
    yield Tampering("extended, head known", longer, ledger_id, expected_head=head)
    rewritten = entries[:1]
    for entry in entries[1:]:
        append(rewritten, ledger_id, _forged_record(entry["record"]["id"]), _SALT)
    yield Tampering("suffix rewritten with recomputed hashes, head known", rewritten, ledger_id, expected_head=head)


def _forged_record(id: str) -> Record:
    return {"id": id, "payload": {"forged": True}, "stream": "notes", "timestamp": 2}


def _with(entry: Entry, **fields: Any) -> Entry:
    return entry | {"record": entry["record"] | fields}


def _flipped(digits: str, position: int) -> str:
    changed = list(digits)
    changed[position] = "1" if changed[position] == "0" else "0"
    return "".join(changed)
