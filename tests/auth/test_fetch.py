"""Fetching published keys from servers that drip, lie or send elsewhere: over real sockets."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.auth.parsers import Clock
from tests.auth.tokens import rsa_jwk, rsa_key

from nucleus.auth import JwksKeys, KeysUnavailableError
from nucleus.auth.fetch import fetch_url

BODY = json.dumps({"keys": [rsa_jwk(rsa_key(), kid="k")]}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY) + BODY


class Server:
    """Answers each connection with what it is told to, in a thread of its own; keeps the requests."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._pieces = pieces
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.requests.append(connection.recv(65_536))
                for piece in self._pieces():
                    connection.sendall(piece)
            except OSError:
                self.ended.set()

    def close(self) -> None:
        self._listener.close()


@contextmanager
def server(*pieces: bytes, again: bytes = b"") -> Iterator[Server]:
    """Sends ``pieces``, then ``again`` and again, slowly."""

    def forever() -> Iterator[bytes]:
        yield from pieces
        while again:
            yield again
            time.sleep(0.02)

    serving = Server(forever)
    try:
        yield serving
    finally:
        serving.close()


DRIPS = {
    "status line": ([], b"H"),
    "header": ([b"HTTP/1.1 200 OK\r\n"], b"X"),
    "headers": ([b"HTTP/1.1 200 OK\r\n"], b"X: y\r\n"),
    "continue": ([], b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": ([b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"], b"x"),
    "body without an end": ([b"HTTP/1.1 200 OK\r\n\r\n"], b" "),
    "chunks": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], b"1\r\nx\r\n"),
    "chunk": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], b"0"),
    "trailers": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"], b"X: y\r\n"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_server_that_drips_is_given_up(name: str) -> None:
    """The connection is closed, which the server sees; it would go on for ever."""
    pieces, again = DRIPS[name]
    with server(*pieces, again=again) as dripping:
        with pytest.raises(OSError):  # noqa: PT011 - a bound of time or of size, whichever comes first
            fetch_url(f"http://127.0.0.1:{dripping.port}/", 0.3, 1_000_000)
        assert dripping.ended.wait(30)


def test_one_thread_at_a_time_whatever_becomes_of_a_fetch() -> None:
    go, started, clock = threading.Event(), threading.Semaphore(0), Clock(0)

    def hang(_url: str, _timeout_s: float, _max_bytes: int) -> bytes:
        started.release()
        go.wait(60)
        return BODY

    keys = JwksKeys("https://identity.example/jwks", timeout_s=0.05, cooldown_s=1, fetch=hang, monotonic=clock)
    for _ in range(5):
        with pytest.raises(KeysUnavailableError):
            keys.find("k", "RS256")
        clock.now += 100
    assert started.acquire(timeout=30)
    assert not started.acquire(blocking=False)
    (thread,) = [each for each in threading.enumerate() if each.name == "nucleus-jwks"]
    go.set()
    thread.join(30)
    assert len(keys.find("k", "RS256")) == 1


def test_forked_child_fetches_for_itself() -> None:
    """The thread that fetched in the parent is not there any more."""
    go = threading.Event()

    def wait_in_the_parent(_url: str, _timeout_s: float, _max_bytes: int) -> bytes:
        if os.getpid() == parent:
            go.wait(60)
        return BODY

    parent = os.getpid()
    keys = JwksKeys("https://identity.example/jwks", timeout_s=0.05, cooldown_s=0, fetch=wait_in_the_parent)
    with pytest.raises(KeysUnavailableError):
        keys.find("k", "RS256")
    child = os.fork()
    if not child:
        try:
            found = [_found(keys) for _ in range(200)]
            os._exit(0 if any(found) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go.set()


def _found(keys: JwksKeys) -> bool:
    try:
        return bool(keys.find("k", "RS256"))
    except KeysUnavailableError:
        return False


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_loopback_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch, name: str, host: str) -> None:
    with server(ANSWER) as issuer, server(ANSWER) as proxy:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert fetch_url(f"http://{host}:{issuer.port}/jwks", 30, 100_000) == BODY
        assert proxy.requests == []
        assert issuer.requests[0].startswith(b"GET /jwks HTTP/1.1\r\n")


def test_name_that_leads_elsewhere_is_no_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver, or a line in a file of hosts, may say that localhost is another machine."""
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: elsewhere)
    with pytest.raises(OSError, match="loopback"):
        fetch_url("http://localhost/jwks", 5, 1_000)


def test_https_asks_the_proxy_of_the_environment_for_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(OSError, match="403") as caught:
            fetch_url("https://identity.example/jwks", 30, 1_000)
        assert proxy.requests[0].startswith(b"CONNECT identity.example:443 HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in proxy.requests[0]
        assert "secret" not in str(caught.value)


def test_plain_answer_to_https_is_refused() -> None:
    with server(ANSWER) as issuer, pytest.raises(OSError):  # noqa: PT011 - the words are OpenSSL's
        fetch_url(f"https://127.0.0.1:{issuer.port}/jwks", 30, 100_000)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nxxx",
    ],
    ids=lambda answer: answer[:60].decode(),
)
def test_answers_that_are_refused(answer: bytes) -> None:
    with server(answer) as issuer, pytest.raises(OSError):  # noqa: PT011 - each in words of its own
        fetch_url(f"http://127.0.0.1:{issuer.port}/jwks", 30, 1_000)
