"""What is kept of an API key, and where."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Protocol

from nucleus.auth.row_seal import is_seal, seal
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
        mac: keyed hash over everything above that decides, 32 bytes; None for a key that counts for nothing until it
            is adopted, or any more. A revoked key, and one that was found expired, has lost its ``digest`` too: no
            edit of the row makes it valid again, nor does a clock that goes back.
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
    mac: bytes | None = field(default=None, repr=False)

    def is_valid_at(self, now: float) -> bool:
        """Whether it is neither revoked nor expired, and was not found so before."""
        return bool(self.digest) and self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def sealed(self, hash_key: bytes) -> ApiKey:
        """Return the key with the seal that belongs to it."""
        return replace(self, mac=self._seal(hash_key))

    def is_sealed(self, hash_key: bytes) -> bool:
        """Whether the row is as it was written by whoever has ``hash_key``."""
        return is_seal(self._seal(hash_key), self.mac)

    def _seal(self, hash_key: bytes) -> bytes:
        decides = (self.id, self.digest, self.oid, self.role, self.name, self.created_at, self.expires_at)
        return seal(hash_key, b"nucleus key row", *decides, self.replaced_by)

    def ended(self) -> ApiKey:
        """Return the key without what makes it one."""
        return replace(self, digest=b"", mac=None)


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

    def replace(self, before: ApiKey, after: ApiKey, *successors: ApiKey) -> bool:
        """Put ``after`` in the place of ``before`` and add ``successors``; False, and nothing done, if it changed."""

    def revoke(self, id: str, revoked_at: int) -> bool:
        """Revoke a key for good, its ``digest`` and ``mac`` too; False when there is none, or it was revoked before."""

    def end(self, id: str) -> None:
        """Take ``digest`` and ``mac`` from a key that has expired; :meth:`get` says so from now on. Never waits."""

    def touch(self, id: str, used_at: int) -> None:
        """Note that a key was used, where that is possible at once: never waits, and nothing depends on it."""


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

    def replace(self, before: ApiKey, after: ApiKey, *successors: ApiKey) -> bool:
        """See :meth:`ApiKeyStore.replace`."""
        with self._lock:
            key = self._keys.get(before.id)
            if key is None or (key.mac, key.digest) != (before.mac, before.digest):
                return False
            for each in (after, *successors):
                self._keys[each.id] = each
            return True

    def revoke(self, id: str, revoked_at: int) -> bool:
        """See :meth:`ApiKeyStore.revoke`."""
        with self._lock:
            key = self._keys.get(id)
            if key is None or key.revoked_at is not None:
                return False
            self._keys[id] = replace(key.ended(), revoked_at=revoked_at)
            return True

    def end(self, id: str) -> None:
        """See :meth:`ApiKeyStore.end`."""
        with self._lock:
            key = self._keys.get(id)
            if key is not None:
                self._keys[id] = key.ended()

    def touch(self, id: str, used_at: int) -> None:
        """See :meth:`ApiKeyStore.touch`."""
        with self._lock:
            key = self._keys.get(id)
            if key is not None:
                self._keys[id] = replace(key, last_used_at=max(used_at, key.last_used_at or 0))
