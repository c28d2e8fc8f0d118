"""Signature algorithms: which there are, and which kind of key each takes (RFC 7518, RFC 8037, RFC 9864)."""

from __future__ import annotations

from collections.abc import Iterable

from nucleus.errors import ConfigError

KEY_TYPES: dict[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
    "HS256": ("oct", None),
    "HS384": ("oct", None),
    "HS512": ("oct", None),
}
"""Algorithm to JWK key type and curve. ``none`` is not among them."""

ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""The allow-list of a parser that is given none."""


def allow_list(names: Iterable[str]) -> frozenset[str]:
    """Check a parser's allow-list.

    Raises:
        ConfigError: it is empty, names an unknown algorithm or ``none``, or mixes shared secrets with public keys.
    """
    allowed = frozenset([names] if isinstance(names, str) else names)
    unknown = sorted(allowed - KEY_TYPES.keys())
    if unknown or not allowed:
        raise ConfigError(f"algorithms: {unknown or 'none at all'}; choose from {', '.join(KEY_TYPES)}")
    kinds = {KEY_TYPES[name][0] == "oct" for name in allowed}
    if len(kinds) > 1:
        raise ConfigError("algorithms: shared secrets (HS...) and public keys do not go into one parser")
    return allowed
