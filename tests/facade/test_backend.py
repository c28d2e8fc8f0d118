"""Everything above the backend works over any: here over one in plain Python."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from tests.facade.chain_backend import ChainBackend, SetOfGrants
from tests.facade.samples import ALICE, BOB, LEDGER_ID, UNKNOWN_HASH, note, notes

from nucleus import (
    AccessDeniedError,
    AsyncLedger,
    ConfigError,
    ContextRequiredError,
    Head,
    InvalidRecordError,
    Ledger,
    LedgerBackend,
    LedgerClosedError,
    QueryFilters,
    UnknownModuleError,
    create_ledger,
    import_ledger,
    sqlite_storage,
)
from nucleus.access import AclGrant, ResourceFilters, ResourcePredicate
from nucleus.modules import Assets, Proofs, Tokens
from nucleus.worker_threads import WorkerThreads

NOTE = ResourcePredicate("notes", "r-1")


def filled() -> Ledger:
    ledger = Ledger(ChainBackend(LEDGER_ID))
    ledger.append_batch(notes(5), ALICE)
    return ledger


def test_the_compiled_engine_is_a_backend_too() -> None:
    with create_ledger(LEDGER_ID) as ledger:
        backend: LedgerBackend = ledger._backend
        assert [name for name in dir(ChainBackend) if name[0] != "_" and not hasattr(backend, name)] == []


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    with filled() as ledger:
        entry = ledger.append({"id": "r-1", "stream": "notes", "payload": {"n": 10}}, ALICE)
        assert ledger.get(entry.hash, BOB) == entry == ledger.get_by_id("r-1", BOB)
        assert ledger.get(UNKNOWN_HASH, BOB) is None
        assert [version.seq for version in ledger.history("r-1", BOB)] == [1, 5]
        assert ledger.head() == Head(5, entry.hash)
        assert len(ledger) == len(list(ledger.entries(ALICE))) == 6
        page = ledger.query(QueryFilters(payload={"n": 3}, with_total=True), ALICE)
        assert ([found.record.id for found in page.entries], page.has_more, page.total) == (["r-3"], False, 1)
        first = ledger.query(QueryFilters(limit=4), ALICE)
        assert first.has_more
        behind = ledger.query(QueryFilters(limit=4, cursor=first.next_cursor), ALICE)
        assert [*first.entries, *behind.entries] == list(ledger.entries(ALICE))
        assert ledger.verify(expected_length=6).valid
        assert not ledger.has_storage()
        assert LEDGER_ID in repr(ledger)
        assert ledger.modules.list() == []
        with pytest.raises(UnknownModuleError):
            ledger.modules.get("asset")
    assert ledger.closed
    with pytest.raises(LedgerClosedError):
        ledger.head()


def test_its_export_is_one_that_the_compiled_engine_takes(tmp_path: Path) -> None:
    with filled() as ledger:
        ledger.redact(next(ledger.entries(ALICE)).hash, "asked for", ALICE)
        entries = list(ledger.entries(ALICE))
        assert ledger.stats().redacted == 1
        target = io.BytesIO()
        assert ledger.export(target, ALICE) == 6
    target.seek(0)
    import_ledger(target, tmp_path / "l.db", ALICE)
    with create_ledger(storage=sqlite_storage(tmp_path / "l.db")) as native:
        assert list(native.entries(ALICE)) == entries


def test_a_context_is_required_and_records_are_checked_before_it_is_asked() -> None:
    with filled() as ledger:
        call: Any = ledger.append
        with pytest.raises(ContextRequiredError):
            call(note(1), None)
        with pytest.raises(InvalidRecordError):
            call("no record", ALICE)
        assert len(ledger) == 5


def test_handles_read_and_append_through_it() -> None:
    backend = ChainBackend(LEDGER_ID)
    assets, proofs, tokens = Assets(backend), Proofs(backend), Tokens(backend)
    assets.register("a-1", owner_oid=ALICE.oid, payload={"colour": "red"}, context=ALICE)
    asset = assets.get("a-1", ALICE)
    assert asset is not None
    assert (asset.owner_oid, asset.payload, asset.entry.seq) == (ALICE.oid, {"colour": "red"}, 0)
    proofs.issue("p-1", subject_oid=BOB.oid, issuer_oid=ALICE.oid, context=ALICE)
    assert proofs.status("p-1", BOB) == "active"
    assert [proof.id for proof in proofs.list(subject_oid=BOB.oid, context=BOB)] == ["p-1"]
    assert assets.owner("a-2", BOB) is None
    tokens.mint("P", to_oid=BOB.oid, amount=7, context=ALICE)
    tokens.transfer("P", from_oid=BOB.oid, to_oid=ALICE.oid, amount=2, context=BOB)
    moved = tokens.history("P", account_oid=BOB.oid, limit=1, context=BOB)
    assert [entry.record.payload["action"] for entry in moved] == ["mint"]
    assert moved.has_more
    assert repr(assets) == f"<Assets of ledger {LEDGER_ID!r}>"


def test_access_control_of_any_kind() -> None:
    access = SetOfGrants(administrator=ALICE.oid)
    backend = ChainBackend(LEDGER_ID, access)
    with Ledger(backend) as ledger:
        entry = ledger.append(note(1), ALICE)
        assert not ledger.access.check(BOB.oid, "read", NOTE)
        with pytest.raises(AccessDeniedError):
            ledger.access.grants_on(NOTE, BOB)
        assert ledger.access.service.grants_on(NOTE) == []
        ledger.access.grant(AclGrant("notes", "r-1", BOB.oid, "read"), ALICE)
        assert ledger.access.check_many(BOB.oid, "read", [NOTE, ResourcePredicate("notes")]) == [True, False]
        assert ledger.access.require(BOB.oid, "read", NOTE).entry == entry
        assert [each.granted_by for each in ledger.access.grants_of(BOB.oid, BOB)] == [ALICE.oid]
        assert ledger.access.explain(BOB.oid, "read", NOTE, at=3, context=BOB).reason == f"{BOB.oid} asked at 3, None"
        assert ledger.access.service.explain(BOB.oid, "read", NOTE).reason == "the service asked at None, None"
        listed = ledger.access.list(BOB.oid, ResourceFilters("notes"), BOB)
        assert [resource.entry for resource in listed] == [entry]
        with pytest.raises(AccessDeniedError):
            Proofs(backend).status("p-1", BOB)
        with pytest.raises(AccessDeniedError):
            ledger.export(io.BytesIO(), BOB)


def test_the_asynchronous_ledger_works_over_it() -> None:
    async def main() -> None:
        access = SetOfGrants(administrator=ALICE.oid)
        async with AsyncLedger(Ledger(ChainBackend(LEDGER_ID, access)), WorkerThreads(2)) as ledger:
            entry = await ledger.append(note(1), ALICE)
            assert await ledger.head() == (0, entry.hash)
            assert [found async for found in ledger.entries(ALICE)] == [entry]
            assert (await ledger.stats()).entries == await ledger.length() == 1
            await ledger.access.grant(AclGrant("notes", "r-1", BOB.oid, "read"), ALICE)
            assert await ledger.access.check(BOB.oid, "read", NOTE)
            assert [each.scope for each in await ledger.access.service.grants_on(NOTE)] == ["read"]
        assert ledger.closed
        with pytest.raises(LedgerClosedError):
            await ledger.head()

    asyncio.run(main())


def test_a_ledger_whose_closing_is_refused_is_open() -> None:
    backend = ChainBackend(LEDGER_ID)
    ledger = Ledger(backend)
    backend.refusal = ConfigError("not now")
    with pytest.raises(ConfigError, match="not now"):
        ledger.close()
    assert not ledger.closed
    ledger.append(note(1), ALICE)
    ledger.close()
    assert ledger.closed


def test_an_asynchronous_ledger_whose_closing_is_refused_goes_on() -> None:
    async def main() -> None:
        backend = ChainBackend(LEDGER_ID)
        ledger = AsyncLedger(Ledger(backend), WorkerThreads(2))
        await ledger.append(note(1), ALICE)
        backend.refusal = ConfigError("not now")
        with pytest.raises(ConfigError, match="not now"):
            await ledger.close()
        assert not ledger.closed
        assert (await ledger.append(note(2), ALICE)).seq == 1
        await ledger.close()
        assert ledger.closed
        with pytest.raises(LedgerClosedError):
            await ledger.length()

    asyncio.run(main())


def test_of_several_closings_one_may_be_refused() -> None:
    async def main() -> None:
        backend = ChainBackend(LEDGER_ID)
        ledger = AsyncLedger(Ledger(backend), WorkerThreads(2))
        backend.refusal = ConfigError("not now")
        closings = await asyncio.gather(*(ledger.close() for _ in range(3)), return_exceptions=True)
        assert sorted(type(closing).__name__ for closing in closings) == ["ConfigError", "NoneType", "NoneType"]
        assert ledger.closed
        with pytest.raises(LedgerClosedError):
            await ledger.length()

    asyncio.run(main())
