"""Reads that go on while a run of the look-up indexes is written: their snapshot may not show it."""

import threading
from pathlib import Path

from nucleus import Ledger, QueryFilters, RequestContext, create_ledger, sqlite_storage

ALICE = RequestContext.local("oid:onoal:user:alice")
RUN_ENTRIES = 65_536
VERSIONS = 30_000


def append_until(ledger: Ledger, length: int) -> None:
    while len(ledger) < length:
        ledger.append_batch([{"id": f"o-{len(ledger)}-{n}", "stream": "s", "payload": {}} for n in range(400)], ALICE)


def test_a_page_by_id_is_whole_while_a_run_is_written(tmp_path: Path) -> None:
    """Pages of one id with many versions, each read in several steps, while the appends that lead to the run go on."""
    for attempt in range(3):
        storage = sqlite_storage(tmp_path / f"{attempt}.db", durability="normal")
        with create_ledger("runs", storage=storage) as ledger:
            for first in range(0, VERSIONS, 5_000):
                hot = [{"id": "hot", "stream": "s", "payload": {"n": first + n}} for n in range(5_000)]
                ledger.append_batch(hot, ALICE)
            append_until(ledger, RUN_ENTRIES - 2_000)
            over = threading.Event()
            found: list[tuple[int, bool]] = []

            def read(
                ledger: Ledger = ledger, over: threading.Event = over, found: list[tuple[int, bool]] = found
            ) -> None:
                while not over.is_set():
                    page = ledger.query(QueryFilters(id="hot", limit=10_000, order="desc"), ALICE)
                    found.append((len(page.entries), page.next_cursor is not None))

            readers = [threading.Thread(target=read) for _ in range(2)]
            for reader in readers:
                reader.start()
            append_until(ledger, RUN_ENTRIES + 2_000)
            over.set()
            for reader in readers:
                reader.join()
            assert found
            assert set(found) == {(10_000, True)}
