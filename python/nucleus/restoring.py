"""Putting a backup in the place of a ledger."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nucleus._core import Engine


class Restored(NamedTuple):
    """What :func:`restore` came to."""

    head: tuple[int, str] | None
    """(seq, hash) of the restored ledger's newest entry; None when it is empty."""
    replaced: Path | None
    """Where the ledger is now that was there before, its log and its anchor beside it; None when there was none."""


def restore(
    backup: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    replace: bool = False,
    expected_head: str | None = None,
    accept_rollback: bool = False,
    progress: Callable[[int, int], object] | None = None,
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
    engine = Engine(
        path=os.fspath(backup),
        read_only=True,
        # The copy is verified; verifying the original first would be the same work again.
        verify_on_open=False,
        expected_head=expected_head,
        accept_rollback=accept_rollback,
        progress=progress,
    )
    try:
        head, replaced = engine.restore_to(os.fspath(target), replace=replace, progress=progress)
    finally:
        engine.close()
    return Restored(head, None if replaced is None else Path(replaced))
