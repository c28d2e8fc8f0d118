"""A page is of one state: the grants that it goes by are those that follow from the entries in it."""

import threading
from pathlib import Path

from tests.access.conftest import ADMIN, ALICE, BOB, BUILT_IN, open_ledger

from nucleus import QueryFilters, create_ledger, sqlite_storage

_TRANSFERS = 400
_ASSETS = QueryFilters(stream="assets", latest_only=True)


def test_no_page_shows_what_was_given_away_by_the_newest_entry_in_it(database: Path) -> None:
    """Somebody without access control moves an asset to and fro, and keeps no grants; its owner alone ever sees it."""
    with open_ledger(database) as ledger:
        asset = {"id": "a-1", "stream": "assets", "payload": {"owner_oid": ALICE.oid}}
        ledger.append(asset, context=ADMIN)
        moved = threading.Event()

        def move() -> None:
            with create_ledger("access", storage=sqlite_storage(database), modules=BUILT_IN) as without:
                for turn in range(_TRANSFERS):
                    giver, taker = (ALICE, BOB) if turn % 2 == 0 else (BOB, ALICE)
                    payload = {"action": "transfer", "owner_oid": taker.oid}
                    without.append({"id": "a-1", "stream": "assets", "payload": payload}, context=giver)
            moved.set()

        mover = threading.Thread(target=move)
        mover.start()
        seen = {ALICE.oid: 0, BOB.oid: 0}
        strangers: list[tuple[int, str]] = []
        while not moved.is_set():
            for reader in (ALICE, BOB):
                for entry in ledger.query(_ASSETS, context=reader).entries:
                    seen[reader.oid] += 1
                    if entry.record.payload["owner_oid"] != reader.oid:
                        strangers.append((entry.seq, reader.oid))
        mover.join()
        assert strangers == []
        assert min(seen.values()) > 0
