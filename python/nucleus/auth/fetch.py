"""Fetching a small document over HTTPS with the standard library, within limits of time and size."""

from __future__ import annotations

import base64
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from nucleus.errors import ConfigError

Fetch = Callable[[str, float, int], bytes]
"""``fetch(url, timeout_s, max_bytes)`` returns the body of a 200 answer; any :class:`OSError` says that it failed."""

MAX_HEAD_BYTES = 65_536
"""Largest head of an answer: status line and header."""


def check_url(url: str) -> None:
    """Check that a URL may be fetched from.

    Raises:
        ConfigError: it is not https, nor http to this very machine, or has a user name or fragment in it.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - read for what it raises
    except ValueError:
        raise ConfigError("a key set's URL is not one") from None
    if not parts.hostname or parts.username or parts.password or parts.fragment or not url.isascii():
        raise ConfigError("a key set's URL is ASCII and names a host, and no user or fragment")
    if any(character <= " " or character == "\x7f" for character in url):
        raise ConfigError("a key set's URL has no blanks or control characters")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ConfigError("keys are fetched over https only; http is allowed to a loopback address")


def fetch_url(url: str, timeout_s: float, max_bytes: int) -> bytes:
    """Return the body behind ``url``.

    One deadline holds for all of it, from the connection to the last byte: a server that drips is given up. (The
    look-up of a name is the system's, with the system's own limit.) Redirects are not followed: they could lead away
    from https. https goes through the proxy of the environment, if any; plain http, which is for loopback alone,
    through none.

    Raises:
        OSError: the answer is not 200, too large, or not there in time.
    """
    parts = urlsplit(url)
    deadline = _Deadline(timeout_s)
    try:
        with _connect(parts, deadline) as connection:
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            answer = _ask(
                connection,
                deadline,
                f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n"
                "Accept-Encoding: identity\r\nUser-Agent: nucleus\r\nConnection: close\r\n\r\n",
                max_bytes,
            )
            if 300 <= answer.status < 400:
                raise OSError(f"HTTP status {answer.status}: redirects are not followed")
            if answer.status != 200:
                raise OSError(f"HTTP status {answer.status}")
            body = answer.read(max_bytes + 1)
            if len(body) > max_bytes:
                raise OSError(f"the answer is over {max_bytes} bytes")
            if answer.length:
                raise OSError("the answer ends before its end")
            return body
    except (HTTPException, ValueError) as error:
        raise OSError(f"the answer is not HTTP: {type(error).__name__}") from error


class _Deadline:
    """A point in time, which every step is held to."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ends_at = time.monotonic() + timeout_s

    def remaining_s(self) -> float:
        """Return what is left, in seconds.

        Raises:
            TimeoutError: nothing is.
        """
        remaining_s = self._ends_at - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError(f"the answer takes longer than {self._timeout_s} s")
        return remaining_s


class _Incoming(io.RawIOBase):
    """What a connection receives, read within the deadline and up to a number of bytes."""

    def __init__(self, connection: socket.socket, deadline: _Deadline, max_bytes: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left_bytes = max_bytes

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive once."""
        if self._left_bytes <= 0:
            raise OSError("the answer is over its largest size")
        self._connection.settimeout(self._deadline.remaining_s())
        received = self._connection.recv_into(buffer)
        self._left_bytes -= received
        return received

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        """Be what an HTTPResponse expects of a socket."""
        return io.BufferedReader(self)


def _ask(connection: socket.socket, deadline: _Deadline, request: str, max_bytes: int) -> HTTPResponse:
    """Send a request and read the head of its answer."""
    connection.settimeout(deadline.remaining_s())
    connection.sendall(request.encode("ascii"))
    # Chunks may each cost a few bytes more than they hold.
    incoming = _Incoming(connection, deadline, 8 * max_bytes + MAX_HEAD_BYTES)
    answer = HTTPResponse(cast(socket.socket, incoming), method=request.partition(" ")[0])
    answer.begin()
    return answer


def _connect(parts: SplitResult, deadline: _Deadline) -> socket.socket:
    """Open a connection to the host of a URL: straight, or through the proxy of the environment."""
    host = cast(str, parts.hostname)
    if parts.scheme == "http":
        return _connect_to(host, parts.port or 80, deadline, loopback_only=True)
    port = parts.port or 443
    proxy = None if _is_loopback(host) or proxy_bypass(host) else getproxies().get("https")
    connection = _through_proxy(proxy, host, port, deadline) if proxy else _connect_to(host, port, deadline)
    try:
        connection.settimeout(deadline.remaining_s())
        return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise


def _through_proxy(proxy: str, host: str, port: int, deadline: _Deadline) -> socket.socket:
    """Ask an HTTP proxy for a tunnel (RFC 9110, section 9.3.6)."""
    parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not parts.hostname:
        raise OSError("the proxy of the environment is not an http one")
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    credentials = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
    connection = _connect_to(parts.hostname, parts.port or 80, deadline)
    try:
        answer = _ask(
            connection,
            deadline,
            f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{credentials}\r\n",
            MAX_HEAD_BYTES,
        )
        if answer.status != 200:
            raise OSError(f"the proxy answers with HTTP status {answer.status}")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to(host: str, port: int, deadline: _Deadline, *, loopback_only: bool = False) -> socket.socket:
    """Connect to the first address of a host that answers."""
    failure = OSError(f"{host} has no address" + (" on loopback" if loopback_only else ""))
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if loopback_only and not _is_loopback(str(address[0])):
            continue  # a name may lead anywhere
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(deadline.remaining_s())
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
