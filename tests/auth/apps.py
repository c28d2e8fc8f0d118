"""Applications behind the middleware: they answer with the path and the requester they see."""

import json
from collections.abc import Iterable
from typing import Any

from nucleus import AccessDeniedError, AuthenticationError
from nucleus.auth import get_request_context
from nucleus.auth.current import current


def seen_by(context: Any) -> str | None:
    """The OID in a context, or None."""
    return None if context is None else context.oid


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """Echo; ``/denied`` and ``/unknown`` raise, ``/late`` raises after its answer has begun."""
    if scope["path"] == "/denied":
        raise AccessDeniedError("no access to asset secret-1")
    if scope["path"] == "/unknown":
        raise AuthenticationError("who are you")
    if scope["path"] == "/who":
        get_request_context()
    contexts = (scope["nucleus.context"], scope["state"]["request_context"], current.get())
    document = {"path": scope["path"], "oids": [seen_by(context) for context in contexts]}
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/late":
        raise AccessDeniedError("too late")
    await send({"type": "http.response.body", "body": body})


def wsgi_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Echo, in two steps; ``/denied`` raises at once, ``/lazy`` once it is iterated over, ``/late`` after a chunk."""
    if environ["PATH_INFO"] == "/denied":
        raise AccessDeniedError("no access to asset secret-1")
    start_response("200 OK", [("content-type", "application/json")])
    return _chunks(environ)


def _chunks(environ: dict[str, Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/lazy":
        raise AccessDeniedError("no access to asset secret-1")
    if environ["PATH_INFO"] == "/who":
        get_request_context()
    contexts = (environ["nucleus.context"], current.get())
    document = {"path": environ["PATH_INFO"], "oids": [seen_by(context) for context in contexts]}
    yield b" "
    if environ["PATH_INFO"] == "/late":
        raise AccessDeniedError("too late")
    assert current.get() is contexts[1]
    yield json.dumps(document).encode()
