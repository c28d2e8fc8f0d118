"""What is kept of an API key, and where."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Protocol

from nucleus.errors import ConflictError


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One API key as it is kept: without its secret.

    Attributes:
        id: the middle part of the key's text; no secret.
        digest: keyed hash of the key, 32 bytes.
        oid: whom the key speaks for.
        role: the bearer's role.
        name: what the key is for, in the words of whoever made it.
        created_at: seconds since the epoch.
        expires_at: the first second in which it is not valid any more; None for never.
        revoked_at: when it was revoked, or None.
        last_used_at: when it was used, up to a minute late, or None.
        replaced_by: id of the key that was made in its place, or None.
    """

    id: str
    digest: bytes = field(repr=False)
    oid: str
    role: str | None
    name: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    replaced_by: str | None = None

    def is_valid_at(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ApiKeyStore(Protocol):
    """Keeps API keys. Every method is atomic."""

    @property
    def blocks(self) -> bool:
        """Whether a call may take long enough to hold up an event loop."""

    def add(self, key: ApiKey) -> None:
        """Keep a new key.

        Raises:
            ConflictError: there is one with its id.
        """

    def get(self, id: str) -> ApiKey | None:
        """Return the key; None when there is none."""

    def list(self, oid: str | None = None) -> list[ApiKey]:
        """Return all keys, or those of one bearer, oldest first."""

    def replace(self, id: str, successor: ApiKey, *, ends_at: int) -> bool:
        """Keep ``successor`` and let the key ``id`` expire at ``ends_at`` or before.

        False, and nothing done, when it is not valid at ``successor.created_at`` or has been replaced already.
        """

    def revoke(self, id: str, revoked_at: int) -> bool:
        """Revoke a key for good; False when there is none, or it was revoked before."""

    def touch(self, id: str, used_at: int) -> None:
        """Note that a key was used."""


class InMemoryApiKeyStore:
    """Keeps keys in this process, until it ends."""

    blocks = False

    def __init__(self) -> None:
        # The lock guards the dictionary.
        self._lock = threading.Lock()
        self._keys: dict[str, ApiKey] = {}

    def add(self, key: ApiKey) -> None:
        """See :meth:`ApiKeyStore.add`."""
        with self._lock:
            if key.id in self._keys:
                raise ConflictError(f"there is an API key {key.id} already")
            self._keys[key.id] = key

    def get(self, id: str) -> ApiKey | None:
        """See :meth:`ApiKeyStore.get`."""
        return self._keys.get(id)

    def list(self, oid: str | None = None) -> list[ApiKey]:
        """See :meth:`ApiKeyStore.list`."""
        with self._lock:
            keys = [key for key in self._keys.values() if oid is None or key.oid == oid]
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    def replace(self, id: str, successor: ApiKey, *, ends_at: int) -> bool:
        """See :meth:`ApiKeyStore.replace`."""
        with self._lock:
            key = self._keys.get(id)
            if key is None or key.replaced_by is not None or not key.is_valid_at(successor.created_at):
                return False
            ends = ends_at if key.expires_at is None else min(ends_at, key.expires_at)
            self._keys[id] = replace(key, expires_at=ends, replaced_by=successor.id)
            self._keys[successor.id] = successor
            return True

    def revoke(self, id: str, revoked_at: int) -> bool:
        """See :meth:`ApiKeyStore.revoke`."""
        with self._lock:
            key = self._keys.get(id)
            if key is None or key.revoked_at is not None:
                return False
            self._keys[id] = replace(key, revoked_at=revoked_at)
            return True

    def touch(self, id: str, used_at: int) -> None:
        """See :meth:`ApiKeyStore.touch`."""
        with self._lock:
            key = self._keys.get(id)
            if key is not None:
                self._keys[id] = replace(key, last_used_at=max(used_at, key.last_used_at or 0))
