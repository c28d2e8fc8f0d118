"""The WSGI middleware as WSGI, checked by the standard library's validator."""

import io
from collections.abc import Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from tests.auth.apps import wsgi_app
from tests.auth.servers import bearer, get, wsgi_server
from tests.auth.tokens import ALICE

from nucleus import AccessDeniedError, ContextRequiredError
from nucleus.auth import DevTokenParser, TokenParserRegistry, WsgiAuthMiddleware, get_request_context

TOKEN = f"dev:{ALICE}"


def registry() -> TokenParserRegistry:
    return TokenParserRegistry([DevTokenParser(enabled=True)])


def call(app: Any, path: str, token: str | None = None, **environ: Any) -> tuple[str, bytes]:
    """One request through the validator, without a server; returns status and body."""
    env: dict[str, Any] = {}
    setup_testing_defaults(env)
    env |= {"PATH_INFO": path, "wsgi.input": io.BytesIO(), "QUERY_STRING": "", **environ}
    if token is not None:
        env["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)
        return lambda data: None

    chunks = validator(app)(env, start_response)
    try:
        body = b"".join(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]
    return statuses[-1], body


def test_requests() -> None:
    app = WsgiAuthMiddleware(wsgi_app, parsers=registry(), public_paths=["/health"])
    assert call(app, "/x")[0] == "401 Unauthorized"
    status, body = call(app, "/x", TOKEN)
    assert status == "200 OK"
    assert body.count(ALICE.encode()) == 2
    assert call(app, "/health")[0] == "200 OK"
    with pytest.raises(ContextRequiredError):
        get_request_context()


@pytest.mark.parametrize("path", ["/denied", "/lazy"])
def test_access_denied(path: str) -> None:
    assert call(WsgiAuthMiddleware(wsgi_app, registry()), path, TOKEN)[0] == "403 Forbidden"


def test_access_denied_after_the_answer_has_begun() -> None:
    with pytest.raises(AccessDeniedError, match="too late"):
        call(WsgiAuthMiddleware(wsgi_app, registry()), "/late", TOKEN)


def test_context_is_asked_for_on_a_public_path() -> None:
    assert call(WsgiAuthMiddleware(wsgi_app, registry(), ["/who"]), "/who")[0] == "401 Unauthorized"


def test_answer_is_closed() -> None:
    closed: list[bool] = []

    class Chunks:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            closed.append(get_request_context().oid == ALICE)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("content-type", "text/plain")])
        return Chunks()

    assert call(WsgiAuthMiddleware(app, registry()), "/x", TOKEN)[1] == b"x"
    assert closed == [True]


def test_mount_point_that_nobody_vouches_for() -> None:
    """Public below it is only what is so with and without it."""
    for public, status in (["/api/health"], 401), (["/health"], 401), (["/health", "/api/health"], 200):
        app = WsgiAuthMiddleware(wsgi_app, registry(), public)
        assert call(app, "/health", SCRIPT_NAME="/api")[0].startswith(str(status))
    assert call(WsgiAuthMiddleware(wsgi_app, registry(), ["/api/health"]), "/health")[0] == "401 Unauthorized"


def test_path_that_is_not_utf_8() -> None:
    app = WsgiAuthMiddleware(wsgi_app, registry(), ["/public/*"])
    assert call(app, "/public/\xff")[0] == "401 Unauthorized"
    assert call(app, "/public/" + "é".encode().decode("latin-1"))[0] == "200 OK"


def test_fields_that_the_server_has_joined() -> None:
    app = WsgiAuthMiddleware(wsgi_app, registry())
    assert call(app, "/x", f"{TOKEN},Bearer {TOKEN}")[0] == "400 Bad Request"
    assert call(app, "/x", TOKEN, HTTP_HOST="a,b")[0] == "400 Bad Request"


def test_behind_a_real_server() -> None:
    with wsgi_server(WsgiAuthMiddleware(wsgi_app, registry(), ["/health"])) as port:
        assert get(port, "/x").status == 401
        assert get(port, "/x", bearer(TOKEN)).json()["oids"] == [ALICE, ALICE]
        assert get(port, "/health").status == 200
