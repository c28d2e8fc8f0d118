"""The module asset: one owner at a time, whoever asks and however."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.modules.conftest import ALICE, BOB, CAROL, ISSUER

from nucleus import ContextRequiredError, Ledger, QueryFilters, Record, RecordRefusedError, RequestContext
from nucleus.modules import Assets


def assets_of(ledger: Ledger) -> Assets:
    return ledger.modules.get("asset")


@pytest.fixture
def assets(ledger: Ledger) -> Assets:
    handle = assets_of(ledger)
    handle.register("a-1", owner_oid=ALICE.oid, issuer_oid=ISSUER.oid, payload={"color": "red", "n": 1}, context=CAROL)
    return handle


def test_registered_is_what_was_given(assets: Assets) -> None:
    asset = assets.get("a-1", context=BOB)
    assert asset is not None
    assert (asset.status, asset.owner_oid, asset.issuer_oid) == ("active", ALICE.oid, ISSUER.oid)
    assert asset.payload == {"color": "red", "n": 1}
    assert assets.get("a-2", context=BOB) is None
    assert assets.owner("a-2", context=BOB) is None
    assert assets.status("a-2", context=BOB) is None


def test_an_id_is_registered_once(assets: Assets) -> None:
    with pytest.raises(RecordRefusedError, match="with this id already") as refusal:
        assets.register("a-1", owner_oid=BOB.oid, context=BOB)
    assert refusal.value.module_id == "asset"


@pytest.mark.parametrize("owner_oid", ["", "alice", "oid:onoal:user:", "oid:onoal:user:a b"])
def test_an_owner_is_an_oid(assets: Assets, owner_oid: str) -> None:
    with pytest.raises(RecordRefusedError, match=r"\$\.payload\.owner_oid"):
        assets.register("a-2", owner_oid=owner_oid, context=ALICE)
    with pytest.raises(RecordRefusedError, match=r"\$\.payload\.owner_oid"):
        assets.transfer("a-1", to_oid=owner_oid, context=ALICE)


@pytest.mark.parametrize("name", ["action", "status", "reason", "owner_oid", "issuer_oid", "exp"])
def test_reserved_names_are_refused(assets: Assets, name: str) -> None:
    with pytest.raises(RecordRefusedError, match=name):
        assets.register("a-2", owner_oid=ALICE.oid, payload={name: "x"}, context=ALICE)
    with pytest.raises(RecordRefusedError, match=name):
        assets.update("a-1", payload={name: "x"}, context=ALICE)


def test_only_the_current_owner_transfers(assets: Assets) -> None:
    for other in (BOB, CAROL, ISSUER):
        with pytest.raises(RecordRefusedError, match="current owner"):
            assets.transfer("a-1", to_oid=other.oid, context=other)
    assets.transfer("a-1", to_oid=BOB.oid, reason="sold", context=ALICE)
    with pytest.raises(RecordRefusedError, match="current owner"):
        assets.transfer("a-1", to_oid=CAROL.oid, context=ALICE)
    with pytest.raises(RecordRefusedError, match="already"):
        assets.transfer("a-1", to_oid=BOB.oid, context=BOB)
    asset = assets.get("a-1", context=ALICE)
    assert asset is not None
    assert (asset.owner_oid, asset.reason, asset.payload) == (BOB.oid, "sold", {"color": "red", "n": 1})


def test_update_replaces_and_removes(assets: Assets) -> None:
    assets.update("a-1", payload={"color": None, "n": 2, "new": {"x": [1]}}, context=ALICE)
    assets.update("a-1", payload={"n": 3}, context=ISSUER)
    asset = assets.get("a-1", context=ALICE)
    assert asset is not None
    assert asset.payload == {"n": 3, "new": {"x": [1]}}
    with pytest.raises(RecordRefusedError, match="at least one"):
        assets.update("a-1", payload={}, context=ALICE)
    with pytest.raises(RecordRefusedError, match="owner or its issuer"):
        assets.update("a-1", payload={"n": 4}, context=BOB)


def test_retired_is_final(assets: Assets) -> None:
    with pytest.raises(RecordRefusedError, match="owner or its issuer"):
        assets.retire("a-1", context=BOB)
    assets.retire("a-1", reason="burnt", context=ISSUER)
    assert assets.status("a-1", context=BOB) == "retired"
    attempts: list[Callable[[], object]] = [
        lambda: assets.transfer("a-1", to_oid=BOB.oid, context=ALICE),
        lambda: assets.update("a-1", payload={"n": 1}, context=ALICE),
        lambda: assets.retire("a-1", context=ALICE),
    ]
    for attempt in attempts:
        with pytest.raises(RecordRefusedError, match="retired"):
            attempt()
    assert [asset.id for asset in assets.list(status="retired", context=BOB)] == ["a-1"]
    assert list(assets.list(status="active", context=BOB)) == []


def test_what_does_not_exist_cannot_change(assets: Assets) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: assets.transfer("a-2", to_oid=BOB.oid, context=ALICE),
        lambda: assets.update("a-2", payload={"n": 1}, context=ALICE),
        lambda: assets.retire("a-2", context=ALICE),
    ]
    for attempt in attempts:
        with pytest.raises(RecordRefusedError, match="no asset"):
            attempt()


@pytest.mark.parametrize(
    "payload",
    [
        {"owner_oid": BOB.oid},
        {"action": "register", "owner_oid": BOB.oid},
        {"action": "transfer", "owner_oid": BOB.oid},
        {"action": "transfer", "owner_oid": BOB.oid, "color": "blue"},
        {"action": "update", "owner_oid": BOB.oid},
        {"action": "give"},
        {"action": 1},
        ["owner_oid"],
        {},
    ],
)
def test_a_plain_append_obeys_the_same_rules(ledger: Ledger, assets: Assets, payload: Any) -> None:
    length = len(ledger)
    with pytest.raises(RecordRefusedError):
        ledger.append(Record("a-1", "assets", payload), context=BOB)
    with pytest.raises(RecordRefusedError):
        ledger.append_batch([Record("a-9", "notes", {}), Record("a-1", "assets", payload)], context=BOB)
    assert len(ledger) == length
    assert assets.owner("a-1", context=BOB) == ALICE.oid


def test_a_batch_sees_its_own_records(ledger: Ledger, assets: Assets) -> None:
    move = {"action": "transfer", "owner_oid": BOB.oid}
    batch = [
        Record("a-2", "assets", {"owner_oid": ALICE.oid}),
        Record("a-2", "assets", {"action": "update", "n": 7}),
        Record("a-2", "assets", move),
    ]
    ledger.append_batch(batch, context=ALICE)
    assert assets.owner("a-2", context=ALICE) == BOB.oid
    with pytest.raises(RecordRefusedError, match=r"\$\[1\] of the batch"):
        ledger.append_batch([Record("a-1", "assets", move)] * 2, context=ALICE)
    assert assets.owner("a-1", context=ALICE) == ALICE.oid


def test_the_same_id_elsewhere_is_another_thing(ledger: Ledger, assets: Assets) -> None:
    ledger.append(Record("a-1", "notes", {"owner_oid": BOB.oid}), context=BOB)
    assert assets.owner("a-1", context=BOB) == ALICE.oid
    assert len(assets.history("a-1", context=BOB)) == 1
    assert [asset.id for asset in assets.list(owner_oid=ALICE.oid, context=BOB)] == ["a-1"]
    assets.transfer("a-1", to_oid=BOB.oid, context=ALICE)
    assert assets.owner("a-1", context=BOB) == BOB.oid


def test_lists_answer_the_current_owner_in_full_pages(ledger: Ledger, assets: Assets) -> None:
    for n in range(2, 32):
        assets.register(f"a-{n}", owner_oid=ALICE.oid, context=CAROL)
    for n in range(1, 32, 3):
        assets.transfer(f"a-{n}", to_oid=BOB.oid, context=ALICE)
    given_away = {f"a-{n}" for n in range(1, 32, 3)}
    kept, cursor = [], None
    while True:
        page = assets.list(owner_oid=ALICE.oid, limit=4, cursor=cursor, context=CAROL)
        kept += [asset.id for asset in page]
        if not page.has_more:
            break
        assert len(page) == 4
        cursor = page.next_cursor
    assert len(kept) == len(set(kept))
    assert set(kept) == {f"a-{n}" for n in range(1, 32)} - given_away
    assert {asset.id for asset in assets.list(owner_oid=BOB.oid, context=CAROL)} == given_away
    filters = QueryFilters(stream="assets", latest_only=True, with_total=True, limit=1)
    assert ledger.query(filters, context=CAROL).total == 31


def test_state_is_the_same_after_reopening(reopen: Callable[[], Ledger]) -> None:
    assets = assets_of(reopen())
    assets.register("a-1", owner_oid=ALICE.oid, context=ALICE)
    assets.transfer("a-1", to_oid=BOB.oid, context=ALICE)
    before = assets.get("a-1", context=ALICE)
    ledger = reopen()
    assert assets_of(ledger).get("a-1", context=ALICE) == before
    with pytest.raises(RecordRefusedError, match="current owner"):
        assets_of(ledger).transfer("a-1", to_oid=CAROL.oid, context=ALICE)
    assert ledger.verify(deep=True).valid


def race(assets: Assets, asset_id: str) -> tuple[list[str], list[RecordRefusedError]]:
    """Transfer one asset from two threads at once; return the new owners and the refusals."""
    barrier = threading.Barrier(2)
    won: list[str] = []
    refused: list[RecordRefusedError] = []

    def run(to: RequestContext) -> None:
        barrier.wait()
        try:
            assets.transfer(asset_id, to_oid=to.oid, context=ALICE)
            won.append(to.oid)
        except RecordRefusedError as error:
            refused.append(error)

    threads = [threading.Thread(target=run, args=(to,)) for to in (BOB, CAROL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won, refused


def test_of_two_threads_that_transfer_one_asset_exactly_one_wins(ledger: Ledger) -> None:
    assets = assets_of(ledger)
    for round_number in range(100):
        raced = f"raced-{round_number}"
        assets.register(raced, owner_oid=ALICE.oid, context=ALICE)
        won, refused = race(assets, raced)
        assert (len(won), len(refused)) == (1, 1)
        assert assets.owner(raced, context=ALICE) == won[0]
        assert len(assets.history(raced, context=ALICE)) == 2


def test_entries_of_assets_are_not_redacted(ledger: Ledger, assets: Assets) -> None:
    entry = assets.history("a-1", context=ALICE)[0]
    with pytest.raises(RecordRefusedError, match="not redacted"):
        ledger.redact(entry.hash, "asked for", context=ALICE)
    assert ledger.get(entry.hash, context=ALICE) == entry


def test_every_call_names_who_asks(assets: Any) -> None:
    # Any: a type checker finds what is forgotten here.
    for call in (
        lambda: assets.register("a-2", owner_oid=ALICE.oid),
        lambda: assets.transfer("a-1", to_oid=BOB.oid),
        lambda: assets.update("a-1", payload={"n": 1}),
        lambda: assets.retire("a-1"),
        lambda: assets.get("a-1"),
        lambda: assets.owner("a-1"),
        lambda: assets.status("a-1"),
        lambda: assets.history("a-1"),
        assets.list,
    ):
        with pytest.raises(ContextRequiredError):
            call()
