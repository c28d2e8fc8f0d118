"""The records of the benchmarks: the same every time, with about 200 bytes of canonical payload."""

import random
import uuid
from typing import Any, Literal, get_args

IdKind = Literal["time-ordered", "random"]
ID_KINDS: tuple[IdKind, ...] = get_args(IdKind)

BATCH = 1_000
"""Records in one batch."""

_STREAMS = ("orders", "invoices", "payments", "deliveries", "returns", "logins", "exports", "consents")
_FIRST_TIMESTAMP_MS = 1_700_000_000_000


def records(ids: IdKind, first: int, count: int) -> list[dict[str, Any]]:
    """Return ``count`` records as dicts, for the places from ``first`` on in a chain."""
    rng = random.Random(f"{ids}:{first}")
    return [_record(ids, seq, rng) for seq in range(first, first + count)]


ASSETS_OF_ONE_OWNER = 100
"""How many assets each owner has among those of a large ledger."""


def owner(number: int, assets: int) -> str:
    """Return an owner's OID; owners repeat after ``assets / 100``."""
    return f"oid:onoal:user:{number % (assets // ASSETS_OF_ONE_OWNER):06d}"


def asset(number: int, assets: int = 1_000_000) -> dict[str, Any]:
    """Return the registration of an asset, one of ``assets`` that are dealt out to their owners in turns."""
    record = _record("random", number, random.Random(number))
    payload = {**record["payload"], "owner_oid": owner(number, assets)}
    # Reserved among assets.
    payload["condition"] = payload.pop("status")
    return {**record, "stream": "assets", "payload": payload}


MANY = 10
"""Of every so many resources, the principal with many grants may read one."""

WIDE = "oid:onoal:org:auditor"
NARROW = "oid:onoal:user:visitor"


def creator(batch: int) -> str:
    """Return who appends a batch where access control is on."""
    return f"oid:onoal:org:{batch:06d}"


def wide_block(entries: int) -> range:
    """Return the places in the chain of resources that lie side by side and that ``WIDE`` may read all of."""
    return range(entries // 2, entries // 2 + min(2_000, entries // (2 * MANY)))


def _record(ids: IdKind, seq: int, rng: random.Random) -> dict[str, Any]:
    timestamp_ms = _FIRST_TIMESTAMP_MS + seq
    bits = rng.getrandbits(128)
    return {
        "id": _uuid7(timestamp_ms, bits) if ids == "time-ordered" else str(uuid.UUID(int=bits, version=4)),
        "stream": _STREAMS[bits % len(_STREAMS)],
        "timestamp": timestamp_ms,
        "payload": _payload(seq, bits),
    }


def _payload(seq: int, bits: int) -> dict[str, Any]:
    return {
        "status": "accepted" if bits & 1 else "refused",
        "amount_minor": bits % 1_000_003,
        "currency": "EUR",
        "customer": f"oid:onoal:user:{bits % 999_983:06d}",
        "items": [seq % 7, seq % 11, seq % 13],
        "note": f"line {seq} of the day, entered at counter {bits % 89}, checked twice",
        "paid": bool(bits & 2),
        # Never a whole number: orjson writes 0.0 where the canonical form has 0.
        "share": (2 * (bits % 499) + 1) / 1_000,
        "place": {"city": "Zürich", "counter": bits % 89},
    }


def _uuid7(timestamp_ms: int, bits: int) -> str:
    """Return a UUID version 7 (RFC 9562): 48 bits of time, then random ones."""
    random_a, random_b = bits >> 116, bits & (2**62 - 1)
    return str(uuid.UUID(int=timestamp_ms << 80 | 7 << 76 | random_a << 64 | 2 << 62 | random_b))
