"""Fetching a small document over HTTPS with the standard library, within limits."""

from __future__ import annotations

import ipaddress
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from nucleus.errors import ConfigError

Fetch = Callable[[str, float, int], bytes]
"""``fetch(url, timeout_s, max_bytes)`` returns the body of a 200 answer; any :class:`OSError` says that it failed."""


def check_url(url: str) -> None:
    """Check that a URL may be fetched from.

    Raises:
        ConfigError: it is not https, nor http to this very machine, or has a user name or fragment in it.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise ConfigError("a key set's URL names a host, and no user or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ConfigError("keys are fetched over https only; http is allowed to a loopback address")


def fetch_url(url: str, timeout_s: float, max_bytes: int) -> bytes:
    """Return the body behind ``url``. Redirects are not followed: they could lead away from https.

    Raises:
        OSError: the answer is not 200, too large, or not there in time.
    """
    deadline = time.monotonic() + timeout_s
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "nucleus"})
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout_s) as answer:
            if answer.status != 200:
                raise OSError(f"HTTP status {answer.status}")
            body = b""
            while chunk := answer.read1(65_536):
                body += chunk
                if len(body) > max_bytes:
                    raise OSError(f"the answer is over {max_bytes} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the answer takes longer than {timeout_s} s")
            return body
    except (HTTPException, ValueError) as error:
        raise OSError(f"the answer is not HTTP: {type(error).__name__}") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - the library's own signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Any:
        """Refuse to follow."""
        raise urllib.error.URLError(f"HTTP status {code}: redirects are not followed")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
