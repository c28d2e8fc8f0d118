"""A FastAPI application behind the middleware, over HTTP."""

from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from tests.auth.parsers import HASH_KEY
from tests.auth.servers import asgi_server
from tests.auth.tokens import ALICE

from nucleus import AccessDeniedError, RequestContext
from nucleus.auth import (
    ApiKeyManager,
    ApiKeyParser,
    AsgiAuthMiddleware,
    SessionManager,
    SessionTokenParser,
    SqliteApiKeyStore,
    SqliteSessionStore,
    TokenParserRegistry,
    exception_handlers,
    get_request_context,
)

Context = Annotated[RequestContext, Depends(get_request_context)]


def service(manager: SessionManager) -> FastAPI:
    """Log in with an API key, work with a session."""
    app = FastAPI(exception_handlers=exception_handlers())

    @app.get("/health")
    def health() -> str:
        return "fine"

    @app.get("/open")
    def needs_somebody_on_a_public_path(context: Context) -> str:
        return context.oid

    @app.get("/me")
    async def me(context: Context, request: Request) -> dict[str, Any]:
        assert request.state.request_context == context
        return {"oid": context.oid, "source": context.source}

    @app.get("/me-in-a-thread")
    def me_in_a_thread(context: Context) -> dict[str, Any]:
        assert get_request_context() == context
        return {"oid": context.oid}

    @app.post("/login")
    def login(context: Context) -> str:
        return manager.create(context.oid, role=context.role)

    @app.post("/logout")
    def logout(context: Context) -> bool:
        return manager.revoke(context.token or "")

    @app.get("/denied")
    def denied(context: Context) -> None:
        raise AccessDeniedError("no access to secret-1")

    return app


@pytest.mark.parametrize("inside", [True, False], ids=["add_middleware", "wrapped"])
def test_service(tmp_path: Path, inside: bool) -> None:
    keys, sessions = SqliteApiKeyStore(tmp_path / "auth.db"), SqliteSessionStore(tmp_path / "auth.db")
    parsers = TokenParserRegistry([ApiKeyParser(keys, HASH_KEY), SessionTokenParser(sessions)])
    text, _ = ApiKeyManager(keys, HASH_KEY).create(ALICE, role="reader")
    public = ["/health", "/open"]
    app: Any = service(SessionManager(sessions))
    if inside:
        app.add_middleware(AsgiAuthMiddleware, parsers=parsers, public_paths=public)
    else:
        app = AsgiAuthMiddleware(app, parsers=parsers, public_paths=public)
    with asgi_server(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        assert http.get("/health").json() == "fine"
        assert http.get("/me").status_code == 401
        assert http.get("/open").status_code == 401
        key = {"Authorization": f"Bearer {text}"}
        session = {"Authorization": f"Bearer {http.post('/login', headers=key).json()}"}
        assert http.get("/me", headers=key).json() == {"oid": ALICE, "source": "api_key"}
        assert http.get("/me", headers=session).json() == {"oid": ALICE, "source": "session"}
        assert http.get("/me-in-a-thread", headers=session).json() == {"oid": ALICE}
        denied = http.get("/denied", headers=session)
        assert (denied.status_code, denied.headers["content-type"]) == (403, "application/problem+json")
        assert "secret-1" not in denied.text
        assert http.post("/logout", headers=session).json() is True
        assert http.get("/me", headers=session).status_code == 401
        assert http.get("/me", headers=key).status_code == 200
