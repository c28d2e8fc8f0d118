"""The threads in which an asynchronous ledger works."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from nucleus.errors import ConfigError, ForkedLedgerError, LedgerClosedError

T = TypeVar("T")


class WorkerThreads:
    """Threads for the calls on one ledger; each call is awaited by whoever made it."""

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._own = threading.local()
        self._process_id = os.getpid()
        # Whoever closes holds it while the ledger closes; `closing` is then True, and False again where that failed.
        self._closer = threading.Lock()
        self._executor = self._new_executor()
        self.closing = False

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread and wait for it.

        Raises:
            LedgerClosedError: closing has begun.
            ForkedLedgerError: this is a forked child.
        """
        self._check_process()
        if self.closing:
            raise LedgerClosedError("the ledger is closed; open it again")
        return await asyncio.wrap_future(self.begin(work))

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Have ``work`` run in a thread, without waiting for it."""
        return self._executor.submit(work)

    async def close(self, close_ledger: Callable[[], None]) -> None:
        """Let all that runs come to its end, then close the ledger; where that fails, everything goes on as before.

        Raises:
            ForkedLedgerError: this is a forked child.
            ConfigError: one of the threads calls it, and would wait for itself.
        """
        self._check_process()
        if getattr(self._own, "thread", False):
            raise ConfigError(
                "close was called from a call that runs in the ledger's own threads, a hook of a module perhaps, and "
                "would wait for it without end; close the ledger outside of it"
            )
        self.closing = True
        await asyncio.to_thread(self._close, close_ledger)

    def _close(self, close_ledger: Callable[[], None]) -> None:
        with self._closer:
            self.closing = True
            self._executor.shutdown(wait=True)
            try:
                close_ledger()
            except BaseException:
                self._executor = self._new_executor()
                self.closing = False
                raise

    def shutdown(self) -> None:
        """End the threads once they have nothing to do any more; does not wait."""
        self._executor.shutdown(wait=False)

    def _new_executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(
            self._max_threads, thread_name_prefix="nucleus", initializer=setattr, initargs=(self._own, "thread", True)
        )

    def _check_process(self) -> None:
        # The threads did not survive the fork: whoever waited for one would wait for ever.
        if self._process_id != os.getpid():
            raise ForkedLedgerError(
                f"the ledger was opened in process {self._process_id} and this is process {os.getpid()}, "
                "forked from it; open the ledger again in this process"
            )
