"""Keys that an issuer publishes: caching, rotation, failure, and what a hostile answer can do."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.auth.parsers import Clock, connect_parser
from tests.auth.tokens import ALICE, SECRET, b64, claims, ec_jwk, ec_key, make, rsa_jwk, rsa_key

from nucleus import AuthenticationError, ConfigError
from nucleus.auth import ConnectTokenParser, JwksKeys, KeysUnavailableError
from nucleus.auth.fetch import fetch_url

URL = "https://identity.example/jwks.json"


class Issuer:
    """Answers as an issuer would, and counts."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.document: Any = {"keys": list(keys)}
        self.fails = False
        self.fetches = 0

    def fetch(self, url: str, timeout_s: float, max_bytes: int) -> bytes:
        assert (url, timeout_s) == (URL, 5)
        self.fetches += 1
        if self.fails:
            raise OSError("connection refused")
        return self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()


def parser_of(issuer: Issuer, clock: Clock, **options: Any) -> ConnectTokenParser:
    return connect_parser(keys=JwksKeys(URL, fetch=issuer.fetch, monotonic=clock, **options))


A, B = rsa_jwk(rsa_key("a"), kid="a"), rsa_jwk(rsa_key("b"), kid="b")
TOKEN_A, TOKEN_B = make(rsa_key("a"), claims(), kid="a"), make(rsa_key("b"), claims(), kid="b")


def test_keys_are_fetched_once() -> None:
    issuer, clock = Issuer(A, B), Clock(0)
    parser = parser_of(issuer, clock)
    assert issuer.fetches == 0
    for token in (TOKEN_A, TOKEN_B, TOKEN_A):
        assert parser.parse(token).oid == ALICE
    assert asyncio.run(parser.parse_async(TOKEN_A)).oid == ALICE
    assert issuer.fetches == 1


def test_keys_are_fetched_again_when_old() -> None:
    issuer, clock = Issuer(A), Clock(0)
    parser = parser_of(issuer, clock)
    parser.parse(TOKEN_A)
    clock.now = 299
    parser.parse(TOKEN_A)
    assert issuer.fetches == 1
    clock.now = 300
    parser.parse(TOKEN_A)
    assert issuer.fetches == 2


def test_rotation() -> None:
    """A key that appears is found when a token names it; one that is withdrawn ends with the cache's time."""
    issuer, clock = Issuer(A), Clock(0)
    parser = parser_of(issuer, clock)
    parser.parse(TOKEN_A)
    issuer.document = {"keys": [B]}
    clock.now = 31
    assert parser.parse(TOKEN_B).oid == ALICE
    with pytest.raises(AuthenticationError):
        parser.parse(TOKEN_A)
    assert issuer.fetches == 2


def test_cooldown() -> None:
    """Made-up key names do not become load on the issuer."""
    issuer, clock = Issuer(A), Clock(0)
    parser = parser_of(issuer, clock)
    parser.parse(TOKEN_A)
    for number in range(50):
        with pytest.raises(AuthenticationError):
            parser.parse(make(rsa_key("mallory"), claims(), kid=f"made-up-{number}"))
    assert issuer.fetches == 1
    clock.now = 30
    for number in range(50):
        with pytest.raises(AuthenticationError):
            parser.parse(make(rsa_key("mallory"), claims(), kid=f"made-up-{number}"))
    assert issuer.fetches == 2


def test_cooldown_while_nothing_could_be_fetched() -> None:
    issuer, clock = Issuer(A), Clock(0)
    issuer.fails = True
    parser = parser_of(issuer, clock)
    for _ in range(5):
        with pytest.raises(KeysUnavailableError) as caught:
            parser.parse(TOKEN_A)
        assert caught.value.retry_after_s == 30
    assert issuer.fetches == 1
    issuer.fails, clock.now = False, 30
    assert parser.parse(TOKEN_A).oid == ALICE


def test_stale_keys_serve_while_the_issuer_is_down() -> None:
    issuer, clock = Issuer(A), Clock(0)
    parser = parser_of(issuer, clock, stale_if_error_s=1_000)
    parser.parse(TOKEN_A)
    issuer.fails = True
    clock.now = 1_299
    assert parser.parse(TOKEN_A).oid == ALICE
    with pytest.raises(KeysUnavailableError):
        parser.parse(TOKEN_B)
    clock.now = 1_300
    with pytest.raises(KeysUnavailableError):
        parser.parse(TOKEN_A)
    issuer.fails, clock.now = False, 1_400
    assert parser.parse(TOKEN_A).oid == ALICE


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        {"keys": {}},
        {"keys": []},
        {"keys": ["x"]},
        {"keys": [A] * 101},
        b" " * 300_000,
    ],
    ids=lambda document: str(document)[:20],
)
def test_answer_that_is_no_key_set(document: Any) -> None:
    """It replaces nothing: the keys from before stay in use."""
    issuer, clock = Issuer(A), Clock(0)
    parser = parser_of(issuer, clock)
    parser.parse(TOKEN_A)
    issuer.document, clock.now = document, 400
    assert parser.parse(TOKEN_A).oid == ALICE
    assert issuer.fetches == 2


def test_duplicate_keys_in_the_key_set() -> None:
    issuer = Issuer()
    issuer.document = b'{"keys": [], "keys": [' + json.dumps(A).encode() + b"]}"
    with pytest.raises(KeysUnavailableError):
        parser_of(issuer, Clock(0)).parse(TOKEN_A)


def test_keys_of_other_kinds_are_passed_over() -> None:
    secret = {"kty": "oct", "k": b64(SECRET), "kid": "s"}
    encryption, unknown, weak = rsa_jwk(rsa_key("c"), kid="c", use="enc"), {"kty": "AKP"}, rsa_jwk(rsa_key("w", 1024))
    issuer = Issuer(secret, encryption, unknown, weak, A, ec_jwk(ec_key(), kid="e"))
    parser = parser_of(issuer, Clock(0))
    assert parser.parse(TOKEN_A).oid == ALICE
    assert parser.parse(make(ec_key(), claims(), "ES256", kid="e")).oid == ALICE
    for token in (make(SECRET, claims(), "HS256", kid="s"), make(rsa_key("c"), claims(), kid="c")):
        with pytest.raises(AuthenticationError):
            parser.parse(token)


def test_one_fetch_for_many_threads() -> None:
    """All of them wait for the same fetch."""
    issuer, entered, go = Issuer(A), threading.Event(), threading.Event()

    def slow(url: str, timeout_s: float, max_bytes: int) -> bytes:
        entered.set()
        assert go.wait(30)
        return issuer.fetch(url, timeout_s, max_bytes)

    parser = connect_parser(keys=JwksKeys(URL, fetch=slow))
    oids: list[str] = []
    threads = [threading.Thread(target=lambda: oids.append(parser.parse(TOKEN_A).oid)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert entered.wait(30)
    go.set()
    for thread in threads:
        thread.join(30)
    assert oids == [ALICE] * 8
    assert issuer.fetches == 1


def test_event_loop_goes_on_while_keys_are_fetched() -> None:
    """The fetch ends only once the loop has run other work: a blocked loop would never let it."""
    issuer, go = Issuer(A), threading.Event()

    def slow(url: str, timeout_s: float, max_bytes: int) -> bytes:
        if not go.wait(30):
            raise OSError("the event loop stood still")
        return issuer.fetch(url, timeout_s, max_bytes)

    parser = connect_parser(keys=JwksKeys(URL, fetch=slow))

    async def main() -> list[str]:
        waiting = [asyncio.ensure_future(parser.parse_async(TOKEN_A)) for _ in range(20)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        waiting.pop().cancel()
        go.set()
        return [context.oid for context in await asyncio.gather(*waiting)]

    assert asyncio.run(main()) == [ALICE] * 19
    assert issuer.fetches == 1


def test_fetch_that_hangs_is_waited_for_no_longer_than_agreed() -> None:
    never = threading.Event()

    def hang(_url: str, _timeout_s: float, _max_bytes: int) -> bytes:
        never.wait(30)
        raise OSError

    parser = connect_parser(keys=JwksKeys(URL, fetch=hang, timeout_s=0.05))
    with pytest.raises(KeysUnavailableError):
        parser.parse(TOKEN_A)
    with pytest.raises(KeysUnavailableError):
        asyncio.run(parser.parse_async(TOKEN_A))
    never.set()


def test_whatever_fetch_raises_is_a_failed_fetch() -> None:
    def broken(_url: str, _timeout_s: float, _max_bytes: int) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(KeysUnavailableError):
        connect_parser(keys=JwksKeys(URL, fetch=broken)).parse(TOKEN_A)


@pytest.mark.parametrize(
    "url",
    [
        "http://identity.example/jwks",
        "http://127.0.0.1.evil.example/jwks",
        "http://localhost.evil.example/jwks",
        "file:///etc/passwd",
        "ftp://identity.example/jwks",
        "https://user:secret@identity.example/jwks",
        "https:///jwks",
        "jwks.json",
        "",
    ],
)
def test_urls_that_are_not_fetched_from(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JwksKeys(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_loopback_may_be_plain_http(host: str) -> None:
    JwksKeys(f"http://{host}:8080/jwks")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"keys": [A]}).encode()
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/jwks")
            body = b""
        elif self.path == "/huge":
            self.send_response(200)
            body = b"x" * 1_000_000
        else:
            self.send_response(200 if self.path == "/jwks" else 500)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def http_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_fetching_over_http() -> None:
    with http_server() as base:
        assert connect_parser(keys=JwksKeys(f"{base}/jwks")).parse(TOKEN_A).oid == ALICE
        for path in ("/redirect", "/huge", "/error"):
            with pytest.raises(KeysUnavailableError):
                connect_parser(keys=JwksKeys(base + path)).parse(TOKEN_A)
        with pytest.raises(OSError, match="over 1000 bytes"):
            fetch_url(f"{base}/huge", 30, 1_000)
        with pytest.raises(OSError, match="redirect"):
            fetch_url(f"{base}/redirect", 30, 1_000)
    with pytest.raises(KeysUnavailableError):
        connect_parser(keys=JwksKeys(f"{base}/jwks")).parse(TOKEN_A)
