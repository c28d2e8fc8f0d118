"""The asynchronous ledger: the same answers, awaited; cancelling and closing."""

import asyncio
import inspect
import io
import random
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.facade.samples import ALICE, LEDGER_ID, UNKNOWN_HASH, note, notes, open_file

from nucleus import (
    AsyncLedger,
    ConfigError,
    ConflictError,
    IntegrityError,
    InvalidRecordError,
    Ledger,
    LedgerClosedError,
    QueryFilters,
    Record,
    create_async_ledger,
    create_ledger,
    sqlite_storage,
    verify_chain,
)

TIMEOUT_S = 60


def run(main: Awaitable[None]) -> None:
    """Run a test's coroutine, and end it should it hang."""

    async def limited() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await main

    asyncio.run(limited())


class SlowRecord(Mapping[str, Any]):
    """A record that is being read until it is let go: whoever appends it has begun and cannot go on."""

    def __init__(self, n: int) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._members = {"id": f"r-{n}", "stream": "notes", "payload": {"n": n}}

    def __getitem__(self, key: str) -> Any:
        self.begun.set()
        assert self.go_on.wait(TIMEOUT_S)
        return self._members[key]

    def __iter__(self) -> Iterator[str]:
        self.begun.set()
        assert self.go_on.wait(TIMEOUT_S)
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


async def begun(record: SlowRecord) -> None:
    """Wait until a thread has begun to append the record."""
    assert await asyncio.to_thread(record.begun.wait, TIMEOUT_S)


def test_same_methods() -> None:
    synchronous = {name for name in vars(Ledger) if not name.startswith("_")}
    asynchronous = {name for name in vars(AsyncLedger) if not name.startswith("_")}
    assert synchronous - asynchronous == {"pages", "modules"}
    assert asynchronous - synchronous == {"open", "length", "run"}


@pytest.mark.parametrize("name", sorted(name for name in vars(Ledger) if name in vars(AsyncLedger) and name[0] != "_"))
def test_same_signatures(name: str) -> None:
    here, there = inspect.getattr_static(Ledger, name), inspect.getattr_static(AsyncLedger, name)
    if isinstance(here, property):
        assert isinstance(there, property)
        return
    assert inspect.signature(here).parameters == inspect.signature(there).parameters
    assert inspect.iscoroutinefunction(there) == (name not in {"entries", "has_storage", "has_access_control"})


def test_same_answers(path: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with create_async_ledger(LEDGER_ID, storage=sqlite_storage(path)) as ledger:
            assert await ledger.head() is None
            entry = await ledger.append(note(0), context=ALICE)
            batch = await ledger.append_batch(notes(2_500), ALICE)
            assert await ledger.length() == 2_501
            assert await ledger.get(entry.hash, ALICE) == entry
            assert await ledger.get(UNKNOWN_HASH, ALICE) is None
            assert await ledger.get_by_id("r-7", ALICE) == batch[7]
            assert await ledger.history("r-0", ALICE) == [entry, batch[0]]
            page = await ledger.query(QueryFilters(limit=3), ALICE)
            assert page.entries == [entry, *batch[:2]]
            assert [found async for found in ledger.entries(ALICE)] == [entry, *batch]
            assert [found async for found in ledger.entries(ALICE, start_seq=2_499)] == batch[2_498:]
            assert await ledger.head() == (2_500, batch[-1].hash)
            assert (await ledger.verify(expected_length=2_501)).valid
            assert (await ledger.verify_storage()).valid
            recording = await ledger.redact(entry.hash, "reason", ALICE)
            assert (await ledger.stats()).head == (2_501, recording.hash)
            assert await ledger.backup(tmp_path / "copy.db") == (2_501, recording.hash)
            target = io.BytesIO()
            assert await ledger.export(target, ALICE) == 2_502
            assert len(target.getvalue().splitlines()) == 2_503
            assert await ledger.import_entries([], ALICE) == 2_502
            assert ledger.has_storage()
            assert (ledger.id, ledger.path, ledger.closed) == (LEDGER_ID, str(path), False)
            assert LEDGER_ID in repr(ledger)
        assert ledger.closed

    run(main())
    with open_file(path) as ledger:
        assert len(ledger) == 2_502


def test_same_refusals() -> None:
    async def main() -> None:
        async with create_async_ledger(LEDGER_ID) as ledger:
            entry = await ledger.append(note(1), ALICE, unique=True)
            with pytest.raises(ConflictError):
                await ledger.append(note(1, other=True), ALICE, unique=True)
            with pytest.raises(ConflictError):
                await ledger.append_batch([note(2)], ALICE, expected_head=UNKNOWN_HASH)
            with pytest.raises(InvalidRecordError):
                await ledger.append({"id": ""}, ALICE)
            with pytest.raises(ConfigError):
                await ledger.query(QueryFilters(cursor="nonsense"), ALICE)
            assert await ledger.head() == (0, entry.hash)

    run(main())


def test_opening(path: Path) -> None:
    async def main() -> None:
        ledger = await AsyncLedger.open(LEDGER_ID, storage=sqlite_storage(path), max_threads=1)
        entry = await ledger.append(note(1), ALICE)
        await ledger.close()
        async with await AsyncLedger.open(storage=sqlite_storage(path), expected_head=entry.hash) as again:
            assert again.id == LEDGER_ID
        wrong_options: list[dict[str, Any]] = [{"expected_head": UNKNOWN_HASH}, {"expected_length": 5}]
        for wrong in wrong_options:
            with pytest.raises(IntegrityError):
                await AsyncLedger.open(storage=sqlite_storage(path), **wrong)
        with pytest.raises(ConfigError):
            async with create_async_ledger("another", storage=sqlite_storage(path)):
                raise AssertionError
        with pytest.raises(ValueError, match="max_workers"):
            await AsyncLedger.open(LEDGER_ID, max_threads=0)

    before = set(threading.enumerate())
    run(main())
    # The thread in which opening failed may still be on its way out.
    for thread in set(threading.enumerate()) - before:
        thread.join(TIMEOUT_S)
    assert set(threading.enumerate()) <= before, "threads of a ledger are left"


def test_event_loop_goes_on_while_a_thread_works() -> None:
    async def main() -> None:
        async with create_async_ledger(LEDGER_ID) as ledger:
            slow = SlowRecord(1)
            appending = asyncio.create_task(ledger.append(slow, ALICE))
            await begun(slow)
            assert not appending.done()
            await ledger.append(note(2), ALICE)
            assert not appending.done()
            slow.go_on.set()
            assert (await appending).record.id == "r-1"

    run(main())


def test_cancelled_before_it_has_begun_nothing_is_written(path: Path) -> None:
    async def main() -> None:
        async with create_async_ledger(LEDGER_ID, storage=sqlite_storage(path), max_threads=1) as ledger:
            slow = SlowRecord(1)
            first = asyncio.create_task(ledger.append(slow, ALICE))
            await begun(slow)
            waiting = asyncio.create_task(ledger.append_batch([note(2), note(3)], ALICE))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            slow.go_on.set()
            await first
            assert await ledger.length() == 1

    run(main())
    with open_file(path) as ledger:
        assert len(ledger) == 1


@pytest.mark.parametrize("count", [1, 5])
def test_cancelled_after_it_has_begun_it_is_written_whole(path: Path, count: int) -> None:
    async def main() -> None:
        async with create_async_ledger(LEDGER_ID, storage=sqlite_storage(path)) as ledger:
            slow = SlowRecord(0)
            batch: list[Record | SlowRecord] = [*notes(count - 1), slow]
            appending = asyncio.create_task(ledger.append_batch(batch, ALICE))
            await begun(slow)
            appending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await appending
            slow.go_on.set()

    run(main())
    with open_file(path) as ledger:
        assert len(ledger) == count


def test_cancelling_at_random_leaves_whole_batches(path: Path) -> None:
    chance = random.Random(5)
    answered: set[str] = set()

    async def main() -> None:
        async with create_async_ledger(LEDGER_ID, storage=sqlite_storage(path), max_threads=4) as ledger:

            async def append(number: int) -> None:
                entries = await ledger.append_batch([note(number, part=part) for part in range(7)], ALICE)
                answered.update(entry.hash for entry in entries)

            tasks = [asyncio.create_task(append(number)) for number in range(200)]
            for task in chance.sample(tasks, 100):
                await asyncio.sleep(chance.choice([0, 0, 0.001]))
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(main())
    with open_file(path) as ledger:
        entries = list(ledger.entries(ALICE))
        assert ledger.verify(deep=True).valid
    assert len(entries) % 7 == 0
    for start in range(0, len(entries), 7):
        batch = [entry.record.payload for entry in entries[start : start + 7]]
        assert batch == [{"n": batch[0]["n"], "part": part} for part in range(7)]
    assert 100 * 7 <= len(answered) < 200 * 7
    assert answered <= {entry.hash for entry in entries}


def test_many_appends_at_once_give_one_chain() -> None:
    async def main() -> None:
        async with create_async_ledger(LEDGER_ID) as ledger:
            entries = await asyncio.gather(*(ledger.append(note(n), ALICE) for n in range(300)))
            chain = sorted(entries, key=lambda entry: entry.seq)
            assert verify_chain(chain, LEDGER_ID, expected_length=300).valid
            assert chain == [entry async for entry in ledger.entries(ALICE)]

    run(main())


def test_two_event_loops_one_after_the_other() -> None:
    ledger = asyncio.run(AsyncLedger.open(LEDGER_ID))
    asyncio.run(ledger.append(note(1), ALICE))
    assert asyncio.run(ledger.length()) == 1
    asyncio.run(ledger.close())


USES: dict[str, Callable[[AsyncLedger], Awaitable[Any]]] = {
    "append": lambda ledger: ledger.append(note(1), ALICE),
    "append_batch": lambda ledger: ledger.append_batch([note(1)], ALICE),
    "get": lambda ledger: ledger.get(UNKNOWN_HASH, ALICE),
    "query": lambda ledger: ledger.query(QueryFilters(), ALICE),
    "entries": lambda ledger: anext(ledger.entries(ALICE)),
    "length": lambda ledger: ledger.length(),
    "verify": lambda ledger: ledger.verify(),
    "stats": lambda ledger: ledger.stats(),
}


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_closed_ledger_says_so(use: Callable[[AsyncLedger], Awaitable[Any]]) -> None:
    async def main() -> None:
        ledger = await AsyncLedger.open(LEDGER_ID)
        await ledger.close()
        with pytest.raises(LedgerClosedError):
            await use(ledger)
        await ledger.close()

    run(main())


def test_closing_lets_what_was_called_end(path: Path) -> None:
    async def main() -> None:
        ledger = await AsyncLedger.open(LEDGER_ID, storage=sqlite_storage(path), max_threads=1)
        slow = SlowRecord(1)
        calls = [asyncio.create_task(ledger.append(slow, ALICE)), asyncio.create_task(ledger.append(note(2), ALICE))]
        await begun(slow)
        closing = [asyncio.create_task(ledger.close()) for _ in range(3)]
        await asyncio.sleep(0)
        assert ledger.closed
        with pytest.raises(LedgerClosedError):
            await ledger.append(note(3), ALICE)
        assert not any(task.done() for task in closing)
        slow.go_on.set()
        await asyncio.gather(*closing)
        assert [(await call).seq for call in calls] == [0, 1]

    run(main())
    with open_file(path) as ledger:
        assert len(ledger) == 2


def test_closing_that_is_cancelled_still_closes(path: Path) -> None:
    async def main() -> None:
        ledger = await AsyncLedger.open(LEDGER_ID, storage=sqlite_storage(path))
        slow = SlowRecord(1)
        appending = asyncio.create_task(ledger.append(slow, ALICE))
        await begun(slow)
        closing = asyncio.create_task(ledger.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        slow.go_on.set()
        await appending
        await ledger.close()
        assert ledger.closed

    run(main())


def test_opening_that_is_cancelled_leaves_no_ledger_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_file(path) as ledger:
        ledger.append_batch(notes(2_000), ALICE)
    verifying, go_on = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        verifying.set()
        assert go_on.wait(TIMEOUT_S)

    # A ledger that nothing refers to any more would be closed anyway.
    kept: list[Ledger] = []

    def create_and_keep(*arguments: Any, **options: Any) -> Ledger:
        kept.append(create_ledger(*arguments, **options))
        return kept[-1]

    async def main() -> None:
        opening = asyncio.create_task(AsyncLedger.open(storage=sqlite_storage(path), progress=progress))
        assert await asyncio.to_thread(verifying.wait, TIMEOUT_S)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    monkeypatch.setattr("nucleus.aio.create_ledger", create_and_keep)
    before = set(threading.enumerate())
    run(main())
    go_on.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(TIMEOUT_S)
    assert [ledger.closed for ledger in kept] == [True]


def test_progress_and_errors_of_threads_reach_the_caller() -> None:
    async def main() -> None:
        seen: list[int] = []
        async with create_async_ledger(LEDGER_ID) as ledger:
            await ledger.append_batch(notes(10), ALICE)
            await ledger.verify(progress=lambda done, total: seen.append(total))
            assert set(seen) == {10}

            def fail(done: int, total: int) -> None:
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await ledger.verify(progress=fail)

    run(main())


FORKED = """
import asyncio, os
from nucleus import AsyncLedger, NucleusError

async def main():
    ledger = await AsyncLedger.open("forked")
    await ledger.length()
    read, write = os.pipe()
    if os.fork() == 0:
        for use in (ledger.length, ledger.verify, ledger.close):
            try:
                await use()
            except NucleusError as error:
                os.write(write, f"{type(error).__name__} {str(os.getppid()) in str(error)}\\n".encode())
        os._exit(0)
    os.wait()
    os.close(write)
    print(os.read(read, 1000).decode(), end="")
    print(await ledger.length())
    await ledger.close()

asyncio.run(main())
"""


def test_ledger_used_after_a_fork_does_not_wait_for_ever() -> None:
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    assert child.stdout.splitlines() == ["ForkedLedgerError True"] * 3 + ["0"]


def test_synchronous_ledger_beside_it(path: Path) -> None:
    async def main() -> None:
        with create_ledger(LEDGER_ID, storage=sqlite_storage(path)) as other:
            async with create_async_ledger(LEDGER_ID, storage=sqlite_storage(path)) as ledger:
                await ledger.append(note(1), ALICE)
                other.append(note(2), ALICE)
                assert [entry.seq async for entry in ledger.entries(ALICE)] == [0, 1]

    run(main())
