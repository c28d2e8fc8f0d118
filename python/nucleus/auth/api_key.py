"""API keys as tokens."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Iterable

from nucleus.auth.api_key_format import PREFIX, hash_secret, split_api_key
from nucleus.auth.api_key_store import ApiKeyStore
from nucleus.auth.bearer import bearer_context
from nucleus.auth.clock import Clock
from nucleus.auth.context import RequestContext, TokenSource
from nucleus.auth.frames import forgets_secrets, forgets_token
from nucleus.auth.hash_key import check_hash_key
from nucleus.auth.oid_scope import ANY_OID, OidScope
from nucleus.errors import AuthenticationError

TOUCH_INTERVAL_S = 60
"""How far ``last_used_at`` may lag behind: writing it at every request would cost a disk write each."""

_NO_KEY = bytes(32)
_log = logging.getLogger("nucleus.auth")


class ApiKeyParser:
    """Parses the API keys in a store.

    Args:
        store: where :class:`~nucleus.auth.ApiKeyManager` keeps them.
        hash_key: the secret that they are hashed with, the manager's own.
        oids: whose keys are accepted; see :class:`~nucleus.auth.ConnectTokenParser`.
        clock: the time now.

    Raises:
        ConfigError: ``hash_key`` cannot be used.
    """

    source = TokenSource.API_KEY

    @forgets_secrets
    def __init__(
        self, store: ApiKeyStore, hash_key: bytes, *, oids: Iterable[str] = (ANY_OID,), clock: Clock = time.time
    ) -> None:
        self._store = store
        self._scope = OidScope(oids)
        self._hash_key = check_hash_key(hash_key)
        self._clock = clock

    def validate_format(self, token: str) -> bool:
        """Whether the token begins with ``nk_``."""
        return token.startswith(PREFIX)

    @forgets_token
    def parse(self, token: str) -> RequestContext:
        """Look the key up and compare. May block, by the store.

        Raises:
            AuthenticationError: there is no such key, or it has expired or was revoked.
        """
        parts = split_api_key(token)
        if parts is None:
            raise AuthenticationError("the API key is not valid")
        key = self._store.get(parts.id)
        # An unknown id costs the same hash and the same comparison as a wrong secret.
        matches = hmac.compare_digest(
            hash_secret(parts, self._hash_key), key.digest if key is not None and key.digest else _NO_KEY
        )
        if key is None or not matches:
            raise AuthenticationError("the API key is not valid")
        if not key.is_sealed(self._hash_key):
            _log.warning("API key %s has been edited in its store, or comes from 0.1.0 and is to be adopted", key.id)
            raise AuthenticationError("the API key is not valid")
        now = int(self._clock())
        if not key.is_valid_at(now):
            self._store.end(key.id)
            raise AuthenticationError("the API key has expired or was revoked")
        if key.last_used_at is None or now - key.last_used_at >= TOUCH_INTERVAL_S:
            self._store.touch(key.id, now)
        self._scope.check([key.oid])
        return bearer_context(self.source, token, key.oid, key.role, {"api_key_id": key.id})

    @forgets_token
    async def parse_async(self, token: str) -> RequestContext:
        """Do as :meth:`parse` does, without blocking the event loop."""
        return await asyncio.to_thread(self.parse, token) if self._store.blocks else self.parse(token)
