"""A service that keeps notes in a ledger: log in with an API key, work with a session.

Run it::

    pip install nucleus-ledger fastapi uvicorn
    nucleus key create oid:onoal:user:alice --keys auth.db
    uvicorn --factory fastapi_app:create_app

or in several processes: ``gunicorn --preload -w 2 -k uvicorn_worker.UvicornWorker "fastapi_app:create_app()"``.

Then, with the key that was printed::

    curl -X POST -H "Authorization: Bearer $KEY" http://127.0.0.1:8000/login
    curl -X POST -H "Authorization: Bearer $SESSION" --json '{"text": "hello"}' http://127.0.0.1:8000/notes/n-1
"""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, HTTPException, Request

from nucleus import Ledger, QueryFilters, Record, RequestContext, create_ledger, sqlite_storage
from nucleus.auth import (
    ApiKeyParser,
    AsgiAuthMiddleware,
    SessionManager,
    SessionTokenParser,
    SqliteApiKeyStore,
    SqliteSessionStore,
    TokenParserRegistry,
    TokenSource,
    exception_handlers,
    get_request_context,
    is_from_source,
    load_or_create_hash_key,
)

Requester = Annotated[RequestContext, Depends(get_request_context)]


def create_app(directory: Path = Path()) -> FastAPI:
    """Make the service; its files are in ``directory``."""
    parsers = TokenParserRegistry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Opened here and not above: a server that forks (gunicorn --preload) makes the application in the parent, and
        # what is opened there is refused in its workers.
        hash_key = load_or_create_hash_key(directory / "auth.db.key")
        with ExitStack() as files:
            ledger = files.enter_context(create_ledger("notes", storage=sqlite_storage(directory / "notes.db")))
            keys = files.enter_context(closing(SqliteApiKeyStore(directory / "auth.db")))
            sessions = files.enter_context(closing(SqliteSessionStore(directory / "auth.db")))
            parsers.add(ApiKeyParser(keys, hash_key))
            parsers.add(SessionTokenParser(sessions, hash_key=hash_key))
            app.state.ledger, app.state.sessions = ledger, SessionManager(sessions, hash_key=hash_key)
            yield

    app = FastAPI(title="Notes", lifespan=lifespan, exception_handlers=exception_handlers())
    app.add_middleware(AsgiAuthMiddleware, parsers=parsers, public_paths=["/health"])

    @app.get("/health")
    def health(request: Request) -> dict[str, int]:
        return {"entries": len(_ledger(request))}

    @app.post("/login")
    def login(request: Request, requester: Requester) -> dict[str, str]:
        # A session that could open further ones would outlive its own end.
        if not is_from_source(requester, TokenSource.API_KEY):
            raise HTTPException(403, "log in with an API key")
        return {"session": _sessions(request).create(requester.oid, role=requester.role)}

    @app.post("/logout")
    def logout(request: Request, requester: Requester) -> dict[str, bool]:
        return {"ended": requester.token is not None and _sessions(request).revoke(requester.token)}

    @app.post("/notes/{id}", status_code=201)
    def write_note(
        request: Request, id: str, payload: Annotated[dict[str, Any], Body()], requester: Requester
    ) -> dict[str, Any]:
        entry = _ledger(request).append(Record(id=id, stream="notes", payload=payload), context=requester)
        return {"seq": entry.seq, "hash": entry.hash}

    @app.get("/notes")
    def read_notes(request: Request, requester: Requester, cursor: str | None = None) -> dict[str, Any]:
        filters = QueryFilters(stream="notes", limit=100, cursor=cursor)
        page = _ledger(request).query(filters, context=requester)
        notes = [{"id": entry.record.id, "payload": entry.record.payload, "seq": entry.seq} for entry in page.entries]
        return {"notes": notes, "next_cursor": page.next_cursor}

    return app


def _ledger(request: Request) -> Ledger:
    ledger: Ledger = request.app.state.ledger
    return ledger


def _sessions(request: Request) -> SessionManager:
    sessions: SessionManager = request.app.state.sessions
    return sessions
