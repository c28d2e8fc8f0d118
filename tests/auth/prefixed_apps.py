"""One application in several frameworks: public ``/docs/*`` and ``/health``, and ``/private``, which say so."""

from collections.abc import Callable
from functools import cache
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path, re_path
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

PUBLIC = ["/docs/*", "/health"]
ROUTES = ("/private", "/health", "/docs/{x:path}")


def starlette_app() -> Starlette:
    """Starlette, with a websocket below ``/private`` too."""

    def endpoint(name: str) -> Callable[[Request], PlainTextResponse]:
        return lambda _request: PlainTextResponse(name)

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("/private")
        await websocket.close()

    routes = [Route(route, endpoint(route)) for route in ROUTES]
    return Starlette(routes=[*routes, WebSocketRoute("/private/socket", socket)])


def mounted(app: Any, prefix: str) -> Starlette:
    """An application below a prefix of another."""
    return Starlette(routes=[Mount(prefix, app=app)])


def fastapi_app(root_path: str = "") -> FastAPI:
    """FastAPI, without pages of its own."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.root_path = root_path

    @app.get("/private", response_class=PlainTextResponse)
    def private() -> str:
        return "/private"

    @app.get("/health", response_class=PlainTextResponse)
    def health() -> str:
        return "/health"

    @app.get("/docs/{x:path}", response_class=PlainTextResponse)
    def docs(x: str) -> str:
        return "/docs"

    return app


def flask_app() -> Any:
    """Flask as WSGI."""
    app = Flask("prefixed")
    app.add_url_rule("/private", view_func=lambda: "/private", endpoint="private")
    app.add_url_rule("/health", view_func=lambda: "/health", endpoint="health")
    app.add_url_rule("/docs/<path:x>", view_func=lambda x: "/docs", endpoint="docs")
    return app.wsgi_app


urlpatterns = [
    path("private", lambda _request: HttpResponse("/private")),
    path("health", lambda _request: HttpResponse("/health")),
    re_path("^docs/.*$", lambda _request: HttpResponse("/docs")),
]
"""Django's routes: this module is its ``ROOT_URLCONF``."""


@cache
def _configure_django() -> None:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[])
    django.setup()


def django_wsgi() -> Any:
    """Django as WSGI."""
    _configure_django()
    return get_wsgi_application()


def django_asgi() -> Any:
    """Django as ASGI."""
    _configure_django()
    return get_asgi_application()
