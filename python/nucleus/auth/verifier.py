"""Verifying a JWT (RFC 7519, RFC 8725): the one verifier behind every parser of JWTs.

The signature is joserfc's work. Everything that libraries let through is refused here, before and after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nucleus.auth.algorithms import ASYMMETRIC, KEY_TYPES, allow_list
from nucleus.auth.clock import Clock
from nucleus.auth.compact import UnverifiedJwt, open_compact, peek_issuer
from nucleus.auth.keys import KeySource, StaticKeys, load_jose
from nucleus.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from nucleus.auth.jose import VerificationKey

MAX_NUMERIC_DATE = 253_402_300_799
"""The last second of the year 9999: a later one is a mistake or an attempt at one."""
MAX_TEXT_CHARS = 1_024
_NEVER_IN_HEADER = ("crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc")


class JwtVerifier:
    """Verifies the tokens of one issuer for one audience.

    Args:
        issuer: what ``iss`` must be, byte for byte.
        audience: what ``aud`` must be or contain; one of them, when several are given.
        keys: the issuer's keys.
        algorithms: the only algorithms accepted.
        types: the only ``typ`` accepted, without ``application/``, in any case.
        leeway_s: how far the issuer's clock may be off, in seconds.
        max_lifetime_s: longest time from ``iat`` to ``exp``, in seconds.
        clock: the time now.

    Raises:
        ConfigError: an argument cannot work, or joserfc is not installed.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Iterable[str],
        keys: KeySource,
        algorithms: Iterable[str] = ASYMMETRIC,
        types: Iterable[str] = ("JWT", "at+jwt"),
        leeway_s: float = 30,
        max_lifetime_s: float = 86_400,
        clock: Clock = time.time,
    ) -> None:
        load_jose()
        self.issuer = issuer
        self._audiences = frozenset([audience] if isinstance(audience, str) else audience)
        if not issuer or not self._audiences or not all(self._audiences):
            raise ConfigError("a JWT parser needs the issuer and the audience that its tokens must name")
        if not 0 <= leeway_s <= 300 or not max_lifetime_s > 0:
            raise ConfigError("leeway_s is 0 to 300, and max_lifetime_s above 0")
        self._keys = keys
        self._algorithms = allow_list(algorithms)
        if isinstance(keys, StaticKeys):
            keys.check_algorithms(self._algorithms)
        self._types = frozenset(name.lower().removeprefix("application/") for name in types)
        self._leeway_s = leeway_s
        self._max_lifetime_s = max_lifetime_s
        self._clock = clock
        # The lock guards the pair: latest `exp` and latest `iat` among the tokens found expired.
        self._lock = threading.Lock()
        self._expired = (-1.0, -1.0)

    @property
    def leeway_s(self) -> float:
        """How far the issuer's clock may be off, in seconds."""
        return self._leeway_s

    def claims_to_be_ours(self, token: str) -> bool:
        """Whether the token has the form of a JWT and says that it is from this issuer."""
        return peek_issuer(token) == self.issuer

    def verify(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid token. May block while keys are fetched.

        Raises:
            AuthenticationError: the token is not valid; the message says in what.
        """
        jwt = open_compact(token)
        algorithm, kid = self._check_header(jwt.header)
        return self._verify_with(jwt, algorithm, self._keys.find(kid, algorithm))

    async def verify_async(self, token: str) -> dict[str, Any]:
        """Do as :meth:`verify` does, without blocking the event loop."""
        jwt = open_compact(token)
        algorithm, kid = self._check_header(jwt.header)
        return self._verify_with(jwt, algorithm, await self._keys.find_async(kid, algorithm))

    def _check_header(self, header: dict[str, Any]) -> tuple[str, str | None]:
        """Return the algorithm and the key's name."""
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms or algorithm not in KEY_TYPES:
            raise AuthenticationError("the token's algorithm is not allowed")
        if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in self._types:
            raise AuthenticationError("the token's typ is missing or of another kind")
        if any(name in header for name in _NEVER_IN_HEADER):
            raise AuthenticationError("the token's header has a critical extension, or brings its own key")
        if kid is not None and (not isinstance(kid, str) or not 0 < len(kid) <= MAX_TEXT_CHARS):
            raise AuthenticationError("the token's kid is not a short text")
        return algorithm, kid

    def _verify_with(self, jwt: UnverifiedJwt, algorithm: str, candidates: Sequence[VerificationKey]) -> dict[str, Any]:
        if not any(key.verifies(jwt.token, algorithm) for key in candidates):
            raise AuthenticationError("the token's signature does not hold")
        self._check_parties(jwt.claims)
        self._check_times(jwt.claims)
        return jwt.claims

    def _check_parties(self, claims: dict[str, Any]) -> None:
        if claims.get("iss") != self.issuer:
            raise AuthenticationError("the token is from another issuer, or names none")
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
            raise AuthenticationError("the token names no audience")
        if self._audiences.isdisjoint(audiences):
            raise AuthenticationError("the token is for another audience")

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock()
        expires_at, issued_at = _numeric_date(claims, "exp"), _numeric_date(claims, "iat")
        if self._has_expired(expires_at, issued_at, now):
            raise AuthenticationError("the token has expired")
        if now < issued_at - self._leeway_s:
            raise AuthenticationError("the token was issued in the future")
        if "nbf" in claims and now < _numeric_date(claims, "nbf") - self._leeway_s:
            raise AuthenticationError("the token is not valid yet")
        if not 0 < expires_at - issued_at <= self._max_lifetime_s:
            raise AuthenticationError(f"the token's lifetime is not within {self._max_lifetime_s:g} s")

    def _has_expired(self, expires_at: float, issued_at: float, now: float) -> bool:
        """Whether a token has expired, or was found so before by a clock that has gone back since.

        Remembered is no token but the latest end and the latest issue among those found expired: what is not later in
        either is over as well, and after an hour in the future by mistake newly issued tokens work.
        """
        with self._lock:
            latest_end, latest_issue = self._expired
            if now >= expires_at + self._leeway_s:
                self._expired = max(latest_end, expires_at), max(latest_issue, issued_at)
                return True
            return expires_at <= latest_end and issued_at <= latest_issue


def _numeric_date(claims: dict[str, Any], name: str) -> float:
    """Return a NumericDate, in seconds since the epoch."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMERIC_DATE:
        raise AuthenticationError(f"the token's {name} is missing, not a number, or absurd")
    return float(value)
