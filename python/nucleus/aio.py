"""The ledger for asyncio services: the same methods, awaited."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

from nucleus._core import ChainEntry, QueryPage, Record, VerificationReport
from nucleus.access.aio import AsyncLedgerAccess
from nucleus.access.config import AccessConfig
from nucleus.auth.context import RequestContext, names_requester
from nucleus.backend import Progress
from nucleus.exporting import BinaryWriter
from nucleus.figures import Head, LedgerStats
from nucleus.ledger import Ledger
from nucleus.modules.config import ModuleConfig
from nucleus.opening import create_ledger
from nucleus.query import QueryFilters
from nucleus.storage import StorageConfig
from nucleus.worker_threads import WorkerThreads

T = TypeVar("T")


class LedgerOptions(TypedDict, total=False):
    """The keyword arguments of :func:`nucleus.create_ledger`."""

    storage: StorageConfig | None
    modules: Sequence[ModuleConfig]
    access: AccessConfig | None
    verify_on_open: bool
    expected_head: str | None
    expected_length: int | None
    accept_rollback: bool
    max_record_bytes: int
    progress: Progress | None


@asynccontextmanager
async def create_async_ledger(
    id: str | None = None, *, max_threads: int = 16, **options: Unpack[LedgerOptions]
) -> AsyncIterator["AsyncLedger"]:
    """Open a ledger for an ``async with`` block, which closes it; see :meth:`AsyncLedger.open`."""
    ledger = await AsyncLedger.open(id, max_threads=max_threads, **options)
    try:
        yield ledger
    finally:
        await ledger.close()


class AsyncLedger:
    """An open ledger whose methods are awaited. :meth:`open` makes one; leaving its ``async with`` block closes it.

    Arguments, answers and errors are those of :class:`nucleus.Ledger`. The work runs in threads of the ledger's own,
    without the interpreter lock, so that the event loop goes on; appends that wait at the same time share a commit.

    Cancelling a call that waits for a free thread withdraws it. Work that has begun runs to its end whatever happens
    to the one who waits for it: a batch is appended whole or not at all, and a cancelled append may be durable all the
    same. ``append(..., unique=True)`` repeats such an append safely.
    """

    def __init__(self, ledger: Ledger, threads: WorkerThreads) -> None:
        self._ledger = ledger
        self._threads = threads

    @classmethod
    async def open(cls, id: str | None = None, *, max_threads: int = 16, **options: Unpack[LedgerOptions]) -> Self:
        """Open a ledger, creating it where there is none, and verify it.

        Args:
            id: as for :func:`nucleus.create_ledger`.
            max_threads: how many calls run at the same time; the others wait.
            options: as for :func:`nucleus.create_ledger`; ``progress`` is called in a thread of the ledger.

        Raises:
            ValueError: ``max_threads`` is less than 1.
            NucleusError: as for :func:`nucleus.create_ledger`.
        """
        threads = WorkerThreads(max_threads)
        opening = threads.begin(partial(create_ledger, id, **options))
        try:
            return cls(await asyncio.wrap_future(opening), threads)
        except BaseException:
            # Cancelled while it was being opened, the ledger belongs to nobody.
            opening.add_done_callback(_close_opened)
            threads.shutdown()
            raise

    @property
    def id(self) -> str:
        """The ledger's id."""
        return self._ledger.id

    @property
    def path(self) -> str | None:
        """The database file; None in memory."""
        return self._ledger.path

    @property
    def closed(self) -> bool:
        """True once :meth:`close` has been called, and False again where that was refused or failed."""
        return self._threads.closing or self._ledger.closed

    @property
    def access(self) -> AsyncLedgerAccess:
        """Access control. Does not wait.

        Raises:
            ConfigError: the ledger was opened without it; see :meth:`has_access_control`.
        """
        return AsyncLedgerAccess(self._threads, self._ledger.access)

    def has_access_control(self) -> bool:
        """Return True where grants decide what a requester may do. Does not wait."""
        return self._ledger.has_access_control()

    def has_storage(self) -> bool:
        """Return True when the ledger is kept in a file, False when it is in memory only. Does not wait."""
        return self._ledger.has_storage()

    @names_requester
    async def append(
        self,
        record: Record | Mapping[str, Any],
        context: RequestContext,
        *,
        unique: bool = False,
        expected_head: str | None = None,
    ) -> ChainEntry:
        """Append one record; see :meth:`nucleus.Ledger.append`."""
        return await self._threads.run(
            lambda: self._ledger.append(record, context, unique=unique, expected_head=expected_head)
        )

    @names_requester
    async def append_batch(
        self,
        records: Iterable[Record | Mapping[str, Any]],
        context: RequestContext,
        *,
        expected_head: str | None = None,
    ) -> list[ChainEntry]:
        """Append several records, all or none; see :meth:`nucleus.Ledger.append_batch`."""
        # The caller's iterable is consumed here: it need not be fit for another thread.
        batch = list(records)
        return await self._threads.run(lambda: self._ledger.append_batch(batch, context, expected_head=expected_head))

    @names_requester
    async def get(self, hash: str, context: RequestContext) -> ChainEntry | None:
        """Return the entry with this hash, or None; see :meth:`nucleus.Ledger.get`."""
        return await self._threads.run(lambda: self._ledger.get(hash, context))

    @names_requester
    async def get_by_id(self, id: str, context: RequestContext, *, stream: str | None = None) -> ChainEntry | None:
        """Return the newest entry whose record has this id, or None; see :meth:`nucleus.Ledger.get_by_id`."""
        return await self._threads.run(lambda: self._ledger.get_by_id(id, context, stream=stream))

    @names_requester
    async def history(self, id: str, context: RequestContext, *, stream: str | None = None) -> list[ChainEntry]:
        """Return all entries whose record has this id; see :meth:`nucleus.Ledger.history`."""
        return await self._threads.run(lambda: self._ledger.history(id, context, stream=stream))

    @names_requester
    async def query(self, filters: QueryFilters, context: RequestContext) -> QueryPage:
        """Return one page of the entries that match; see :meth:`nucleus.Ledger.query`."""
        return await self._threads.run(lambda: self._ledger.query(filters, context))

    @names_requester
    def entries(
        self, context: RequestContext, *, start_seq: int = 0, end_seq: int | None = None
    ) -> AsyncIterator[ChainEntry]:
        """Iterate over the chain in order with ``async for``; see :meth:`nucleus.Ledger.entries`."""
        return self._entries(self._ledger.pages(context, start_seq=start_seq, end_seq=end_seq))

    async def _entries(self, pages: Iterator[list[ChainEntry]]) -> AsyncIterator[ChainEntry]:
        while page := await self._threads.run(lambda: next(pages, None)):
            for entry in page:
                yield entry

    async def run(self, work: Callable[[Ledger], T]) -> T:
        """Call ``work(ledger)`` in a thread of the ledger, for what has no method of its own here: the modules.

        ``await ledger.run(lambda ledger: ledger.modules.get("asset").transfer("a-1", to_oid=bob, context=alice))``
        """
        return await self._threads.run(lambda: work(self._ledger))

    async def head(self) -> Head | None:
        """Return where the chain ends, (seq, hash) of the newest entry, or None when the ledger is empty."""
        return await self._threads.run(self._ledger.head)

    async def length(self) -> int:
        """Return the number of entries; ``len()`` cannot be awaited."""
        return await self._threads.run(self._ledger.__len__)

    async def verify(
        self,
        *,
        deep: bool = False,
        expected_head: str | None = None,
        expected_length: int | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        """Verify the whole chain; see :meth:`nucleus.Ledger.verify`. ``progress`` is called in another thread."""
        return await self._threads.run(
            lambda: self._ledger.verify(
                deep=deep, expected_head=expected_head, expected_length=expected_length, progress=progress
            )
        )

    async def verify_storage(self, *, progress: Progress | None = None) -> VerificationReport:
        """Verify the chain and the database that holds it; see :meth:`nucleus.Ledger.verify_storage`."""
        return await self._threads.run(lambda: self._ledger.verify_storage(progress=progress))

    @names_requester
    async def redact(self, hash: str, reason: str, context: RequestContext) -> ChainEntry:
        """Erase the payload of one entry for good; see :meth:`nucleus.Ledger.redact`."""
        return await self._threads.run(lambda: self._ledger.redact(hash, reason, context))

    async def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Head | None:
        """Write a copy to a new file; see :meth:`nucleus.Ledger.backup`. ``progress`` is called in another thread."""
        return await self._threads.run(lambda: self._ledger.backup(path, progress=progress))

    @names_requester
    async def export(
        self,
        target: str | os.PathLike[str] | BinaryWriter,
        context: RequestContext,
        *,
        progress: Progress | None = None,
    ) -> int:
        """Write the chain as JSON Lines; see :meth:`nucleus.Ledger.export`.

        ``target.write`` and ``progress`` are called in another thread.
        """
        return await self._threads.run(lambda: self._ledger.export(target, context, progress=progress))

    @names_requester
    async def import_entries(self, entries: Iterable[ChainEntry], context: RequestContext) -> int:
        """Append entries of an export unchanged; see :meth:`nucleus.Ledger.import_entries`."""
        batch = list(entries)
        return await self._threads.run(lambda: self._ledger.import_entries(batch, context))

    async def stats(self) -> LedgerStats:
        """Return figures about the ledger; see :meth:`nucleus.Ledger.stats`."""
        return await self._threads.run(self._ledger.stats)

    async def close(self) -> None:
        """Let the calls that have been made come to their end, then close the ledger and end its threads.

        Closing twice does nothing; whoever calls waits until the ledger is closed. Where closing fails, the ledger and
        its threads go on.

        Raises:
            ConfigError: one of the ledger's threads calls it, such as a module's hook, for which it would wait.
        """
        await self._threads.close(self._ledger.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncLedger of {self._ledger!r}>"


def _close_opened(opening: Future[Ledger]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
