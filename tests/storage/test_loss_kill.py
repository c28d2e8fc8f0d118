"""Writers killed at random moments: whatever was acknowledged is there afterwards, and the chain is whole."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.storage import writers
from tests.storage.acknowledged import Account
from tests.storage.children import Child
from tests.storage.ledgers import ALICE, open_ledger

from nucleus import Record

# How much of a writer's life is waited for, and how far from an acknowledgement the kill may be.
MOST_LINES = 40
LONGEST_DELAY_S = 0.004

# 300 kills in all.
ROUNDS = {writers.append_singles: 90, writers.append_batches: 70, writers.append_from_threads: 60}
ROUNDS_OF_SEVERAL_PROCESSES = 40
PROCESSES = 2


def _kill_at_random(child: Child, chance: random.Random) -> list[str]:
    """Kill a writer after some acknowledgements and a moment; return all of its acknowledgements."""
    lines = [child.wait_for_line() for _ in range(chance.randrange(MOST_LINES))]
    time.sleep(chance.uniform(0, LONGEST_DELAY_S))
    child.kill()
    lines += child.lines()
    assert child.exit_code() == -9
    return lines


@pytest.mark.parametrize("writer", ROUNDS)
def test_killed_writers_lose_nothing(tmp_path: Path, writer: Callable[..., None]) -> None:
    path = tmp_path / "ledger.db"
    chance = random.Random(writer.__name__)
    account = Account()
    for number in range(ROUNDS[writer]):
        child = Child(writer, path, f"w{number}")
        assert child.wait_for_line() == writers.READY
        lines = _kill_at_random(child, chance)
        account.add(lines)
        # The kill may have hit after a commit and before its acknowledgement: more is no fault, less is.
        with open_ledger(path) as ledger:
            account.check_recent(ledger, lines)
    account.check_all(path)


def test_killed_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    chance = random.Random(4)
    kinds = [writers.append_singles, writers.append_batches, writers.append_from_threads]
    account = Account()
    for number in range(ROUNDS_OF_SEVERAL_PROCESSES):
        children = [Child(chance.choice(kinds), path, f"w{number}-{process}") for process in range(PROCESSES)]
        for child in children:
            assert child.wait_for_line() == writers.READY
        recent = []
        for child in chance.sample(children, k=PROCESSES):
            # The others go on while the first one dies.
            recent += _kill_at_random(child, chance)
        account.add(recent)
        with open_ledger(path) as ledger:
            account.check_recent(ledger, recent)
    account.check_all(path)


def test_kills_are_three_hundred() -> None:
    assert sum(ROUNDS.values()) + ROUNDS_OF_SEVERAL_PROCESSES * PROCESSES >= 300


def test_writer_killed_while_opening(tmp_path: Path) -> None:
    """A ledger that was being created is either not there yet or a whole one."""
    chance = random.Random(5)
    for number in range(40):
        path = tmp_path / f"{number}.db"
        child = Child(writers.append_singles, path, "w")
        time.sleep(chance.uniform(0.005, 0.04))
        child.kill()
        account = Account()
        account.add(child.lines())
        assert child.exit_code() == -9
        with open_ledger(path) as ledger:
            ledger.append(Record(id="after", stream="notes", payload={}), context=ALICE)
        account.check_all(path)
