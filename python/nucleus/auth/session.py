"""Session tokens: ``ns_`` and 256 random bits, meaning nothing but to the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from nucleus.auth.bearer import bearer_context
from nucleus.auth.clock import Clock
from nucleus.auth.context import RequestContext, TokenSource
from nucleus.auth.frames import forgets_secrets, forgets_token
from nucleus.auth.hash_key import check_hash_key
from nucleus.auth.oid_scope import ANY_OID, OidScope
from nucleus.auth.session_manager import PREFIX, is_session_token, open_session, sealed_session
from nucleus.auth.session_store import SessionStore
from nucleus.errors import AuthenticationError

TOUCH_INTERVAL_S = 60
"""How far ``last_seen_at`` may lag behind: writing it at every request would cost a disk write each."""


class SessionTokenParser:
    """Parses the tokens of the sessions in a store.

    Args:
        store: where :class:`~nucleus.auth.SessionManager` keeps them.
        hash_key: the one of the manager, if it has one.
        oids: whose sessions are accepted; see :class:`~nucleus.auth.ConnectTokenParser`.
        clock: the time now.
    """

    source = TokenSource.SESSION

    @forgets_secrets
    def __init__(
        self,
        store: SessionStore,
        *,
        hash_key: bytes | None = None,
        oids: Iterable[str] = (ANY_OID,),
        clock: Clock = time.time,
    ) -> None:
        self._store = store
        self._hash_key = b"" if hash_key is None else check_hash_key(hash_key)
        self._scope = OidScope(oids)
        self._clock = clock

    def validate_format(self, token: str) -> bool:
        """Whether the token begins with ``ns_``."""
        return token.startswith(PREFIX)

    @forgets_token
    def parse(self, token: str) -> RequestContext:
        """Look the session up. May block, by the store.

        Raises:
            AuthenticationError: there is no such session, or it is over, or was revoked.
        """
        now = int(self._clock())
        session = open_session(self._store, token, self._hash_key, now) if is_session_token(token) else None
        if session is None:
            raise AuthenticationError("the session is over, or never was")
        interval_s = min(TOUCH_INTERVAL_S, (session.idle_timeout_s or TOUCH_INTERVAL_S * 10) // 10)
        if now - session.last_seen_at >= max(1, interval_s):
            self._store.touch(sealed_session(replace(session, last_seen_at=now), token, self._hash_key))
        self._scope.check([session.oid])
        return bearer_context(self.source, token, session.oid, session.role, session.claims)

    @forgets_token
    async def parse_async(self, token: str) -> RequestContext:
        """Do as :meth:`parse` does, without blocking the event loop."""
        return await asyncio.to_thread(self.parse, token) if self._store.blocks else self.parse(token)
