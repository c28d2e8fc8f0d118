"""Opening the ledgers of the benchmarks through the public API."""

from pathlib import Path

from nucleus import Ledger, RequestContext, create_ledger, sqlite_storage

LEDGER_ID = "benches"
ALICE = RequestContext.local("oid:onoal:user:alice")


def open_ledger(path: Path, *, verify_on_open: bool) -> Ledger:
    """Open a ledger kept in a file, with every other setting as it is by default."""
    return create_ledger(id=LEDGER_ID, storage=sqlite_storage(path), verify_on_open=verify_on_open)
