"""Making, rotating and revoking API keys."""

from __future__ import annotations

import builtins
import time
from dataclasses import replace

from nucleus._core import check_oid
from nucleus.auth.api_key_format import hash_secret, new_api_key
from nucleus.auth.api_key_store import ApiKey, ApiKeyStore
from nucleus.auth.clock import Clock
from nucleus.auth.frames import forgets_secrets
from nucleus.auth.hash_key import check_hash_key
from nucleus.errors import ConfigError, ConflictError, IntegrityError


class ApiKeyManager:
    """Makes API keys and keeps what is needed to recognise them.

    Args:
        store: where keys are kept.
        hash_key: the secret that they are hashed with, 32 to 64 bytes; the parser needs the same.
        clock: the time now.

    Raises:
        ConfigError: ``hash_key`` cannot be used.
    """

    @forgets_secrets
    def __init__(self, store: ApiKeyStore, hash_key: bytes, *, clock: Clock = time.time) -> None:
        self._store = store
        self._hash_key = check_hash_key(hash_key)
        self._clock = clock

    @forgets_secrets
    def create(
        self, oid: str, *, name: str = "", role: str | None = None, ttl_s: int | None = None
    ) -> tuple[str, ApiKey]:
        """Make a key that speaks for ``oid``.

        Args:
            oid: whom it speaks for.
            name: what it is for.
            role: the bearer's role.
            ttl_s: how long it is valid, in seconds; None for as long as it is not revoked.

        Returns:
            the key's text, to be shown to its bearer once and kept nowhere, and what is kept of it.

        Raises:
            InvalidRecordError: ``oid`` is not an OID.
            ConfigError: ``ttl_s`` is not at least a second.
        """
        check_oid(oid)
        if ttl_s is not None and ttl_s < 1:
            raise ConfigError("ttl_s is at least one second")
        text, key = self._make(oid, name, role, ttl_s)
        self._store.add(key)
        return text, key

    @forgets_secrets
    def rotate(self, id: str, *, overlap_s: int = 86_400, ttl_s: int | None = None) -> tuple[str, ApiKey]:
        """Make a key in the place of another, which stays valid for ``overlap_s`` seconds, and not beyond its own end.

        Args:
            id: id of the key to be replaced.
            overlap_s: how long both are valid, in seconds; 0 ends the old one at once.
            ttl_s: how long the new one is valid, in seconds; None for as long as it is not revoked.

        Returns:
            as :meth:`create`.

        Raises:
            ConflictError: there is no such key, or it is not valid, or was replaced before.
            IntegrityError: its row was edited by somebody else.
            ConfigError: a duration is out of range.
        """
        if overlap_s < 0 or (ttl_s is not None and ttl_s < 1):
            raise ConfigError("overlap_s is at least 0, and ttl_s at least one second")
        old = self._store.get(id)
        if old is None:
            raise ConflictError(f"there is no API key {id}")
        text, key = self._make(old.oid, old.name, old.role, ttl_s)
        if old.replaced_by is not None or not old.is_valid_at(key.created_at):
            raise ConflictError(f"API key {id} is not valid any more, or was replaced before")
        if not old.is_sealed(self._hash_key):
            raise IntegrityError(f"API key {id} has been edited in its store, or comes from 0.1.0 and is to be adopted")
        ends_at = key.created_at + overlap_s
        if old.expires_at is not None:
            ends_at = min(ends_at, old.expires_at)
        after = replace(old, expires_at=ends_at, replaced_by=key.id).sealed(self._hash_key)
        if not self._store.replace(old, after, key):
            raise ConflictError(f"API key {id} is not valid any more, or was replaced before")
        return text, key

    def adopt(self, id: str) -> ApiKey:
        """Vouch for a key that a store of version 0.1.0 holds, which is not accepted before: its row carries no seal.

        Look at what :meth:`list` says of it first: whom it speaks for and with which role is believed from now on.

        Raises:
            ConflictError: there is no such key, or it is not valid, or is sealed already.
        """
        key = self._store.get(id)
        if key is None or key.mac is not None or not key.is_valid_at(self._clock()):
            raise ConflictError(f"there is no valid API key {id} that waits to be adopted")
        sealed = key.sealed(self._hash_key)
        if not self._store.replace(key, sealed):
            raise ConflictError(f"API key {id} was changed at this moment")
        return sealed

    def revoke(self, id: str) -> bool:
        """Revoke a key, from the next request on; False when there is none, or it was revoked before."""
        return self._store.revoke(id, int(self._clock()))

    def list(self, oid: str | None = None) -> builtins.list[ApiKey]:
        """Return all keys, or those of one bearer, oldest first; without their secrets, which are not there."""
        return self._store.list(oid)

    def _make(self, oid: str, name: str, role: str | None, ttl_s: int | None) -> tuple[str, ApiKey]:
        text, parts = new_api_key()
        now = int(self._clock())
        expires_at = None if ttl_s is None else now + ttl_s
        key = ApiKey(parts.id, hash_secret(parts, self._hash_key), oid, role, name, now, expires_at)
        return text, key.sealed(self._hash_key)
