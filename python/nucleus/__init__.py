"""A tamper-evident, append-only ledger that a Python service embeds, the way it embeds SQLite.

>>> import nucleus
>>> alice = nucleus.RequestContext.local("oid:onoal:user:alice")
>>> with nucleus.create_ledger("my-ledger") as ledger:
...     entry = ledger.append({"id": "r-1", "stream": "notes", "payload": {"n": 1}}, context=alice)
...     ledger.get(entry.hash, context=alice).record.payload
{'n': 1}
"""

import atexit
import os
import warnings
from importlib.metadata import version

from nucleus._core import (
    BUILD_PROFILE,
    ChainEntry,
    ModuleContext,
    ModuleInfo,
    QueryPage,
    Record,
    VerificationError,
    VerificationReport,
    _interpreter_ends,
    _interpreter_forked,
    canonicalize,
    canonicalize_json,
    check_oid,
    verify_chain,
)
from nucleus.aio import AsyncLedger, create_async_ledger
from nucleus.auth.context import RequestContext
from nucleus.backend import LedgerBackend
from nucleus.errors import (
    AccessDeniedError,
    AuthenticationError,
    CommitInDoubtError,
    ConfigError,
    ConflictError,
    ContextRequiredError,
    DatabaseError,
    ForkedLedgerError,
    IntegrityError,
    InvalidRecordError,
    LedgerClosedError,
    ModuleAlreadyRegisteredError,
    ModuleError,
    ModuleLifecycleError,
    NucleusError,
    RecordRefusedError,
    SchemaVersionError,
    StorageError,
    StorageReplacedError,
    UnknownModuleError,
)
from nucleus.exporting import ExportHeader
from nucleus.figures import Head, LedgerStats, Restored
from nucleus.importing import import_ledger
from nucleus.ledger import Ledger
from nucleus.modules import Module, ModuleConfig
from nucleus.opening import create_ledger
from nucleus.query import QueryFilters
from nucleus.restoring import restore
from nucleus.storage import (
    InMemoryStorage,
    SqliteStorage,
    StorageConfig,
    auto_storage,
    in_memory_storage,
    postgres_storage,
    sqlite_storage,
)

__all__ = [
    "AccessDeniedError",
    "AsyncLedger",
    "AuthenticationError",
    "ChainEntry",
    "CommitInDoubtError",
    "ConfigError",
    "ConflictError",
    "ContextRequiredError",
    "DatabaseError",
    "ExportHeader",
    "ForkedLedgerError",
    "Head",
    "InMemoryStorage",
    "IntegrityError",
    "InvalidRecordError",
    "Ledger",
    "LedgerBackend",
    "LedgerClosedError",
    "LedgerStats",
    "Module",
    "ModuleAlreadyRegisteredError",
    "ModuleConfig",
    "ModuleContext",
    "ModuleError",
    "ModuleInfo",
    "ModuleLifecycleError",
    "NucleusError",
    "QueryFilters",
    "QueryPage",
    "Record",
    "RecordRefusedError",
    "RequestContext",
    "Restored",
    "SchemaVersionError",
    "SqliteStorage",
    "StorageConfig",
    "StorageError",
    "StorageReplacedError",
    "UnknownModuleError",
    "VerificationError",
    "VerificationReport",
    "__version__",
    "auto_storage",
    "canonicalize",
    "canonicalize_json",
    "check_oid",
    "create_async_ledger",
    "create_ledger",
    "import_ledger",
    "in_memory_storage",
    "postgres_storage",
    "restore",
    "sqlite_storage",
    "verify_chain",
]

__version__ = version("nucleus-ledger")

# No thread goes back to an interpreter that ends, and none of the parent's threads is in a forked child.
atexit.register(_interpreter_ends)
os.register_at_fork(after_in_child=_interpreter_forked)

if BUILD_PROFILE == "debug":
    warnings.warn(
        "nucleus was built without optimisation and is many times slower than it should be; "
        "build it with `maturin develop --release`",
        RuntimeWarning,
        stacklevel=2,
    )
