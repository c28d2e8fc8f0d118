"""Opening, renewing and revoking sessions: what an application calls at login and logout."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nucleus._core import check_oid
from nucleus.auth.clock import Clock
from nucleus.auth.frames import forgets_secrets
from nucleus.auth.hash_key import check_hash_key
from nucleus.auth.row_seal import is_seal, seal
from nucleus.auth.session_store import Session, SessionStore
from nucleus.errors import AuthenticationError, ConfigError

PREFIX = "ns_"
_SECRET_BYTES = 32
_log = logging.getLogger("nucleus.auth")
_TOKEN = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


class SessionManager:
    """Opens sessions in a store. Ids are always made here, of 256 random bits: nobody can plant one beforehand.

    Args:
        store: where sessions are kept.
        hash_key: a secret of the service, 32 to 64 bytes; the parser needs the same. With one, nobody who can write to
            the store opens a session of their own; without, they still cannot change anybody else's.
        ttl_s: how long a session lasts at most, in seconds.
        idle_timeout_s: how long it lasts unused, in seconds; None for no such limit.
        clock: the time now.

    Raises:
        ConfigError: a duration is not at least a second, or ``hash_key`` cannot be used.
    """

    @forgets_secrets
    def __init__(
        self,
        store: SessionStore,
        *,
        ttl_s: int = 43_200,
        idle_timeout_s: int | None = 1_800,
        hash_key: bytes | None = None,
        clock: Clock = time.time,
    ) -> None:
        if ttl_s < 1 or (idle_timeout_s is not None and idle_timeout_s < 1):
            raise ConfigError("ttl_s and idle_timeout_s are at least one second")
        self._store = store
        self._ttl_s = ttl_s
        self._idle_timeout_s = idle_timeout_s
        self._hash_key = b"" if hash_key is None else check_hash_key(hash_key)
        self._clock = clock

    @forgets_secrets
    def create(self, oid: str, *, role: str | None = None, claims: Mapping[str, Any] | None = None) -> str:
        """Open a session for someone who has just proved who they are; returns its token, which is kept nowhere.

        Raises:
            InvalidRecordError: ``oid`` is not an OID.
        """
        check_oid(oid)
        now = int(self._clock())
        token = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        session = Session(
            digest=session_digest(token),
            oid=oid,
            role=role,
            claims=dict(claims or {}),
            created_at=now,
            expires_at=now + self._ttl_s,
            idle_timeout_s=self._idle_timeout_s,
            last_seen_at=now,
        )
        self._store.add(sealed_session(session, token, self._hash_key))
        return token

    @forgets_secrets
    def rotate(self, token: str, *, role: str | None = None) -> str:
        """Give a session a new token, the old one ending at once; to be called whenever the bearer gains rights.

        The session's end stays what it was.

        Args:
            token: the token until now.
            role: the new role; None keeps it.

        Raises:
            AuthenticationError: there is no such session, or it is over.
        """
        now = int(self._clock())
        session = open_session(self._store, token, self._hash_key, now)
        if session is None:
            raise AuthenticationError("the session is over, or never was")
        renewed = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        changed = replace(
            session, digest=session_digest(renewed), role=session.role if role is None else role, last_seen_at=now
        )
        if not self._store.replace(session.digest, sealed_session(changed, renewed, self._hash_key)):
            raise AuthenticationError("the session is over, or never was")
        return renewed

    @forgets_secrets
    def revoke(self, token: str) -> bool:
        """End a session, from the next request on; False when it had ended before."""
        return self._store.remove(session_digest(token))

    def revoke_all(self, oid: str) -> int:
        """End all sessions of one bearer; returns how many there were."""
        return self._store.remove_all(oid)

    def purge_expired(self) -> int:
        """Remove sessions that are over from the store; returns how many. Saves space, changes nothing else."""
        return self._store.purge(int(self._clock()))


def is_session_token(token: str) -> bool:
    """Whether a token has the full form of a session's."""
    return _TOKEN.fullmatch(token) is not None


def session_digest(token: str) -> bytes:
    """Return what a session is kept by. No key and no salt: 256 random bits cannot be guessed back."""
    return hashlib.blake2b(token.encode(), digest_size=32, person=b"nucleus session").digest()


def sealed_session(session: Session, token: str, hash_key: bytes) -> Session:
    """Return the session with the seal that belongs to it."""
    return replace(session, mac=_session_seal(session, token, hash_key))


def open_session(store: SessionStore, token: str, hash_key: bytes, now: int) -> Session | None:
    """Return the session of a token; None when there is none, or it is over, or somebody edited its row.

    One that is found to be over is removed: a clock that goes back brings none back.
    """
    session = store.get(session_digest(token))
    if session is None:
        return None
    if not is_seal(_session_seal(session, token, hash_key), session.mac):
        _log.warning("a session of %s has been edited in its store, or was made with another hash key", session.oid)
        return None
    if session.is_over(now):
        store.end(session.digest)
        return None
    return session


def _session_seal(session: Session, token: str, hash_key: bytes) -> bytes:
    """Return the hash over a row. Its key is made of the token, which the store does not hold."""
    key = hashlib.blake2b(token.encode(), digest_size=64, key=hash_key, person=b"nucleus row key").digest()
    bounds = (session.created_at, session.expires_at, session.idle_timeout_s, session.last_seen_at)
    return seal(key, b"nucleus sess row", session.digest, session.oid, session.role, dict(session.claims), *bounds)
