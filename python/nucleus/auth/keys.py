"""Where the keys come from that JWTs are verified with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from nucleus.auth.algorithms import KEY_TYPES
from nucleus.auth.frames import forgets_secrets
from nucleus.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from nucleus.auth.jose import VerificationKey

MAX_KEYS = 100
"""Largest key set that is read."""
MAX_CANDIDATES = 8
"""How many keys are tried on one token at most."""


class KeySource(Protocol):
    """The keys of one issuer."""

    def find(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """Return the keys that a token with this ``kid`` and algorithm may be signed with. May block.

        Raises:
            AuthenticationError: there is none.
        """

    async def find_async(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """Do as :meth:`find` does, without blocking the event loop."""


class StaticKeys:
    """Keys that are known beforehand; the class methods make them.

    Raises:
        ConfigError: there is no key, or more than ``MAX_KEYS``.
    """

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        if not 1 <= len(keys) <= MAX_KEYS:
            raise ConfigError(f"a key set has 1 to {MAX_KEYS} keys, this one {len(keys)}")
        self._keys = tuple(keys)

    @classmethod
    def from_pem(cls, *pems: str | bytes, kid: str | None = None) -> StaticKeys:
        """Public keys in PEM. A ``kid`` binds them to tokens that name it; without one they go with any.

        Raises:
            ConfigError: one is no public key, or a weak one, or joserfc is not installed.
        """
        jose = load_jose()
        texts = [pem.encode() if isinstance(pem, str) else pem for pem in pems]
        if not all(isinstance(text, bytes) for text in texts):
            raise ConfigError("a public key in PEM is a text, `-----BEGIN PUBLIC KEY-----`")
        return cls([jose.key_from_pem(text, kid) for text in texts])

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, Any]) -> StaticKeys:
        """A JWK Set (RFC 7517, section 5) as parsed JSON; every key in it must be usable.

        Raises:
            ConfigError: one is not a public key for signatures, or joserfc is not installed.
        """
        jose = load_jose()
        listed = jwks.get("keys") if isinstance(jwks, Mapping) else None
        if not isinstance(listed, list | tuple):
            raise ConfigError('a JWK Set is a JSON object, {"keys": [...]}')
        return cls([jose.key_from_jwk(jwk) for jwk in listed])

    @classmethod
    @forgets_secrets
    def from_secret(cls, secret: bytes, kid: str | None = None) -> StaticKeys:
        """A secret shared with the issuer: at least 32 random bytes for HS256, 48 for HS384, 64 for HS512.

        Raises:
            ConfigError: it is short, or not random, or a public key, or joserfc is not installed.
        """
        if not isinstance(secret, bytes):
            raise ConfigError("a shared secret is bytes, e.g. secrets.token_bytes(64)")
        return cls([load_jose().key_from_secret(secret, kid)])

    def check_algorithms(self, algorithms: Iterable[str]) -> None:
        """Check that a shared secret is long enough for each algorithm of a parser.

        Raises:
            ConfigError: a secret is too short for an algorithm.
        """
        secrets = [key for key in self._keys if key.key_type == "oct"]
        for algorithm in sorted(algorithms):
            if KEY_TYPES[algorithm][0] == "oct" and secrets and not any(key.fits(algorithm) for key in secrets):
                raise ConfigError(f"the secret is too short for {algorithm}: it is as long as the hash (RFC 7518, 3.2)")

    def find(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """See :meth:`KeySource.find`; never blocks."""
        return select_keys(self._keys, kid, algorithm)

    async def find_async(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """See :meth:`KeySource.find_async`."""
        return self.find(kid, algorithm)


def names_key(keys: Sequence[VerificationKey], kid: str | None) -> bool:
    """Whether a token with this ``kid`` may be signed with one of ``keys``."""
    return any(kid is None or key.kid in (None, kid) for key in keys)


def select_keys(keys: Sequence[VerificationKey], kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
    """Return the keys with this ``kid`` (any, where the token or the key names none) that fit the algorithm.

    A ``kid`` is compared and used for nothing else: it never becomes a path, an address or a query.

    Raises:
        AuthenticationError: there is none.
    """
    named = [key for key in keys if (kid is None or key.kid in (None, kid)) and key.fits(algorithm)]
    if not named:
        raise AuthenticationError("the token is signed with a key that is not known for its issuer")
    return named[:MAX_CANDIDATES]


def load_jose() -> ModuleType:
    """Import :mod:`nucleus.auth.jose`, which needs joserfc.

    Raises:
        ConfigError: joserfc is not installed.
    """
    try:
        from nucleus.auth import jose
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] not in ("joserfc", "cryptography"):
            raise
        raise ConfigError("JWTs need joserfc: pip install 'nucleus-ledger[auth]'") from error
    return jose
