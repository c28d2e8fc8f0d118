"""Throttling by failed attempts: ten a minute from one address, then 429 until the minute is over.

One process counts for itself; services of several processes count in what they share.
"""

import time
from collections.abc import Callable
from typing import Any

from nucleus.auth import FailedAttempt, FailureReason

MAX_FAILURES = 10
WINDOW_S = 60
MAX_ADDRESSES = 100_000


class Throttle:
    """Counts failed attempts by address; ``record`` is the hook ``on_failure`` of the middleware."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = -1
        self._failures: dict[str, int] = {}

    def record(self, attempt: FailedAttempt) -> None:
        """Count an attempt; what is no fault of the client's is not counted."""
        self._begin_window()
        if attempt.reason is FailureReason.UNAVAILABLE or attempt.client is None:
            return
        if attempt.client in self._failures or len(self._failures) < MAX_ADDRESSES:
            self._failures[attempt.client] = self._failures.get(attempt.client, 0) + 1

    def is_blocked(self, client: str | None) -> bool:
        """Whether an address has failed too often within this minute."""
        self._begin_window()
        return client is not None and self._failures.get(client, 0) >= MAX_FAILURES

    def _begin_window(self) -> None:
        window = int(self._clock() // WINDOW_S)
        if window != self._window:
            self._window, self._failures = window, {}


class ThrottleMiddleware:
    """Goes around an :class:`~nucleus.auth.AsgiAuthMiddleware` that was given ``on_failure=throttle.record``."""

    def __init__(self, app: Any, throttle: Throttle) -> None:
        self.app = app
        self._throttle = throttle

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 429, or hand the request on."""
        client = scope.get("client")
        if scope["type"] == "http" and self._throttle.is_blocked(client[0] if client else None):
            headers = [(b"retry-after", str(WINDOW_S).encode()), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 429, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send)
