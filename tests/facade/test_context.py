"""Who asks: every call that reads or writes records refuses to work for nobody."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from tests.facade.samples import ALICE, BOB, LEDGER_ID, UNKNOWN_HASH, note

from nucleus import (
    AsyncLedger,
    ContextRequiredError,
    Ledger,
    QueryFilters,
    RequestContext,
    create_async_ledger,
    import_ledger,
)

Call = Callable[..., Any]

# What each call takes before the context; the same for the asynchronous ledger.
CALLS: dict[str, tuple[Any, ...]] = {
    "append": (note(1),),
    "append_batch": ([note(1), note(2)],),
    "get": (UNKNOWN_HASH,),
    "get_by_id": ("r-0",),
    "history": ("r-0",),
    "query": (QueryFilters(),),
    "entries": (),
    "redact": (UNKNOWN_HASH, "reason"),
    "import_entries": ([],),
}

WITHOUT_CONTEXT = ["verify", "verify_storage", "head", "stats", "has_storage"]

TOKEN = "nk_1_a-secret-token"
NOBODY: list[Any] = [None, "oid:onoal:user:alice", TOKEN, {"oid": "oid:onoal:user:alice"}, object(), 0]


@pytest.mark.parametrize("name", CALLS)
def test_missing_context(ledger: Ledger, name: str) -> None:
    with pytest.raises(ContextRequiredError, match="RequestContext"):
        getattr(ledger, name)(*CALLS[name])
    assert len(ledger) == 0


@pytest.mark.parametrize("nobody", NOBODY, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", CALLS)
def test_context_that_is_none(ledger: Ledger, name: str, nobody: Any) -> None:
    for arguments, options in ((CALLS[name], {"context": nobody}), ((*CALLS[name], nobody), {})):
        with pytest.raises(ContextRequiredError) as caught:
            getattr(ledger, name)(*arguments, **options)
        assert TOKEN not in str(caught.value)
    assert len(ledger) == 0


@pytest.mark.parametrize("name", ["append", "append_batch", "get", "get_by_id", "history", "query", "entries"])
def test_context_by_position_and_by_name(ledger: Ledger, name: str) -> None:
    getattr(ledger, name)(*CALLS[name], ALICE)
    getattr(ledger, name)(*CALLS[name], context=ALICE)


@pytest.mark.parametrize("name", ["export", "pages"])
def test_export_and_pages(ledger: Ledger, tmp_path: Path, name: str) -> None:
    arguments = (tmp_path / "export.jsonl",) if name == "export" else ()
    with pytest.raises(ContextRequiredError):
        getattr(ledger, name)(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_import(tmp_path: Path, ledger: Ledger) -> None:
    source = tmp_path / "export.jsonl"
    ledger.export(source, ALICE)
    with pytest.raises(ContextRequiredError):
        cast(Any, import_ledger)(source, tmp_path / "ledger.db")
    assert list(tmp_path.iterdir()) == [source]


def test_iteration_is_refused_by_the_call_itself(ledger: Ledger) -> None:
    """Not only when the first entry is asked for, when the mistake is far away."""
    with pytest.raises(ContextRequiredError):
        cast(Any, ledger).entries()


@pytest.mark.parametrize("name", WITHOUT_CONTEXT)
def test_what_shows_no_record_needs_no_context(ledger: Ledger, name: str) -> None:
    getattr(ledger, name)()


@pytest.mark.parametrize("oid", ["", None, "alice", "oid:onoal:user:", "oid:Onoal:user:alice"])
def test_context_without_an_oid(oid: Any) -> None:
    with pytest.raises(ContextRequiredError):
        RequestContext.local(oid)


def test_requester_is_recorded(ledger: Ledger) -> None:
    entries = [ledger.append(note(1), ALICE), *ledger.append_batch([note(2), note(3)], BOB)]
    entries.append(ledger.redact(entries[0].hash, "reason", BOB))
    recorded = [(entry.record.meta or {})["requester_oid"] for entry in entries]
    assert recorded == [ALICE.oid, BOB.oid, BOB.oid, BOB.oid]


@pytest.mark.parametrize("name", CALLS)
def test_asynchronous_calls(name: str) -> None:
    async def call(ledger: AsyncLedger, *arguments: Any, **options: Any) -> None:
        answer = getattr(ledger, name)(*arguments, **options)
        if name != "entries":
            await answer

    async def main() -> None:
        async with create_async_ledger(LEDGER_ID) as ledger:
            for nobody in NOBODY:
                with pytest.raises(ContextRequiredError):
                    await call(ledger, *CALLS[name], nobody)
            with pytest.raises(ContextRequiredError):
                await call(ledger, *CALLS[name])
            assert await ledger.length() == 0

    asyncio.run(main())
