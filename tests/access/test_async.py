"""Access control for asyncio services: the same methods awaited, with the same answers and errors."""

import asyncio
import inspect
import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from tests.access.conftest import ADMIN, ALICE, BOB, BUILT_IN, CAROL, STRANGER, access_of
from tests.access.notes import NOTE, note

from nucleus import (
    AccessDeniedError,
    AsyncLedger,
    ChainEntry,
    ConfigError,
    ConflictError,
    ContextRequiredError,
    InvalidRecordError,
    Ledger,
    LedgerClosedError,
    NucleusError,
    QueryFilters,
    QueryPage,
    create_async_ledger,
    sqlite_storage,
)
from nucleus.access import (
    AccessConfig,
    AccessPeriod,
    AclGrant,
    AsyncLedgerAccess,
    Explanation,
    LedgerAccess,
    ListResult,
    Resource,
    ResourceFilters,
    ResourcePredicate,
    UnifiedAccessLayer,
)

TIMEOUT_S = 60
BOB_READS = AclGrant("notes", "n-1", BOB.oid, "read")
CONFIG = AccessConfig(ADMIN.oid)


def run(main: Awaitable[None]) -> None:
    """Run a test's coroutine, and end it should it hang."""

    async def limited() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await main

    asyncio.run(limited())


def awaited_access_of(ledger: AsyncLedger) -> AsyncLedgerAccess:
    assert ledger.access is not None
    return ledger.access


def same(name: str, found: Any, expected: Any) -> None:
    """Both sides made the same of it; entries and grants differ by their ledgers' clocks and salts alone."""
    assert comparable(found) == comparable(expected), name


def comparable(answer: Any) -> Any:
    """What an answer says, without what no two ledgers have in common."""
    match answer:
        case ChainEntry(seq=seq, record=record, redacted=redacted):
            said: Any = (seq, record.stream, record.id, record.payload, redacted)
        case AclGrant():
            said = replace(answer, created_at=None)
        case Explanation(allowed=allowed, reason=reason, period=period):
            said = (allowed, reason, comparable(period))
        case AccessPeriod(grant=grant, until_seq=until_seq, ended_by=ended_by):
            said = (comparable(grant), until_seq, ended_by)
        case Resource(kind=kind, id=name, entry=entry):
            said = (kind, name, comparable(entry))
        case ListResult(next_cursor=cursor):
            said = ([comparable(item) for item in answer], cursor)
        case QueryPage(entries=entries, total=total):
            said = ([comparable(entry) for entry in entries], total)
        case list():
            said = [comparable(item) for item in answer]
        case _:
            said = answer
    return said


# One story, told to both: each step is a call that is made on a ledger and its access control.

Step = Callable[[Any, Any], Any]
STORY: dict[str, Step] = {
    "append": lambda ledger, access: ledger.append(note(), ALICE),
    "append another": lambda ledger, access: ledger.append(note("n-2"), CAROL),
    "denied append": lambda ledger, access: ledger.append(note(), BOB),
    "denied batch": lambda ledger, access: ledger.append_batch([note("n-3"), note()], BOB),
    "not seen": lambda ledger, access: ledger.get_by_id("n-1", BOB),
    "grant": lambda ledger, access: access.grant(BOB_READS, ALICE),
    "grant several": lambda ledger, access: access.grant(
        (replace(BOB_READS, scope=scope) for scope in ("write", "full")), ALICE
    ),
    "denied grant": lambda ledger, access: access.grant(BOB_READS, STRANGER),
    "grant for another": lambda ledger, access: access.grant(replace(BOB_READS, granted_by=ADMIN.oid), ALICE),
    "grant for nobody": lambda ledger, access: access.grant(BOB_READS),
    "bad grant": lambda ledger, access: access.grant([BOB_READS, replace(BOB_READS, principal_oid="bob")], ALICE),
    "seen": lambda ledger, access: ledger.get_by_id("n-1", BOB),
    "history of a record": lambda ledger, access: ledger.history("n-1", BOB),
    "query": lambda ledger, access: ledger.query(QueryFilters(with_total=True), BOB),
    "check": lambda ledger, access: access.check(BOB.oid, "read", NOTE),
    "check at a seq": lambda ledger, access: access.check(BOB.oid, "read", NOTE, at=1),
    "check at a time": lambda ledger, access: access.check(BOB.oid, "read", NOTE, at=datetime(2100, 1, 1, tzinfo=UTC)),
    "check at no seq": lambda ledger, access: access.check(BOB.oid, "read", NOTE, at=99),
    "check_many": lambda ledger, access: access.check_many(
        BOB.oid, "read", (ResourcePredicate("notes", f"n-{n}") for n in range(3))
    ),
    "bad check": lambda ledger, access: access.check(BOB.oid, "admin", NOTE),
    "require": lambda ledger, access: access.require(BOB.oid, "read", NOTE),
    "denied require": lambda ledger, access: access.require(STRANGER.oid, "read", NOTE),
    "list": lambda ledger, access: access.list(CAROL.oid, ResourceFilters("notes", limit=1), context=ADMIN),
    "list of the administrator": lambda ledger, access: access.list(
        ADMIN.oid, ResourceFilters("notes", limit=1), context=ADMIN
    ),
    "bad list": lambda ledger, access: access.list(ADMIN.oid, ResourceFilters("notes", cursor="x"), context=ADMIN),
    "grants_of": lambda ledger, access: access.grants_of(BOB.oid, context=BOB),
    "denied grants_of": lambda ledger, access: access.grants_of(BOB.oid, context=ALICE),
    "grants_on": lambda ledger, access: access.grants_on(NOTE, context=ALICE),
    "denied grants_on": lambda ledger, access: access.grants_on(NOTE, context=STRANGER),
    "revoke": lambda ledger, access: access.revoke(BOB_READS, ALICE),
    "revoke again": lambda ledger, access: access.revoke(iter([BOB_READS]), ALICE),
    "revoke the last full": lambda ledger, access: access.revoke(
        AclGrant("notes", "n-2", CAROL.oid, "full"), CAROL, allow_last_full=False
    ),
    "revoke the last full all the same": lambda ledger, access: access.revoke(
        AclGrant("notes", "n-2", CAROL.oid, "full"), CAROL, allow_last_full=True
    ),
    "explain": lambda ledger, access: access.explain(BOB.oid, "read", NOTE, context=ADMIN),
    "explain the past": lambda ledger, access: access.explain(BOB.oid, "write", NOTE, at=2, context=ADMIN),
    "denied explain": lambda ledger, access: access.explain(ALICE.oid, "read", NOTE, context=STRANGER),
    "history": lambda ledger, access: access.history(NOTE, context=ALICE),
    "denied history": lambda ledger, access: access.history(NOTE, context=STRANGER),
    "denied cleanup_expired": lambda ledger, access: access.cleanup_expired(ALICE),
    "cleanup_expired": lambda ledger, access: access.cleanup_expired(ADMIN),
    "denied rebuild": lambda ledger, access: access.rebuild(ALICE),
    "rebuild": lambda ledger, access: access.rebuild(ADMIN),
    "denied export": lambda ledger, access: ledger.export(io.BytesIO(), ALICE),
    "export": lambda ledger, access: ledger.export(io.BytesIO(), ADMIN),
    "denied import": lambda ledger, access: ledger.import_entries([], ALICE),
}
ERRORS: dict[str, type[NucleusError]] = {
    "denied append": AccessDeniedError,
    "denied batch": AccessDeniedError,
    "denied grant": AccessDeniedError,
    "grant for another": AccessDeniedError,
    "grant for nobody": ContextRequiredError,
    "bad grant": InvalidRecordError,
    "check at no seq": ConfigError,
    "bad check": ConfigError,
    "denied require": AccessDeniedError,
    "bad list": ConfigError,
    "denied grants_of": AccessDeniedError,
    "denied grants_on": AccessDeniedError,
    "revoke the last full": ConflictError,
    "denied explain": AccessDeniedError,
    "denied history": AccessDeniedError,
    "denied cleanup_expired": AccessDeniedError,
    "denied rebuild": AccessDeniedError,
    "denied export": AccessDeniedError,
    "denied import": AccessDeniedError,
}


def test_the_same_answers_and_errors(ledger: Ledger) -> None:
    async def main() -> None:
        async with create_async_ledger("access", modules=BUILT_IN, access=CONFIG) as awaited:
            for name, step in STORY.items():
                outcomes: list[Any] = []
                errors: list[NucleusError] = []
                try:
                    outcomes.append(step(ledger, access_of(ledger)))
                except NucleusError as error:
                    errors.append(error)
                try:
                    outcomes.append(await step(awaited, awaited_access_of(awaited)))
                except NucleusError as error:
                    errors.append(error)
                if name in ERRORS:
                    assert [type(error) for error in errors] == [ERRORS[name]] * 2, name
                    assert str(errors[0]) == str(errors[1])
                else:
                    assert errors == [], name
                    same(name, outcomes[1], outcomes[0])
                assert await awaited.length() == len(ledger), name
            assert (await awaited.verify()).valid

    run(main())


def test_the_story_calls_every_method() -> None:
    called = inspect.getsource(inspect.getmodule(test_the_story_calls_every_method) or inspect)
    for name in public_methods(LedgerAccess):
        assert f"access.{name}(" in called, name


def public_methods(of: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(of).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def test_the_same_methods_with_the_same_arguments() -> None:
    methods, awaited = public_methods(LedgerAccess), public_methods(AsyncLedgerAccess)
    assert {name: str(signature) for name, signature in awaited.items()} == {
        name: str(signature) for name, signature in methods.items()
    }
    for name in methods:
        assert inspect.iscoroutinefunction(vars(AsyncLedgerAccess)[name]), name


def test_the_protocol_is_a_part_of_them() -> None:
    offered = public_methods(LedgerAccess)
    for name, signature in public_methods(UnifiedAccessLayer).items():
        assert str(offered[name]) == str(signature), name


def test_administrator_and_representation() -> None:
    async def main() -> None:
        async with create_async_ledger("access", access=CONFIG) as ledger:
            assert awaited_access_of(ledger).administrator == ADMIN.oid
            assert "AsyncLedgerAccess" in repr(ledger.access)
        async with create_async_ledger("access") as ledger:
            assert not ledger.has_access_control()
            with pytest.raises(ConfigError, match="without access control"):
                _ = ledger.access

    run(main())


def test_iteration_shows_what_may_be_read(tmp_path: Path) -> None:
    async def main() -> None:
        storage = sqlite_storage(tmp_path / "ledger.db")
        async with create_async_ledger("access", storage=storage, access=CONFIG) as ledger:
            await ledger.append_batch([note(f"n-{number}") for number in range(5)], ALICE)
            await awaited_access_of(ledger).grant(replace(BOB_READS, resource_id="n-3"), ALICE)
            assert [entry.record.id async for entry in ledger.entries(BOB)] == ["n-3"]
            assert [entry.seq async for entry in ledger.entries(STRANGER)] == []
            with pytest.raises(ContextRequiredError):
                ledger.entries(cast(Any, None))

    run(main())


def test_modules_obey_access_control() -> None:
    async def main() -> None:
        async with create_async_ledger("access", modules=BUILT_IN, access=CONFIG) as ledger:
            await ledger.run(
                lambda ledger: ledger.modules.get("asset").register("a-1", owner_oid=ALICE.oid, context=ALICE)
            )
            assert await ledger.run(lambda ledger: ledger.modules.get("asset").get("a-1", BOB)) is None
            with pytest.raises(AccessDeniedError):
                await ledger.run(
                    lambda ledger: ledger.modules.get("asset").transfer("a-1", to_oid=BOB.oid, context=BOB)
                )
            await ledger.run(lambda ledger: ledger.modules.get("asset").transfer("a-1", to_oid=BOB.oid, context=ALICE))
            assert await awaited_access_of(ledger).check(BOB.oid, "full", ResourcePredicate("asset", "a-1"))

    run(main())


def test_revoking_holds_for_calls_that_are_made_afterwards() -> None:
    async def main() -> None:
        async with create_async_ledger("access", access=CONFIG, max_threads=8) as ledger:
            access = awaited_access_of(ledger)
            await ledger.append(note(), ALICE)
            for _ in range(20):
                await access.grant(BOB_READS, ALICE)
                assert all(await asyncio.gather(*(access.check(BOB.oid, "read", NOTE) for _ in range(20))))
                await access.revoke(BOB_READS, ALICE)
                assert not any(await asyncio.gather(*(access.check(BOB.oid, "read", NOTE) for _ in range(20))))
                assert await ledger.get_by_id("n-1", BOB) is None

    run(main())


def test_one_of_many_creators_wins() -> None:
    async def main() -> None:
        async with create_async_ledger("access", access=CONFIG, max_threads=8) as ledger:
            contexts = [ALICE, BOB, CAROL, STRANGER] * 5
            outcomes = await asyncio.gather(
                *(ledger.append(note(), context) for context in contexts), return_exceptions=True
            )
            (creator,) = {
                outcome.record.meta["requester_oid"]
                for outcome in outcomes
                if isinstance(outcome, ChainEntry) and outcome.record.meta is not None
            }
            assert sum(isinstance(outcome, AccessDeniedError) for outcome in outcomes) == 15
            grants = await awaited_access_of(ledger).grants_on(NOTE, context=ADMIN)
            assert [grant.principal_oid for grant in grants] == [creator]

    run(main())


def test_a_closed_ledger_answers_nothing() -> None:
    async def main() -> None:
        async with create_async_ledger("access", access=CONFIG) as ledger:
            access = awaited_access_of(ledger)
        for call in (
            lambda: access.check(ADMIN.oid, "read", NOTE),
            lambda: access.grant(BOB_READS, ADMIN),
            lambda: access.history(NOTE, context=ADMIN),
        ):
            with pytest.raises(LedgerClosedError):
                await call()

    run(main())
