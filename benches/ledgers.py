"""Opening the ledgers of the benchmarks through the public API."""

from collections.abc import Sequence
from pathlib import Path

from nucleus import Ledger, ModuleConfig, RequestContext, create_ledger, sqlite_storage
from nucleus.access import AccessConfig

LEDGER_ID = "benches"
ALICE = RequestContext.local("oid:onoal:user:alice")
ADMINISTRATOR = RequestContext.local("oid:onoal:org:festival")

BUILT_IN = tuple(ModuleConfig(name, "1.0.0") for name in ("proof", "asset", "token", "connect"))


def open_ledger(
    path: Path, *, verify_on_open: bool, modules: Sequence[ModuleConfig] = (), access: bool = False
) -> Ledger:
    """Open a ledger kept in a file, with every other setting as it is by default."""
    return create_ledger(
        id=LEDGER_ID,
        storage=sqlite_storage(path),
        verify_on_open=verify_on_open,
        modules=modules,
        access=AccessConfig(administrator=ADMINISTRATOR.oid) if access else None,
    )
