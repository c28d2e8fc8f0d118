"""The keyed hash over a row of a store: whoever edits the file without the key makes a row that counts for nothing."""

from __future__ import annotations

import hashlib
import json
import secrets

SEAL_BYTES = 32


def seal(key: bytes, purpose: bytes, *members: object) -> bytes:
    """Return the hash over members in their order: BLAKE2b (RFC 7693), keyed, 32 bytes.

    Args:
        key: at most 64 bytes.
        purpose: at most 16 bytes; seals for one purpose are none for another.
        members: JSON values, and bytes.
    """
    plain = [{"hex": member.hex()} if isinstance(member, bytes) else member for member in members]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode("ascii"), digest_size=SEAL_BYTES, key=key, person=purpose).digest()


def is_seal(expected: bytes, found: bytes | None) -> bool:
    """Whether a row holds this seal."""
    return found is not None and secrets.compare_digest(expected, found)
