"""The form of an API key: ``nk_<id>_<secret>``.

The id is 80 random bits and names the key openly; the secret is 256 random bits and a checksum of 40. The checksum
tells a mistyped key, and a scanner for leaked secrets, from a real one without a look into any store. All of it is in
lower-case base32 (RFC 4648).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

PREFIX = "nk_"
_ID_BYTES = 10
_SECRET_BYTES = 32
_CHECKSUM_BYTES = 5
_KEY = re.compile(rf"{PREFIX}([a-z2-7]{{16}})_([a-z2-7]{{52}})([a-z2-7]{{8}})")


@dataclass(frozen=True, slots=True)
class ApiKeyParts:
    """An API key, taken apart."""

    id: str
    secret: str = field(repr=False)


def new_api_key() -> tuple[str, ApiKeyParts]:
    """Make a key: its text, for the bearer alone, and its parts."""
    parts = ApiKeyParts(_base32(secrets.token_bytes(_ID_BYTES)), _base32(secrets.token_bytes(_SECRET_BYTES)))
    return f"{PREFIX}{parts.id}_{parts.secret}{_checksum(parts)}", parts


def split_api_key(text: str) -> ApiKeyParts | None:
    """Take a key apart; None when it has not the form, or the checksum is wrong."""
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    parts = ApiKeyParts(match[1], match[2])
    return parts if hmac.compare_digest(match[3], _checksum(parts)) else None


def hash_secret(parts: ApiKeyParts, hash_key: bytes) -> bytes:
    """Return what is stored of a key: BLAKE2b (RFC 7693), keyed, 32 bytes.

    A slow password hash would add nothing to 256 random bits, and let anybody spend our CPU.
    """
    text = f"{parts.id}_{parts.secret}".encode()
    return hashlib.blake2b(text, digest_size=32, key=hash_key, person=b"nucleus api key").digest()


def _checksum(parts: ApiKeyParts) -> str:
    text = f"{parts.id}_{parts.secret}".encode()
    return _base32(hashlib.blake2b(text, digest_size=_CHECKSUM_BYTES, person=b"nucleus checksum").digest())


def _base32(value: bytes) -> str:
    return base64.b32encode(value).decode("ascii").rstrip("=").lower()
