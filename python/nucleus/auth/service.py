"""Tokens of other services: short-lived JWTs, each good for one call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from nucleus.auth.algorithms import ASYMMETRIC
from nucleus.auth.bearer import bearer_context
from nucleus.auth.clock import Clock
from nucleus.auth.context import RequestContext, TokenSource
from nucleus.auth.frames import forgets_token
from nucleus.auth.keys import KeySource
from nucleus.auth.oid_scope import OidScope, named_oids
from nucleus.auth.replay import InMemoryReplayCache, ReplayCache
from nucleus.auth.verifier import MAX_TEXT_CHARS, JwtVerifier
from nucleus.errors import AuthenticationError

ROLE = "service"


class ServiceTokenParser:
    """Parses the JWTs of one issuer of service tokens. The bearer is the claim ``service_oid``, the role ``service``.

    Every token carries a ``jti`` and is accepted once: a copy that somebody has seen is worth nothing.

    Args:
        issuer: what ``iss`` must be, byte for byte.
        audience: what ``aud`` must be or contain: this service.
        keys: :class:`~nucleus.auth.StaticKeys` or :class:`~nucleus.auth.JwksKeys`.
        oids: whom the issuer may speak for: OIDs and prefixes of whole parts, such as ``oid:onoal:user:*``;
            ``ANY_OID`` for anybody. Every OID that a token names is checked: bearer, subject, actors.
        replays: remembers the tokens seen; one per process by default. Services of several processes share a
            :class:`~nucleus.auth.SqliteReplayCache`.
        algorithms: the only algorithms accepted.
        types: the only ``typ`` accepted in the header.
        leeway_s: how far the issuer's clock may be off, in seconds, 0 to 300.
        max_lifetime_s: longest lifetime of a token, in seconds.
        clock: the time now.

    Raises:
        ConfigError: an argument cannot work, or joserfc is not installed.
    """

    source = TokenSource.SERVICE

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Iterable[str],
        keys: KeySource,
        oids: Iterable[str],
        replays: ReplayCache | None = None,
        algorithms: Iterable[str] = ASYMMETRIC,
        types: Iterable[str] = ("JWT", "service+jwt"),
        leeway_s: float = 30,
        max_lifetime_s: float = 300,
        clock: Clock = time.time,
    ) -> None:
        self._scope = OidScope(oids)
        self._verifier = JwtVerifier(
            issuer=issuer,
            audience=audience,
            keys=keys,
            algorithms=algorithms,
            types=types,
            leeway_s=leeway_s,
            max_lifetime_s=max_lifetime_s,
            clock=clock,
        )
        self._replays: ReplayCache = InMemoryReplayCache() if replays is None else replays
        self._clock = clock

    @property
    def issuer(self) -> str:
        """The issuer whose tokens are claimed."""
        return self._verifier.issuer

    def validate_format(self, token: str) -> bool:
        """Whether the token is a JWT that says it is from this issuer."""
        return self._verifier.claims_to_be_ours(token)

    @forgets_token
    def parse(self, token: str) -> RequestContext:
        """Verify the token and remember that it was used. May block.

        Raises:
            AuthenticationError: the token is not valid, or was used before.
            KeysUnavailableError: the issuer's keys cannot be had.
        """
        return self._once(token, self._verifier.verify(token))

    @forgets_token
    async def parse_async(self, token: str) -> RequestContext:
        """Do as :meth:`parse` does, without blocking the event loop."""
        claims = await self._verifier.verify_async(token)
        if self._replays.blocks:
            return await asyncio.to_thread(self._once, token, claims)
        return self._once(token, claims)

    def _once(self, token: str, claims: dict[str, Any]) -> RequestContext:
        """Make the context first: what is not accepted anyway is not remembered."""
        context = bearer_context(self.source, token, claims.get("service_oid"), ROLE, claims)
        self._scope.check([context.oid, *named_oids(claims)])
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_TEXT_CHARS:
            raise AuthenticationError("the token has no jti")
        kept_until = int(claims["exp"] + self._verifier.leeway_s) + 1
        if not self._replays.first_use(self.issuer, jti, kept_until, now=int(self._clock())):
            raise AuthenticationError("the token was used before")
        return context
