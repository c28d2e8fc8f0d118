"""Which OIDs an issuer may speak for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nucleus._core import check_oid
from nucleus.errors import AuthenticationError, ConfigError, InvalidRecordError

ANY_OID = "oid:*"
"""The pattern of an issuer that may name anybody: the administrator of the ledger too."""

_WILDCARD = ":*"
_NAMING = ("oid", "sub", "service_oid", "acting_for", "on_behalf_of")
_MAX_ACTORS = 16
"""How long a chain of actors in a token may be."""


class OidScope:
    """The OIDs that one issuer may name.

    Args:
        patterns: whole OIDs (``oid:onoal:user:alice``) and prefixes of whole parts (``oid:onoal:user:*``: every OID of
            which these are the first parts, and at least one more). ``oid:*``, which is ``ANY_OID``, is everybody.

    Raises:
        ConfigError: there is no pattern, or one that is neither.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = [patterns] if isinstance(patterns, str) else list(patterns or ())
        if not listed:
            raise ConfigError(
                'oids: name the OIDs that the issuer may speak for, e.g. oids=["oid:onoal:user:*"]; '
                "oids=[ANY_OID] lets it name anybody, the administrator too"
            )
        for pattern in listed:
            _check(pattern)
        self._exact = frozenset(pattern for pattern in listed if not pattern.endswith(_WILDCARD))
        # The colon stays: a prefix never ends within a part.
        self._prefixes = tuple(pattern[:-1] for pattern in listed if pattern.endswith(_WILDCARD))

    def allows(self, oid: str) -> bool:
        """Whether the issuer may name this OID."""
        return oid in self._exact or oid.startswith(self._prefixes)

    def check(self, oids: Iterable[str]) -> None:
        """Check whom a verified token names.

        Raises:
            AuthenticationError: it names an OID that is not its issuer's to name.
        """
        if not all(self.allows(oid) for oid in oids):
            raise AuthenticationError("the token names an OID that its issuer may not speak for")


def named_oids(claims: Mapping[str, Any]) -> list[str]:
    """Return every OID that a token speaks for: the bearer, the subject, and whoever acts for them.

    ``sub`` may be a name of another kind, ``act`` is a chain (RFC 8693, section 4.1).

    Raises:
        AuthenticationError: the chain is too long.
    """
    named: list[str] = []
    actor: object = claims
    for _ in range(_MAX_ACTORS):
        if not isinstance(actor, Mapping):
            return named
        values = [actor.get(name) for name in _NAMING]
        named += [value for value in values if isinstance(value, str) and value.startswith("oid:")]
        actor = actor.get("act")
    raise AuthenticationError(f"the token names more than {_MAX_ACTORS} actors")


def _check(pattern: object) -> None:
    if not isinstance(pattern, str):
        raise ConfigError(f"oids: a pattern is a text, not {type(pattern).__name__}")
    base = pattern.removesuffix(_WILDCARD)
    parts = base.split(":")
    # A whole OID has four parts, six, eight: a prefix is filled up to one.
    missing = max(4, len(parts) + len(parts) % 2) - len(parts) if base != pattern else 0
    try:
        if parts[0] != "oid":
            raise InvalidRecordError("it does not begin with `oid:`")
        check_oid(":".join([base, *["x"] * missing]))
    except InvalidRecordError:
        raise ConfigError(
            f"oids: {pattern!r} is neither an OID nor whole parts of one and `*`, such as oid:onoal:user:*"
        ) from None
