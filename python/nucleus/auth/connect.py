"""Tokens of an identity service: JWTs that name a person."""

from __future__ import annotations

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
from nucleus.auth.verifier import JwtVerifier


class ConnectTokenParser:
    """Parses the JWTs of one identity service. The bearer is the claim ``oid``, else ``sub``; the role is ``role``.

    Args:
        issuer: what ``iss`` must be, byte for byte.
        audience: what ``aud`` must be or contain; one of them, when several are given.
        keys: :class:`~nucleus.auth.StaticKeys` or :class:`~nucleus.auth.JwksKeys`.
        oids: whom the issuer may speak for: OIDs and prefixes of whole parts, such as ``oid:onoal:user:*``;
            ``ANY_OID`` for anybody. Every OID that a token names is checked: bearer, subject, actors.
        algorithms: the only algorithms accepted.
        types: the only ``typ`` accepted in the header.
        leeway_s: how far the issuer's clock may be off, in seconds, 0 to 300.
        max_lifetime_s: longest lifetime of a token, in seconds.
        clock: the time now.

    Raises:
        ConfigError: an argument cannot work, or joserfc is not installed.
    """

    source = TokenSource.CONNECT

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Iterable[str],
        keys: KeySource,
        oids: Iterable[str],
        algorithms: Iterable[str] = ASYMMETRIC,
        types: Iterable[str] = ("JWT", "at+jwt"),
        leeway_s: float = 30,
        max_lifetime_s: float = 86_400,
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

    @property
    def issuer(self) -> str:
        """The issuer whose tokens are claimed."""
        return self._verifier.issuer

    def validate_format(self, token: str) -> bool:
        """Whether the token is a JWT that says it is from this issuer."""
        return self._verifier.claims_to_be_ours(token)

    @forgets_token
    def parse(self, token: str) -> RequestContext:
        """Verify the token. May block while keys are fetched.

        Raises:
            AuthenticationError: the token is not valid.
            KeysUnavailableError: the issuer's keys cannot be had.
        """
        return self._context(token, self._verifier.verify(token))

    @forgets_token
    async def parse_async(self, token: str) -> RequestContext:
        """Do as :meth:`parse` does, without blocking the event loop."""
        return self._context(token, await self._verifier.verify_async(token))

    def _context(self, token: str, claims: dict[str, Any]) -> RequestContext:
        oid = claims["oid"] if "oid" in claims else claims.get("sub")
        context = bearer_context(self.source, token, oid, claims.get("role"), claims)
        # A subject need not be an OID where the bearer is named by one.
        self._scope.check([context.oid, *named_oids(claims)])
        return context
