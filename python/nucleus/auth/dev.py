"""Development tokens: ``dev:oid:onoal:user:alice``. Whoever can write one is whoever they say they are."""

from __future__ import annotations

import os
from collections.abc import Iterable

from nucleus.auth.bearer import bearer_context
from nucleus.auth.context import RequestContext, TokenSource
from nucleus.auth.frames import forgets_token
from nucleus.auth.oid_scope import ANY_OID, OidScope
from nucleus.errors import AuthenticationError

PREFIX = "dev:"


class DevTokenParser:
    """Parses ``dev:<oid>``.

    Args:
        enabled: accept such tokens at all. To be switched on in code, not by configuration, and refused all the same
            whenever the environment variable ``NUCLEUS_ENV`` is ``production`` at the time of the request.
        role: the role that every bearer gets.
        oids: who may be named; see :class:`~nucleus.auth.ConnectTokenParser`.
    """

    source = TokenSource.DEV

    def __init__(self, *, enabled: bool = False, role: str | None = None, oids: Iterable[str] = (ANY_OID,)) -> None:
        self._scope = OidScope(oids)
        self._enabled = enabled is True
        self._role = role

    def validate_format(self, token: str) -> bool:
        """Whether the token begins with ``dev:``."""
        return token.startswith(PREFIX)

    @forgets_token
    def parse(self, token: str) -> RequestContext:
        """Take the bearer's word for it.

        Raises:
            AuthenticationError: development tokens are switched off, this is production, or there is no OID.
        """
        if not self._enabled:
            raise AuthenticationError("development tokens are switched off")
        if os.environ.get("NUCLEUS_ENV", "").strip().lower() == "production":
            raise AuthenticationError("development tokens are refused in production")
        if not token.startswith(PREFIX):
            raise AuthenticationError("this is not a development token")
        context = bearer_context(self.source, token, token.removeprefix(PREFIX), self._role)
        self._scope.check([context.oid])
        return context

    @forgets_token
    async def parse_async(self, token: str) -> RequestContext:
        """Do as :meth:`parse` does; nothing in it blocks."""
        return self.parse(token)
