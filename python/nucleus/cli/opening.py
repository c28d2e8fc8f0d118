"""Opening ledgers for commands, with a progress bar while they are verified."""

from nucleus.cli.output import progress_bar
from nucleus.ledger import Ledger, create_ledger
from nucleus.storage import sqlite_storage


def open_for_reading(path: str, *, verify_first: bool, accept_rollback: bool) -> Ledger:
    """Open an existing ledger without writing anything; its id is taken from the file."""
    storage = sqlite_storage(path, read_only=True)
    with progress_bar("verifying") as progress:
        return create_ledger(
            storage=storage, verify_on_open=verify_first, accept_rollback=accept_rollback, progress=progress
        )


def open_for_writing(path: str, ledger_id: str | None = None, *, accept_rollback: bool) -> Ledger:
    """Open a ledger to append to it; with an id it is created when it is missing."""
    with progress_bar("verifying") as progress:
        return create_ledger(
            ledger_id, storage=sqlite_storage(path), accept_rollback=accept_rollback, progress=progress
        )
