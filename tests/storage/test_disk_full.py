"""A file that may not grow any further: appends fail cleanly, nothing is lost, and it goes on when there is room."""

import resource
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.storage import writers
from tests.storage.acknowledged import Account
from tests.storage.children import Child, say
from tests.storage.ledgers import ALICE, open_ledger, wal_of

from nucleus import StorageError

FAILED = "failed"
RECOVERED = "recovered"


def _limit_file_size(limit_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))


def append_until_full(path: Path, room_bytes: int, pipe: Connection) -> None:
    """Append until the limit is reached, a few times more, then lift the limit and append again."""
    with open_ledger(path) as ledger:
        writers.acknowledge(pipe, ledger.append(writers.record("before", 0), context=ALICE))
        _limit_file_size(wal_of(path).stat().st_size + room_bytes)
        refusals = 0
        number = 0
        while refusals < 5:
            try:
                writers.acknowledge(pipe, ledger.append(writers.record("full", number), context=ALICE))
            except StorageError:
                say(pipe, f"{FAILED} full-{number}")
                refusals += 1
            number += 1
        _limit_file_size(resource.RLIM_INFINITY)
        say(pipe, RECOVERED)
        writers.acknowledge(pipe, ledger.append(writers.record("after", 0), context=ALICE))
        batch = [writers.record("after", more) for more in range(1, 5)]
        writers.acknowledge(pipe, *ledger.append_batch(batch, context=ALICE))


@pytest.mark.parametrize("room_bytes", [0, 1, 23, 24, 4_096, 4_120, 20_000, 60_001, 150_000])
def test_file_size_limit(tmp_path: Path, room_bytes: int) -> None:
    path = tmp_path / "ledger.db"
    lines = Child(append_until_full, path, room_bytes).finish()
    failed = [line.split()[1] for line in lines if line.startswith(FAILED)]
    assert len(failed) == 5
    account = Account()
    account.add([line for line in lines if line != RECOVERED and not line.startswith(FAILED)])
    # One from before, five from after, whatever fitted in between, and nothing that was refused.
    assert len(lines[lines.index(RECOVERED) + 1 :]) == 5
    account.check_all(path, nothing_else=True)
    assert not {record_id for _, record_id in account.entries.values()} & set(failed)


def create_where_nothing_fits(path: Path, limit_bytes: int, pipe: Connection) -> None:
    """Create a ledger under a limit; tell what came of it."""
    _limit_file_size(limit_bytes)
    try:
        with open_ledger(path) as ledger:
            writers.acknowledge(pipe, ledger.append(writers.record("new", 0), context=ALICE))
    except StorageError as error:
        say(pipe, f"{FAILED} {type(error).__name__}")


@pytest.mark.parametrize("limit_bytes", [0, 100, 4_096, 10_000, 30_000, 50_000])
def test_creating_a_ledger_where_it_does_not_fit(tmp_path: Path, limit_bytes: int) -> None:
    path = tmp_path / "ledger.db"
    lines = Child(create_where_nothing_fits, path, limit_bytes).finish()
    account = Account()
    account.add([line for line in lines if not line.startswith(FAILED)])
    with open_ledger(path) as ledger:
        account.check_recent(ledger, account.lines())
        ledger.append(writers.record("later", 0), context=ALICE)
    account.check_all(path)
