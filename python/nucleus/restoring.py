"""Putting a backup in the place of a ledger."""

import os

from nucleus.backend import Progress
from nucleus.figures import Restored
from nucleus.native import open_native
from nucleus.storage import sqlite_storage


def restore(
    backup: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    replace: bool = False,
    expected_head: str | None = None,
    accept_rollback: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Put a verified copy of a backup where a ledger is to be; the backup stays as it is.

    Copying the file by hand leaves the old write-ahead log and the old anchor beside the new file: SQLite would work
    the one into it, and the other would say that the ledger was rolled back. This replaces all of them together.

    Args:
        backup: the backup's file, as :meth:`nucleus.Ledger.backup` wrote it, with its anchor beside it.
        target: the ledger's file. Every process that has it open must close it first.
        replace: move a ledger that is there aside, to ``<target>.replaced-<milliseconds>``; otherwise it is refused.
        expected_head: head hash known from elsewhere (64 hexadecimal digits): the backup must end in it.
        accept_rollback: take a backup whose anchor file is missing, or says otherwise.
        progress: called as ``progress(done, total)``.

    Raises:
        ConfigError: there is a ledger already, or it is open, or a file cannot be written.
        IntegrityError: the backup does not add up, or nothing shows where it ends.
    """
    engine = open_native(
        storage=sqlite_storage(backup, read_only=True),
        # The copy is verified; verifying the original first would be the same work again.
        verify_on_open=False,
        expected_head=expected_head,
        accept_rollback=accept_rollback,
        progress=progress,
    )
    try:
        return engine.restore_to(os.fspath(target), replace=replace, progress=progress)
    finally:
        engine.close()
