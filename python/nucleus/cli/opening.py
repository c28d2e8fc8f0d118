"""Opening ledgers for commands, with a progress bar while they are verified."""

from collections.abc import Iterator
from contextlib import contextmanager

from nucleus.access.config import AccessConfig
from nucleus.access.ledger_access import LedgerAccess
from nucleus.cli.output import progress_bar
from nucleus.ledger import Ledger
from nucleus.native import open_native
from nucleus.opening import create_ledger
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


@contextmanager
def open_access(
    path: str, administrator_oid: str, *, read_only: bool, verify_first: bool = True, accept_rollback: bool
) -> Iterator[tuple[Ledger, LedgerAccess]]:
    """Open an existing ledger with access control, and close it when the block ends.

    A command runs none of the ledger's modules, which say of what kind the resources of a stream are. So the kinds are
    those that the file was last kept with; :func:`~nucleus.create_ledger` takes them from the modules it is given.
    """
    storage = sqlite_storage(path, read_only=read_only)
    with progress_bar("verifying") as progress:
        backend = open_native(
            storage=storage,
            verify_on_open=verify_first,
            accept_rollback=accept_rollback,
            # Who may create resources matters to no command: none appends records with access control on.
            access=AccessConfig(administrator_oid),
            kinds_as_stored=True,
            progress=progress,
        )
    with Ledger(backend) as ledger:
        yield ledger, ledger.access
