"""What errors of a request are answered with: 4xx for the client's, 5xx without a word for the service's own."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

import nucleus
from nucleus import QueryFilters, RequestContext, create_ledger
from nucleus.auth import KeysUnavailableError, exception_handlers

ALICE = RequestContext.local("oid:onoal:user:alice")


def answer(call: Callable[[], object]) -> tuple[int, dict[str, object]]:
    app = FastAPI(exception_handlers=exception_handlers())

    @app.get("/")
    def run() -> None:
        call()

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
            return await http.get("/")

    got = asyncio.run(get())
    assert got.headers["content-type"] == "application/problem+json"
    problem = got.json()
    assert problem["status"] == got.status_code
    return got.status_code, problem


def _append_twice() -> None:
    with create_ledger("x") as ledger:
        for number in (1, 2):
            ledger.append({"id": "i", "stream": "s", "payload": {"n": number}}, context=ALICE, unique=True)


def _query(filters: QueryFilters) -> None:
    with create_ledger("x") as ledger:
        ledger.query(filters, context=ALICE)


def _append(record: dict[str, object]) -> None:
    with create_ledger("x") as ledger:
        ledger.append(record, context=ALICE)


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda: _query(QueryFilters(cursor="zzz")), 400),
        (lambda: _query(QueryFilters(limit=-1)), 400),
        (lambda: RequestContext.local("alice"), 422),
        (lambda: _append({"id": "x", "stream": "", "payload": {}}), 422),
        (lambda: _append({"id": "x", "stream": "s", "payload": {"n": float("nan")}}), 422),
        (_append_twice, 409),
    ],
)
def test_mistakes_of_a_client(call: Callable[[], object], status: int) -> None:
    assert answer(call)[0] == status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (nucleus.AccessDeniedError("secret-1"), 403),
        (nucleus.ConflictError("secret-1"), 409),
        (nucleus.UnknownModuleError("secret-1"), 404),
        (nucleus.ConfigError("secret-1"), 400),
        (nucleus.DatabaseError("secret-1"), 503),
        (nucleus.IntegrityError("secret-1"), 500),
        (nucleus.CommitInDoubtError("secret-1", hashes=["secret-1"]), 500),
        (nucleus.StorageReplacedError("secret-1"), 500),
        (nucleus.LedgerClosedError("secret-1"), 500),
        (nucleus.ContextRequiredError("secret-1"), 500),
        (nucleus.ModuleError("secret-1"), 500),
        (nucleus.NucleusError("secret-1"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_answers_tell_nothing_of_what_is_inside(error: Exception, status: int) -> None:
    def fail() -> None:
        raise error

    got, problem = answer(fail)
    assert got == status
    assert "secret-1" not in str(problem)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (nucleus.AuthenticationError("who"), 401),
        (KeysUnavailableError("later"), 503),
        (nucleus.RecordRefusedError("too much"), 422),
        (nucleus.InvalidRecordError("$.id: too long"), 422),
    ],
    ids=lambda value: type(value).__name__,
)
def test_answers_that_are_for_the_client_to_read(error: Exception, status: int) -> None:
    def fail() -> None:
        raise error

    assert answer(fail) == (status, answer(fail)[1] | {"detail": str(error)})
