"""A service that keeps notes on a ledger and asks every caller for an API key.

It needs ``nucleus-ledger``, ``fastapi`` and ``uvicorn``. Make a key, then run it, in this directory::

    nucleus key create --keys keys.db oid:onoal:user:alice
    uvicorn --factory fastapi_app:app_from_environment
    curl -H "Authorization: Bearer nk_..." -d '{"text": "hello"}' -H "Content-Type: application/json" \
        http://127.0.0.1:8000/notes/n-1
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request

from nucleus import AsyncLedger, QueryFilters, Record, RequestContext, sqlite_storage
from nucleus.auth import (
    ApiKeyParser,
    AsgiAuthMiddleware,
    SqliteApiKeyStore,
    TokenParserRegistry,
    exception_handlers,
    get_request_context,
    load_or_create_hash_key,
)

Context = Annotated[RequestContext, Depends(get_request_context)]


def ledger_of(request: Request) -> AsyncLedger:
    """Return the one ledger of the application."""
    ledger: AsyncLedger = request.app.state.ledger
    return ledger


OpenLedger = Annotated[AsyncLedger, Depends(ledger_of)]


def make_app(directory: Path) -> FastAPI:
    """Return the service, with its ledger and its keys in a directory."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with await AsyncLedger.open("notes", storage=sqlite_storage(directory / "notes.db")) as ledger:
            app.state.ledger = ledger
            yield

    app = FastAPI(lifespan=lifespan, exception_handlers=exception_handlers())
    hash_key = load_or_create_hash_key(directory / "keys.db.hash-key")
    registry = TokenParserRegistry([ApiKeyParser(SqliteApiKeyStore(directory / "keys.db"), hash_key)])
    app.add_middleware(AsgiAuthMiddleware, parsers=registry, public_paths=["/health"])

    @app.get("/health")
    async def health(ledger: OpenLedger) -> dict[str, int]:
        return {"entries": await ledger.length()}

    @app.post("/notes/{id}", status_code=201)
    async def write(id: str, note: dict[str, Any], context: Context, ledger: OpenLedger) -> dict[str, Any]:
        entry = await ledger.append(Record(id, "notes", note), context)
        return {"seq": entry.seq, "hash": entry.hash}

    @app.get("/notes/{id}")
    async def read(id: str, context: Context, ledger: OpenLedger) -> Any:
        entry = await ledger.get_by_id(id, context, stream="notes")
        if entry is None:
            raise HTTPException(404)
        return entry.record.payload

    @app.get("/notes")
    async def mine(context: Context, ledger: OpenLedger, cursor: str | None = None) -> dict[str, Any]:
        filters = QueryFilters(stream="notes", latest_only=True, limit=20, cursor=cursor)
        page = await ledger.query(filters, context)
        return {"ids": [entry.record.id for entry in page.entries], "next": page.next_cursor}

    return app


def app_from_environment() -> FastAPI:
    """Return the service with its files where ``NOTES_DIRECTORY`` says, or here."""
    return make_app(Path(os.environ.get("NOTES_DIRECTORY", ".")))
