"""The keys that an issuer publishes at a URL (JWK Set, RFC 7517), cached."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nucleus.auth.failures import KeysUnavailableError
from nucleus.auth.fetch import Fetch, check_url, fetch_url
from nucleus.auth.key_set import listed_keys
from nucleus.auth.keys import MAX_KEYS, load_jose, names_key, select_keys
from nucleus.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from nucleus.auth.jose import VerificationKey

MAX_JWKS_BYTES = 262_144
_log = logging.getLogger("nucleus.auth")


class JwksKeys:
    """Keys from a JWKS URL.

    They are fetched when first needed, again once they are older than ``cache_s``, and when a token names a key that is
    not among them (the issuer has rotated its keys). One fetch and one thread at a time, whatever becomes of it; never
    two within ``cooldown_s``, so that made-up key names cannot be turned into load on the issuer. While the issuer
    cannot be reached, the last keys stay in use for ``stale_if_error_s`` beyond their time.

    Args:
        url: the key set; https, or http to a loopback address.
        cache_s: how long fetched keys are taken as current, in seconds.
        stale_if_error_s: how much longer they are used while fetching fails, in seconds.
        cooldown_s: shortest time between two fetches, in seconds.
        timeout_s: longest wait for a fetch, in seconds.
        fetch: fetches the document; by default with the standard library.
        monotonic: the clock that ages are measured with.

    Raises:
        ConfigError: the URL may not be fetched from, or joserfc is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        cache_s: float = 300,
        stale_if_error_s: float = 86_400,
        cooldown_s: float = 30,
        timeout_s: float = 5,
        fetch: Fetch = fetch_url,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        check_url(url)
        self._url = url
        self._host = urlsplit(url).hostname
        self._cache_s = cache_s
        self._stale_if_error_s = stale_if_error_s
        self._cooldown_s = cooldown_s
        self._timeout_s = timeout_s
        self._fetch = fetch
        self._monotonic = monotonic
        self._jose = load_jose()
        # The lock guards the five below and is held for a few instructions only, never during a fetch.
        self._lock = threading.Lock()
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched_at: float | None = None
        self._attempted_at: float | None = None
        self._under_way: Future[None] | None = None
        self._thread: threading.Thread | None = None

    def find(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """See :meth:`~nucleus.auth.keys.KeySource.find`; waits at most ``timeout_s``.

        Raises:
            AuthenticationError: no published key fits.
            KeysUnavailableError: there are no keys, or too old ones, and the issuer cannot be reached.
        """
        fetching = self._refresh_for(kid)
        if fetching is not None:
            wait([fetching], self._timeout_s)
        return self._select(kid, algorithm)

    async def find_async(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        """Do as :meth:`find` does, without blocking the event loop."""
        fetching = self._refresh_for(kid)
        if fetching is not None:
            await asyncio.wait([asyncio.wrap_future(fetching)], timeout=self._timeout_s)
        return self._select(kid, algorithm)

    def _refresh_for(self, kid: str | None) -> Future[None] | None:
        """Return the fetch to wait for before ``kid`` is looked up, starting it where it is due; None for no fetch."""
        with self._lock:
            now = self._monotonic()
            current = self._fetched_at is not None and now - self._fetched_at < self._cache_s
            if current and names_key(self._keys, kid):
                return None
            since_attempt = None if self._attempted_at is None else now - self._attempted_at
            if self._thread is not None and self._thread.is_alive():
                # Never a second thread beside one that hangs; after its time nobody waits for it any more.
                return self._under_way if (since_attempt or 0) <= self._timeout_s else None
            if since_attempt is not None and since_attempt < self._cooldown_s:
                return None
            self._attempted_at = now
            fetching: Future[None] = Future()
            self._under_way = fetching
            fetching.set_running_or_notify_cancel()
            # Started under the lock: whoever comes next finds it alive. A forked child finds it dead.
            self._thread = threading.Thread(target=self._run, args=[fetching], name="nucleus-jwks", daemon=True)
            self._thread.start()
        return fetching

    def _run(self, fetching: Future[None]) -> None:
        keys: tuple[VerificationKey, ...] | None = None
        try:
            keys = self._read(self._fetch(self._url, self._timeout_s, MAX_JWKS_BYTES))
        except Exception as error:
            _log.warning("the keys of %s could not be fetched: %s: %s", self._host, type(error).__name__, error)
        with self._lock:
            if keys is not None:
                self._keys, self._fetched_at = keys, self._monotonic()
            if self._under_way is fetching:
                self._under_way = None
        fetching.set_result(None)

    def _read(self, body: bytes) -> tuple[VerificationKey, ...]:
        """Read a key set; keys of other kinds or uses stand beside ours and are passed over (RFC 7517, section 5)."""
        listed = listed_keys(body) if len(body) <= MAX_JWKS_BYTES else None
        if listed is None or len(listed) > MAX_KEYS:
            raise ConfigError(f"the document is not a JWK Set of at most {MAX_KEYS} keys and {MAX_JWKS_BYTES} bytes")
        keys: list[VerificationKey] = []
        for jwk in listed:
            try:
                keys.append(self._jose.key_from_jwk(jwk))
            except ConfigError as error:
                _log.info("a key of %s is passed over: %s", self._host, error)
        if not keys:
            raise ConfigError("the JWK Set has no key that can be used")
        return tuple(keys)

    def _select(self, kid: str | None, algorithm: str) -> Sequence[VerificationKey]:
        with self._lock:
            keys, fetched_at = self._keys, self._fetched_at
            age_s = None if fetched_at is None else self._monotonic() - fetched_at
        if age_s is None or age_s >= self._cache_s + self._stale_if_error_s:
            raise KeysUnavailableError(
                "the issuer's keys cannot be fetched right now", retry_after_s=max(1, round(self._cooldown_s))
            )
        if age_s >= self._cache_s and not names_key(keys, kid):
            raise KeysUnavailableError("the issuer's keys are out of date and cannot be fetched right now")
        if not keys:
            raise AuthenticationError("the issuer publishes no keys")
        return select_keys(keys, kid, algorithm)
