"""The compiled engine as the backend of a ledger: the one place that makes it."""

from collections.abc import Sequence
from typing import Any

from nucleus._core import MAX_RECORD_BYTES, Engine
from nucleus.access.config import AccessConfig
from nucleus.backend import Progress
from nucleus.modules.config import ModuleConfig
from nucleus.storage import InMemoryStorage, StorageConfig


def open_native(
    *,
    id: str | None = None,
    storage: StorageConfig | None = None,
    modules: Sequence[ModuleConfig] = (),
    access: AccessConfig | None = None,
    kinds_as_stored: bool = False,
    verify_on_open: bool = True,
    expected_head: str | None = None,
    expected_length: int | None = None,
    accept_rollback: bool = False,
    max_record_bytes: int = MAX_RECORD_BYTES,
    progress: Progress | None = None,
) -> Engine:
    """Open a ledger with the compiled engine; arguments and errors are those of :func:`nucleus.create_ledger`.

    Args:
        modules: each with its implementation, where it is written in Python.
        kinds_as_stored: with access control, take resource kinds from the file rather than from the modules.
    """
    return Engine(
        id=id,
        max_record_bytes=max_record_bytes,
        verify_on_open=verify_on_open,
        accept_rollback=accept_rollback,
        expected_head=expected_head,
        expected_length=expected_length,
        modules=modules,
        access=access,
        kinds_as_stored=kinds_as_stored,
        progress=progress,
        **_storage_options(storage),
    )


def _storage_options(storage: StorageConfig | None) -> dict[str, Any]:
    if storage is None or isinstance(storage, InMemoryStorage):
        return {}
    return {
        "path": storage.path,
        "read_only": storage.read_only,
        "durability": storage.durability,
        "busy_timeout_ms": storage.busy_timeout_ms,
    }
