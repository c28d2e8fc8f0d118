"""A service that keeps notes in a ledger: log in with an API key, work with a session.

Run it::

    pip install nucleus-ledger fastapi uvicorn
    nucleus key create oid:onoal:user:alice --keys auth.db
    uvicorn --factory fastapi_app:create_app

Then, with the key that was printed::

    curl -X POST -H "Authorization: Bearer $KEY" http://127.0.0.1:8000/login
    curl -X POST -H "Authorization: Bearer $SESSION" --json '{"text": "hello"}' http://127.0.0.1:8000/notes/n-1
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, HTTPException

from nucleus import QueryFilters, Record, RequestContext, create_ledger, sqlite_storage
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
    """Make the service; its files are in ``directory``. Each worker process makes its own."""
    ledger = create_ledger("notes", storage=sqlite_storage(directory / "notes.db"))
    keys, sessions = SqliteApiKeyStore(directory / "auth.db"), SqliteSessionStore(directory / "auth.db")
    parsers = TokenParserRegistry(
        [ApiKeyParser(keys, load_or_create_hash_key(directory / "auth.db.key")), SessionTokenParser(sessions)]
    )
    manager = SessionManager(sessions)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        for each in (ledger, keys, sessions):
            each.close()

    app = FastAPI(title="Notes", lifespan=lifespan, exception_handlers=exception_handlers())
    app.add_middleware(AsgiAuthMiddleware, parsers=parsers, public_paths=["/health"])

    @app.get("/health")
    def health() -> dict[str, int]:
        return {"entries": len(ledger)}

    @app.post("/login")
    def login(requester: Requester) -> dict[str, str]:
        # A session that could open further ones would outlive its own end.
        if not is_from_source(requester, TokenSource.API_KEY):
            raise HTTPException(403, "log in with an API key")
        return {"session": manager.create(requester.oid, role=requester.role)}

    @app.post("/logout")
    def logout(requester: Requester) -> dict[str, bool]:
        return {"ended": requester.token is not None and manager.revoke(requester.token)}

    @app.post("/notes/{id}", status_code=201)
    def write_note(id: str, payload: Annotated[dict[str, Any], Body()], requester: Requester) -> dict[str, Any]:
        entry = ledger.append(Record(id=id, stream="notes", payload=payload), context=requester)
        return {"seq": entry.seq, "hash": entry.hash}

    @app.get("/notes")
    def read_notes(requester: Requester, cursor: str | None = None) -> dict[str, Any]:
        page = ledger.query(QueryFilters(stream="notes", limit=100, cursor=cursor), context=requester)
        notes = [{"id": entry.record.id, "payload": entry.record.payload, "seq": entry.seq} for entry in page.entries]
        return {"notes": notes, "next_cursor": page.next_cursor}

    return app
