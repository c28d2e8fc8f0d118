"""Remembering which one-time tokens were used."""

from __future__ import annotations

import heapq
import threading
from typing import Protocol

from nucleus.errors import AuthenticationError


class ReplayCache(Protocol):
    """Remembers the ids of used tokens for as long as the tokens are valid."""

    @property
    def blocks(self) -> bool:
        """Whether a call may take long enough to hold up an event loop."""

    def first_use(self, issuer: str, jti: str, kept_until: int, *, now: int) -> bool:
        """Remember a token, atomically; False when it is remembered already, or might have been and forgotten.

        A clock that goes back makes no token new: what ends no later than something that was forgotten is refused.

        Args:
            issuer: who issued it; ids are unique to their issuer.
            jti: its id.
            kept_until: from when on it may be forgotten, in seconds since the epoch.
            now: the time, in seconds since the epoch.
        """


class InMemoryReplayCache:
    """Remembers for one process.

    Args:
        max_tokens: how many at a time. When that many are still valid, further ones are refused: forgetting one
            would let it be used again.
    """

    blocks = False

    def __init__(self, *, max_tokens: int = 100_000) -> None:
        self._max_tokens = max_tokens
        # The lock guards the three below. The first two always hold the same tokens.
        self._lock = threading.Lock()
        self._used: set[tuple[str, str]] = set()
        self._by_time: list[tuple[int, tuple[str, str]]] = []
        self._forgotten_until = 0

    def first_use(self, issuer: str, jti: str, kept_until: int, *, now: int) -> bool:
        """See :meth:`ReplayCache.first_use`.

        Raises:
            AuthenticationError: too many tokens are valid at the moment.
        """
        token = (issuer, jti)
        with self._lock:
            while self._by_time and self._by_time[0][0] <= now:
                ended_at, forgotten = heapq.heappop(self._by_time)
                self._forgotten_until = max(self._forgotten_until, ended_at)
                self._used.discard(forgotten)
            if token in self._used or kept_until <= self._forgotten_until:
                return False
            if len(self._used) >= self._max_tokens:
                raise AuthenticationError("too many tokens are in use at the moment")
            self._used.add(token)
            heapq.heappush(self._by_time, (kept_until, token))
            return True
