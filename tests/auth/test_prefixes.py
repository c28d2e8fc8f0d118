"""Prefixes of paths: whoever names them, nothing private is reached without a token. The frameworks are the oracle."""

import asyncio
import io
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.auth import prefixed_apps as apps
from tests.auth.servers import asgi_server, bearer, get
from tests.auth.tokens import ALICE

from nucleus import ConfigError
from nucleus.auth import AsgiAuthMiddleware, DevTokenParser, TokenParserRegistry, WsgiAuthMiddleware
from nucleus.auth.public_paths import PublicPaths

TOKEN = f"dev:{ALICE}"
PREFIX_FIELDS = [
    "Daphne-Root-Path",
    "SCRIPT_NAME",
    "Script-Name",
    "X-Script-Name",
    "X-Forwarded-Prefix",
    "X_Forwarded_Prefix",
]


def registry() -> TokenParserRegistry:
    return TokenParserRegistry([DevTokenParser(enabled=True)])


def asgi(app: Any, **options: Any) -> AsgiAuthMiddleware:
    return AsgiAuthMiddleware(app, registry(), apps.PUBLIC, **options)


def wsgi(app: Any, **options: Any) -> WsgiAuthMiddleware:
    return WsgiAuthMiddleware(app, registry(), apps.PUBLIC, **options)


def ask_asgi(
    app: Any, target: str, *fields: tuple[str, str], root: str = "", root_in_path: bool = False, kind: str = "http"
) -> tuple[int, str]:
    """One request as a server hands it on: uvicorn puts its root path before the path, daphne leaves it out."""
    raw = (root if root_in_path else "") + target
    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(raw),
        "raw_path": raw.encode(),
        "query_string": b"",
        "root_path": root,
        "headers": [(name.lower().encode(), value.encode()) for name, value in [("host", "h"), *fields]],
        "client": ("192.0.2.7", 5),
        "server": ("h", 80),
        "extensions": {"websocket.http.response": {}},
    }
    sent: list[Any] = []
    waiting = [{"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}]

    async def receive() -> Any:
        if not waiting:
            await asyncio.sleep(3600)
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    status = next((each["status"] for each in sent if "status" in each), 0)
    return status, b"".join(each.get("body", b"") or each.get("text", "").encode() for each in sent).decode()


def ask_wsgi(app: Any, path: str, *fields: tuple[str, str], root: str = "") -> tuple[int, str]:
    """One request as gunicorn hands it on."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {"SCRIPT_NAME": root, "PATH_INFO": unquote(path), "RAW_URI": root + path, "wsgi.input": io.BytesIO()}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in fields}
    statuses: list[str] = []

    def start_response(status: str, _headers: Any, _exc_info: Any = None) -> Any:
        statuses.append(status)

    chunks = app(environ, start_response)
    body = b"".join(chunks)
    return int(statuses[-1][:3]), body.decode()


ASGI_APPS: dict[str, Callable[[], Any]] = {
    "starlette": apps.starlette_app,
    "fastapi": apps.fastapi_app,
    "django": apps.django_asgi,
}
WSGI_APPS: dict[str, Callable[[], Any]] = {"flask": apps.flask_app, "django": apps.django_wsgi}


@pytest.mark.parametrize("root_in_path", [True, False])
@pytest.mark.parametrize("name", ASGI_APPS)
def test_root_path_that_a_client_names(name: str, root_in_path: bool) -> None:
    """``Daphne-Root-Path: /docs`` becomes ``root_path``; the framework routes on what is below it."""
    app = asgi(ASGI_APPS[name]())
    assert ask_asgi(app, "/docs/x")[0] == 200
    assert ask_asgi(app, "/private")[0] == 401
    for target in ("/docs/private", "/private", "/docs/docs/private"):
        status, body = ask_asgi(app, target, root="/docs", root_in_path=root_in_path)
        assert "/private" not in body or status == 401
    assert ask_asgi(app, "/docs/private", root="/docs")[0] == 401


@pytest.mark.parametrize("name", WSGI_APPS)
def test_script_name_that_a_client_names(name: str) -> None:
    app = wsgi(WSGI_APPS[name]())
    assert ask_wsgi(app, "/docs/x")[0] == 200
    for path, root in (("/private", "/docs"), ("private", "/docs/"), ("/private", "/docs/docs"), ("/private", "")):
        assert ask_wsgi(app, path, root=root)[0] == 401


def test_websocket_below_a_prefix_that_a_client_names() -> None:
    app = asgi(apps.starlette_app())
    assert ask_asgi(app, "/docs/private/socket", root="/docs", kind="websocket")[0] == 401


def test_root_path_of_a_fastapi_application_counts() -> None:
    """It replaces the server's, also where the middleware is around the application and never sees it in a scope."""
    app = apps.fastapi_app(root_path="/docs")
    assert ask_asgi(app, "/docs/private")[1] == "/private"  # what FastAPI makes of it
    assert ask_asgi(asgi(app), "/docs/private")[0] == 401
    wrapped = asgi(_Wrapper(app))
    assert ask_asgi(wrapped, "/docs/private")[0] == 401
    inside = apps.fastapi_app(root_path="/docs")
    inside.add_middleware(AsgiAuthMiddleware, parsers=registry(), public_paths=apps.PUBLIC)
    assert ask_asgi(inside, "/docs/private")[0] == 401


class _Wrapper:
    """Middleware as everybody writes it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def test_middleware_inside_a_mount() -> None:
    inside = apps.mounted(asgi(apps.starlette_app()), "/docs")
    assert ask_asgi(inside, "/docs/private")[0] == 401
    assert ask_asgi(inside, "/docs/docs/x")[0] == 200
    named = apps.mounted(asgi(apps.starlette_app(), root_path="/docs"), "/docs")
    assert ask_asgi(named, "/docs/private")[0] == 401
    assert ask_asgi(named, "/docs/health") == (200, "/health")
    assert ask_asgi(named, "/docs/docs/x")[0] == 200


def test_mounted_application_below_the_middleware() -> None:
    outside = asgi(apps.mounted(apps.starlette_app(), "/docs"))
    assert ask_asgi(outside, "/docs/private")[1] == "/private"  # everything below /docs has been made public
    assert ask_asgi(asgi(apps.mounted(apps.starlette_app(), "/api")), "/api/health")[0] == 401


@pytest.mark.parametrize("name", ASGI_APPS)
def test_prefix_that_the_operator_names(name: str) -> None:
    """``uvicorn --root-path /api``, with a proxy that cuts the prefix; and a check that goes past the proxy."""
    app = asgi(ASGI_APPS[name](), root_path="/api")
    for root_in_path in (True, False):
        assert ask_asgi(app, "/health", root="/api", root_in_path=root_in_path)[0] == 200
        assert ask_asgi(app, "/private", root="/api", root_in_path=root_in_path)[0] == 401
    assert ask_asgi(app, "/health")[0] == 200
    assert ask_asgi(app, "/health", ("X-Forwarded-Prefix", "/api"))[0] == 200
    # Another prefix than the operator's is nobody's.
    assert ask_asgi(app, "/docs/private", root="/docs")[0] == 401
    assert ask_asgi(app, "/docs/private", root="/api/docs")[0] == 401
    # Without the option the prefix counts: safe, and 401 for everybody.
    assert ask_asgi(asgi(ASGI_APPS[name]()), "/health", root="/api", root_in_path=True)[0] == 401


@pytest.mark.parametrize("name", WSGI_APPS)
def test_script_name_that_the_operator_names(name: str) -> None:
    app = wsgi(WSGI_APPS[name](), root_path="/api")
    assert ask_wsgi(app, "/health", root="/api")[0] == 200
    assert ask_wsgi(app, "/health")[0] == 200
    assert ask_wsgi(app, "/private", root="/api")[0] == 401
    assert ask_wsgi(app, "/private", root="/docs")[0] == 401
    assert ask_wsgi(wsgi(WSGI_APPS[name]()), "/health", root="/api")[0] == 401


class _PrefixFromHeader:
    """Middleware as it is passed around for Flask behind a proxy: the header says what is cut off."""

    def __init__(self, app: Any, field: str) -> None:
        self._app = app
        self._key = f"HTTP_{field.upper().replace('-', '_')}"

    def __call__(self, environ: Any, start_response: Any) -> Any:
        prefix = environ.get(self._key, "")
        if prefix and environ["PATH_INFO"].startswith(prefix):
            environ = {**environ, "SCRIPT_NAME": prefix, "PATH_INFO": environ["PATH_INFO"][len(prefix) :]}
        return self._app(environ, start_response)


@pytest.mark.parametrize("field", PREFIX_FIELDS)
def test_prefix_field_that_something_behind_the_middleware_reads(field: str) -> None:
    app = wsgi(_PrefixFromHeader(apps.flask_app(), field))
    assert ask_wsgi(app, "/docs/x")[0] == 200
    for prefix in ("/docs", "/docs/", "/docs/y", "docs"):
        assert ask_wsgi(app, f"{prefix}/private", (field, prefix))[0] == 401
        assert ask_wsgi(app, "/docs/private", (field, prefix))[1] != "/private"
    trusted = wsgi(_PrefixFromHeader(apps.flask_app(), field), root_path="/docs")
    assert ask_wsgi(trusted, "/docs/private", (field, "/docs"))[0] == 401


_SEGMENTS = st.sampled_from(["docs", "private", "health", "api", "x", "", ".", "..", "%64ocs", "docs;a", "%2e%2e"])
_PATHS = st.lists(_SEGMENTS, max_size=4).map(lambda parts: "/" + "/".join(parts))
_ROOTS = st.just("") | _PATHS | st.sampled_from(["docs", "/docs/", "/doc", "/", "/docs//"])
_FIELDS = st.lists(st.tuples(st.sampled_from(PREFIX_FIELDS), _ROOTS), max_size=1)
_ASGI_NAMES, _WSGI_NAMES = st.sampled_from(list(ASGI_APPS)), st.sampled_from(list(WSGI_APPS))
_READ = st.sampled_from([None, *PREFIX_FIELDS])
_OPTION = st.sampled_from(["", "/api", "/docs", "/x"])


@given(target=_PATHS, root=_ROOTS, fields=_FIELDS, option=_OPTION, root_in_path=st.booleans(), name=_ASGI_NAMES)
@settings(max_examples=600, deadline=None)
def test_nothing_private_is_reached_over_asgi(
    *, target: str, root: str, fields: list[tuple[str, str]], option: str, root_in_path: bool, name: str
) -> None:
    app = asgi(_built(name), root_path=option)
    assert ask_asgi(app, target, *fields, root=root, root_in_path=root_in_path)[1] != "/private"


@given(path=_PATHS, root=_ROOTS, fields=_FIELDS, option=_OPTION, name=_WSGI_NAMES, read=_READ)
@settings(max_examples=600, deadline=None)
def test_nothing_private_is_reached_over_wsgi(
    *, path: str, root: str, fields: list[tuple[str, str]], option: str, name: str, read: str | None
) -> None:
    framework = _built(name, "wsgi")
    app = wsgi(framework if read is None else _PrefixFromHeader(framework, read), root_path=option)
    assert ask_wsgi(app, path, *fields, root=root)[1] != "/private"


@cache
def _built(name: str, kind: str = "asgi") -> Any:
    return (ASGI_APPS if kind == "asgi" else WSGI_APPS)[name]()


@pytest.mark.parametrize("root_path", ["/", "api", "/api/", "/a//b", "/../x", "/%61pi", "/api*\n"])
def test_root_path_that_is_no_plain_path(root_path: str) -> None:
    with pytest.raises(ConfigError, match="root_path"):
        PublicPaths(["/health"], root_path=root_path)


@pytest.mark.parametrize("root_path", ["", "/api"])
def test_uvicorn(root_path: str) -> None:
    app = asgi(apps.starlette_app(), root_path=root_path)
    with asgi_server(app, root_path=root_path, lifespan="off") as port:
        for target in ("/health", "/docs/x", "/%64ocs/x"):
            assert get(port, target).status == 200
        private = ["/private", "/docs/../private", "//private", "/docs//private", "/docs/%2e%2e/private", "/docs;/x"]
        for target in private:
            assert get(port, target).status == 401
        for field in PREFIX_FIELDS:
            assert get(port, "/docs/private", f"{field}: /docs".encode()).status == 401
        assert get(port, "/private", bearer(TOKEN)).status == 200


GUNICORN_APP = """
from tests.auth import prefixed_apps
from nucleus.auth import DevTokenParser, TokenParserRegistry, WsgiAuthMiddleware
registry = TokenParserRegistry([DevTokenParser(enabled=True)])
app = WsgiAuthMiddleware(prefixed_apps.flask_app(), registry, prefixed_apps.PUBLIC{option})
"""


@contextmanager
def gunicorn(directory: Path, option: str) -> Iterator[int]:
    """The server in a process of its own; yields its port."""
    (directory / "served.py").write_text(GUNICORN_APP.replace("{option}", option))
    root = Path(__file__).resolve().parents[2]
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.set_inheritable(True)
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-b",
        f"fd://{listener.fileno()}",
        "--pythonpath",
        f"{directory},{root}",
    ]
    log = directory / "gunicorn.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "served:app"], cwd=directory, stdout=output, stderr=output, pass_fds=[listener.fileno()]
        )
    try:
        deadline = time.monotonic() + 60
        while "Booting worker" not in log.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(60)
        listener.close()


def test_gunicorn(tmp_path: Path) -> None:
    """It takes ``SCRIPT_NAME`` from any peer on the same machine."""
    with gunicorn(tmp_path, "") as port:
        assert get(port, "/docs/x").status == 200
        assert get(port, "/private").status == 401
        assert get(port, "/docs/private", b"SCRIPT_NAME: /docs").status == 401
        assert get(port, "/private", bearer(TOKEN)).body == b"/private"


def test_gunicorn_below_a_prefix(tmp_path: Path) -> None:
    with gunicorn(tmp_path, ', root_path="/api"') as port:
        assert get(port, "/api/health", b"SCRIPT_NAME: /api").body == b"/health"
        assert get(port, "/api/private", b"SCRIPT_NAME: /api").status == 401
        assert get(port, "/docs/private", b"SCRIPT_NAME: /docs").status == 401
        assert get(port, "/health").status == 200
