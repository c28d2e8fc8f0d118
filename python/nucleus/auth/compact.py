"""The outer form of a signed token, before its signature is checked: JWS Compact Serialization (RFC 7515, 7.1)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from nucleus.auth.strict_json import strict_object
from nucleus.errors import AuthenticationError

MAX_JWT_BYTES = 16_384
MAX_HEADER_BYTES = 4_096
MAX_SIGNATURE_BYTES = 1_024

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")


@dataclass(frozen=True, slots=True)
class UnverifiedJwt:
    """What a token says, which is worth nothing until its signature holds."""

    token: str = field(repr=False)
    header: dict[str, Any]
    claims: dict[str, Any]


def open_compact(token: str) -> UnverifiedJwt:
    """Take a token apart.

    Raises:
        AuthenticationError: it is too large, or not of the form, or its header or claims are not strict JSON objects.
    """
    match = _COMPACT.fullmatch(token) if len(token) <= MAX_JWT_BYTES else None
    if match is None:
        raise AuthenticationError(f"the token is not a signed JWT of at most {MAX_JWT_BYTES} bytes")
    header, payload, signature = match.groups()
    if len(header) > MAX_HEADER_BYTES or len(signature) > MAX_SIGNATURE_BYTES:
        raise AuthenticationError(
            f"the token's header is over {MAX_HEADER_BYTES} bytes or its signature over {MAX_SIGNATURE_BYTES}"
        )
    _decode(signature)
    return UnverifiedJwt(token, _object(header, "header"), _object(payload, "claims"))


def peek_issuer(token: str) -> str | None:
    """Return the issuer that a token claims to be from, unverified: it decides whose parser the token belongs to."""
    match = _COMPACT.fullmatch(token) if len(token) <= MAX_JWT_BYTES else None
    if match is None:
        return None
    try:
        issuer = _object(match[2], "claims").get("iss")
    except AuthenticationError:
        return None
    return issuer if isinstance(issuer, str) else None


def _object(part: str, name: str) -> dict[str, Any]:
    value = strict_object(_decode(part))
    if value is None:
        raise AuthenticationError(f"the token's {name} are not one strict JSON object")
    return value


def _decode(part: str) -> bytes:
    """Decode base64url without padding; a second spelling of the same bytes is refused."""
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise AuthenticationError("a part of the token is not base64url") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part.encode("ascii"):
        raise AuthenticationError("a part of the token is not canonical base64url")
    return decoded
