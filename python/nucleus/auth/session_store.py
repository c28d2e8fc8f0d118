"""What is kept of a session, and where."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nucleus.errors import StorageError


@dataclass(frozen=True, slots=True)
class Session:
    """One session as it is kept: by a hash of its id, so that whoever reads the store cannot take it over.

    Attributes:
        digest: hash of the id, 32 bytes.
        oid: whose session it is.
        role: the bearer's role.
        claims: what the application noted at its creation; JSON values.
        created_at: seconds since the epoch.
        expires_at: the first second in which it is over, seconds since the epoch.
        idle_timeout_s: it is over when unused for so long; None for no such limit.
        last_seen_at: when it was used, seconds since the epoch; up to a minute late.
        mac: keyed hash over everything above, 32 bytes; the key is made of the token, and of the service's hash key
            where it has one.
    """

    digest: bytes = field(repr=False)
    oid: str
    role: str | None
    claims: Mapping[str, Any]
    created_at: int
    expires_at: int
    idle_timeout_s: int | None
    last_seen_at: int
    mac: bytes | None = field(default=None, repr=False)

    def is_over(self, now: float) -> bool:
        """Whether it has expired or was idle for too long."""
        idle = self.idle_timeout_s is not None and now >= self.last_seen_at + self.idle_timeout_s
        return now >= self.expires_at or idle


class SessionStore(Protocol):
    """Keeps sessions. Every method is atomic; a session that is revoked is gone."""

    @property
    def blocks(self) -> bool:
        """Whether a call may take long enough to hold up an event loop."""

    def add(self, session: Session) -> None:
        """Keep a new session."""

    def get(self, digest: bytes) -> Session | None:
        """Return the session; None when there is none (any more)."""

    def touch(self, session: Session) -> None:
        """Note that a session was used, ``last_seen_at`` and ``mac``, where that is possible at once.

        Never waits; what is gone stays gone, and nothing is noted that is older than what is there.
        """

    def end(self, digest: bytes) -> None:
        """Remove a session that is over: :meth:`get` finds it no more, whatever the clock says. Never waits."""

    def replace(self, digest: bytes, session: Session) -> bool:
        """Put ``session`` in the place of the one with ``digest``; False, and nothing done, when that is gone."""

    def remove(self, digest: bytes) -> bool:
        """Revoke a session; False when it was gone already."""

    def remove_all(self, oid: str) -> int:
        """Revoke all sessions of one bearer; returns how many."""

    def purge(self, now: int) -> int:
        """Remove what is over; returns how many. Saves space only: such sessions count for nothing as they are."""


class InMemorySessionStore:
    """Keeps sessions in this process, until it ends.

    Args:
        max_sessions: how many at a time.
    """

    blocks = False

    def __init__(self, *, max_sessions: int = 100_000) -> None:
        self._max_sessions = max_sessions
        # The lock guards the dictionary.
        self._lock = threading.Lock()
        self._sessions: dict[bytes, Session] = {}

    def add(self, session: Session) -> None:
        """See :meth:`SessionStore.add`.

        Raises:
            StorageError: the store is full of sessions that are not over.
        """
        if len(self._sessions) >= self._max_sessions:
            self.purge(session.created_at)
        with self._lock:
            if len(self._sessions) >= self._max_sessions:
                raise StorageError(f"the store is full: {self._max_sessions} sessions are open")
            self._sessions[session.digest] = session

    def get(self, digest: bytes) -> Session | None:
        """See :meth:`SessionStore.get`."""
        return self._sessions.get(digest)

    def touch(self, session: Session) -> None:
        """See :meth:`SessionStore.touch`."""
        with self._lock:
            kept = self._sessions.get(session.digest)
            if kept is not None and kept.last_seen_at < session.last_seen_at:
                self._sessions[session.digest] = session

    def end(self, digest: bytes) -> None:
        """See :meth:`SessionStore.end`."""
        self.remove(digest)

    def replace(self, digest: bytes, session: Session) -> bool:
        """See :meth:`SessionStore.replace`."""
        with self._lock:
            if self._sessions.pop(digest, None) is None:
                return False
            self._sessions[session.digest] = session
            return True

    def remove(self, digest: bytes) -> bool:
        """See :meth:`SessionStore.remove`."""
        with self._lock:
            return self._sessions.pop(digest, None) is not None

    def remove_all(self, oid: str) -> int:
        """See :meth:`SessionStore.remove_all`."""
        return self._remove([digest for digest, session in self._snapshot() if session.oid == oid])

    def purge(self, now: int) -> int:
        """See :meth:`SessionStore.purge`."""
        return self._remove([digest for digest, session in self._snapshot() if session.is_over(now)])

    def _snapshot(self) -> list[tuple[bytes, Session]]:
        with self._lock:
            return list(self._sessions.items())

    def _remove(self, digests: list[bytes]) -> int:
        return sum(self.remove(digest) for digest in digests)
