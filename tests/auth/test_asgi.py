"""The ASGI middleware as ASGI: scopes of every type, contexts of concurrent requests, errors of the application."""

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.auth.apps import asgi_app
from tests.auth.parsers import LaxParser, connect_parser
from tests.auth.servers import asgi_server, bearer, get, send_raw
from tests.auth.tokens import ALICE, claims, make, rsa_key

from nucleus import AccessDeniedError, ConfigError, ContextRequiredError
from nucleus.auth import (
    AsgiAuthMiddleware,
    DevTokenParser,
    JwksKeys,
    SessionManager,
    SessionTokenParser,
    SqliteSessionStore,
    TokenParserRegistry,
    get_request_context,
)

TOKEN = f"dev:{ALICE}"


def registry() -> TokenParserRegistry:
    return TokenParserRegistry([DevTokenParser(enabled=True)])


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def test_requests() -> None:
    async def main() -> None:
        async with client(AsgiAuthMiddleware(asgi_app, parsers=registry(), public_paths=["/health"])) as http:
            assert (await http.get("/x")).status_code == 401
            assert (await http.get("/health")).json()["oids"] == [None, None, None]
            answer = await http.get("/x", headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.json()["oids"] == [ALICE, ALICE, ALICE]
            # A token on a public path is not looked at, so a refused one does no harm there.
            assert (await http.get("/health", headers={"Authorization": "Bearer nonsense"})).status_code == 200

    asyncio.run(main())


def test_concurrent_requests_see_their_own_requester() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        before = get_request_context().oid
        await asyncio.sleep(0.001)
        in_thread = await asyncio.to_thread(lambda: get_request_context().oid)
        assert before == in_thread == scope["nucleus.context"].oid
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": before.encode()})

    async def main() -> None:
        async with client(AsgiAuthMiddleware(slow, registry())) as http:
            oids = [f"oid:onoal:user:u{number}" for number in range(50)]
            requests = [http.get("/", headers={"Authorization": f"Bearer dev:{oid}"}) for oid in oids]
            assert [answer.text for answer in await asyncio.gather(*requests)] == oids
        with pytest.raises(ContextRequiredError):
            get_request_context()

    asyncio.run(main())


def test_context_ends_with_the_request() -> None:
    async def main() -> None:
        scope = _scope("http", [(b"authorization", b"Bearer " + TOKEN.encode())])
        await AsgiAuthMiddleware(asgi_app, registry())(scope, _connect, _drop)
        with pytest.raises(ContextRequiredError):
            get_request_context()

    asyncio.run(main())


@pytest.mark.parametrize("name", [b"host", b"authorization"])
def test_field_that_stands_twice(name: bytes) -> None:
    """Also where the server lets it through."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(b"authorization", b"Bearer " + TOKEN.encode()), (b"host", b"test")]
    twice = [*fields, next(field for field in fields if field[0] == name)]
    for headers, status in ((fields, 200), (twice, 400)):
        sent.clear()
        asyncio.run(AsgiAuthMiddleware(asgi_app, registry())(_scope("http", headers), _connect, send))
        assert sent[0]["status"] == status


def test_state_of_the_server_is_not_shared() -> None:
    shared = {"pool": 1}
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"])

    scope = {**_scope("http", [(b"authorization", b"Bearer " + TOKEN.encode())]), "state": shared}
    asyncio.run(AsgiAuthMiddleware(app, registry())(scope, _connect, _drop))
    assert seen[0]["pool"] == 1
    assert seen[0]["request_context"].oid == ALICE
    assert shared == {"pool": 1}
    assert "nucleus.context" not in scope


def test_context_of_a_client_is_overwritten() -> None:
    """Whatever stands in the scope before: the middleware alone says who asks."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["nucleus.context"])

    scope = {**_scope("http"), "path": "/health", "nucleus.context": "mallory", "state": {"request_context": "mallory"}}
    asyncio.run(AsgiAuthMiddleware(app, registry(), ["/health"])(scope, _connect, _drop))
    assert seen == [None]


def test_errors_of_the_application() -> None:
    async def main() -> None:
        async with client(AsgiAuthMiddleware(asgi_app, registry(), ["/who"])) as http:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            assert (await http.get("/denied", headers=headers)).status_code == 403
            assert (await http.get("/unknown", headers=headers)).status_code == 401
            assert (await http.get("/who")).status_code == 401
            with pytest.raises(AccessDeniedError, match="too late"):
                await http.get("/late", headers=headers)

    asyncio.run(main())


def test_keys_that_cannot_be_fetched() -> None:
    def down(_url: str, _timeout_s: float, _max_bytes: int) -> bytes:
        raise OSError("down")

    parsers = TokenParserRegistry([connect_parser(keys=JwksKeys("https://identity.example/jwks", fetch=down))])

    async def main() -> None:
        async with client(AsgiAuthMiddleware(asgi_app, parsers)) as http:
            token = make(rsa_key(), claims())
            answer = await http.get("/x", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")

    asyncio.run(main())


def test_parser_without_a_coroutine_runs_in_a_thread() -> None:
    """The loop goes on while such a parser works: only then is the parser let go."""

    class Slow(LaxParser):
        def __init__(self) -> None:
            self.go = threading.Event()

        def parse(self, token: str) -> Any:
            assert self.go.wait(30)
            return super().parse(token)

    parser = Slow()
    parsers = TokenParserRegistry()
    parsers.add(parser)

    async def main() -> None:
        async with client(AsgiAuthMiddleware(asgi_app, parsers)) as http:
            request = asyncio.ensure_future(http.get("/x", headers={"Authorization": "Bearer x"}))
            await asyncio.sleep(0.01)
            assert not request.done()
            parser.go.set()
            assert (await request).status_code == 200

    asyncio.run(main())


def test_lifespan_needs_no_token() -> None:
    events: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await asgi_app(scope, receive, send)
            return
        while True:
            event = (await receive())["type"]
            events.append(event)
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    with asgi_server(AsgiAuthMiddleware(app, registry()), lifespan="on") as port:
        assert get(port, "/x", bearer(TOKEN)).status == 200
    assert events == ["lifespan.startup", "lifespan.shutdown"]


def test_scope_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="gopher"):
        asyncio.run(AsgiAuthMiddleware(asgi_app, registry())(_scope("gopher"), _connect, _drop))


async def _connect() -> dict[str, Any]:
    return {"type": "websocket.connect"}


async def _drop(_message: Any) -> None:
    """For answers that nobody looks at."""


def _scope(kind: str, headers: list[tuple[bytes, bytes]] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": kind, "path": "/x", "headers": headers or [], **more}


async def websocket_app(scope: Any, receive: Any, send: Any) -> None:
    """Accepts and says who asks; ``/denied`` refuses, ``/late`` refuses after accepting."""
    await receive()
    if scope["path"] == "/denied":
        raise AccessDeniedError("no")
    await send({"type": "websocket.accept"})
    if scope["path"] == "/late":
        raise AccessDeniedError("too late")
    await send({"type": "websocket.send", "text": get_request_context().oid})
    await send({"type": "websocket.close", "code": 1000})


def websocket(path: str, *, token: str | None, extension: bool = False) -> list[dict[str, Any]]:
    """What the server is told to send."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
    extensions: dict[str, Any] = {"websocket.http.response": {}} if extension else {}
    scope = _scope("websocket", headers, extensions=extensions) | {"path": path}
    asyncio.run(AsgiAuthMiddleware(websocket_app, registry(), ["/health"])(scope, _connect, send))
    return sent


def test_websocket() -> None:
    assert [message["type"] for message in websocket("/x", token=TOKEN)] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert websocket("/x", token=TOKEN)[1]["text"] == ALICE


@pytest.mark.parametrize("token", [None, "dev:nobody", "x"])
def test_websocket_without_a_valid_token(token: str | None) -> None:
    sent = websocket("/x", token=token)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]
    start, body = websocket("/x", token=token, extension=True)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"])["status"] == 401
    assert b"www-authenticate" in dict(start["headers"])


def test_websocket_that_the_application_refuses() -> None:
    assert websocket("/denied", token=TOKEN)[0]["code"] == 1008
    assert websocket("/denied", token=TOKEN, extension=True)[0]["status"] == 403
    with pytest.raises(AccessDeniedError):
        websocket("/late", token=TOKEN)


UPGRADE = (
    b"GET /x HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def test_websocket_handshake_with_a_real_server() -> None:
    with asgi_server(AsgiAuthMiddleware(websocket_app, registry()), ws="websockets-sansio", lifespan="off") as port:
        refused = send_raw(port, UPGRADE + b"\r\n")
        assert (refused.status, refused.headers["content-type"]) == (401, "application/problem+json")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(UPGRADE + bearer(TOKEN) + b"\r\n\r\n")
            received = b""
            while ALICE.encode() not in received:
                chunk = connection.recv(65_536)
                assert chunk, received
                received += chunk
            connection.sendall(b"\x88\x82" + bytes(4) + b"\x03\xe8")  # a masked close frame (RFC 6455), status 1000
        assert received.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("parsers", [None, [], DevTokenParser()])
def test_parsers_of_the_wrong_kind(parsers: Any) -> None:
    with pytest.raises(ConfigError, match="TokenParserRegistry"):
        AsgiAuthMiddleware(asgi_app, parsers)


def test_token_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def main() -> None:
        async with client(AsgiAuthMiddleware(asgi_app, registry())) as http:
            for token in (TOKEN, "dev:oid-of-nobody", "nk_unclaimed"):
                await http.get("/x", headers={"Authorization": f"Bearer {token}"})

    asyncio.run(main())
    assert "a token was refused" in caplog.text
    for token in (TOKEN, "oid-of-nobody", "nk_unclaimed"):
        assert token not in caplog.text


def test_broken_store_is_answered_with_503(tmp_path: Path) -> None:
    """It is no refusal, and no error of the application."""
    store = SqliteSessionStore(tmp_path / "auth.db")
    token = SessionManager(store).create(ALICE)
    store.close()
    app = AsgiAuthMiddleware(asgi_app, TokenParserRegistry([SessionTokenParser(store)]))

    async def main() -> None:
        async with client(app) as http:
            answer = await http.get("/x", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert str(tmp_path) not in answer.text

    asyncio.run(main())
