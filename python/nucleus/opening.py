"""Opening a ledger."""

from collections.abc import Sequence

from nucleus._core import MAX_RECORD_BYTES
from nucleus.access.config import AccessConfig
from nucleus.backend import Progress
from nucleus.ledger import Ledger
from nucleus.modules.config import ModuleConfig
from nucleus.modules.loading import with_implementations
from nucleus.native import open_native
from nucleus.storage import StorageConfig


def create_ledger(
    id: str | None = None,
    *,
    storage: StorageConfig | None = None,
    modules: Sequence[ModuleConfig] = (),
    access: AccessConfig | None = None,
    verify_on_open: bool = True,
    expected_head: str | None = None,
    expected_length: int | None = None,
    accept_rollback: bool = False,
    max_record_bytes: int = MAX_RECORD_BYTES,
    progress: Progress | None = None,
) -> Ledger:
    """Open a ledger, creating it where there is none, and verify it.

    Args:
        id: the ledger's id, 1 to 255 bytes of UTF-8 without control characters. It is part of every hash, so a chain
            cannot be passed off as another ledger's. None takes it from an existing file.
        storage: where the ledger is kept, from :func:`nucleus.sqlite_storage` and its siblings; None is memory.
        modules: the modules it runs, in the order of their hooks: the built-in ``proof``, ``asset``, ``token`` and
            ``connect``, modules written in Python, and those that installed distributions offer.
        access: access control; None lets every requester do everything.
        verify_on_open: recompute every hash and link first, and refuse a ledger that does not add up.
        expected_head: head hash known from elsewhere (64 hexadecimal digits): the chain must end in it.
        expected_length: number of entries known from elsewhere: the chain must have as many.
        accept_rollback: open a ledger as it is, whatever its anchor file says: one that is older, such as a copy put
            back by hand, or one without an anchor file.
        max_record_bytes: largest record accepted: canonical payload and meta together, in bytes.
        progress: called as ``progress(done, total)``, in entries, while verifying.

    Raises:
        ConfigError: the arguments do not fit each other, or the file is another ledger's, or is not there to be read.
        IntegrityError: the ledger does not add up; the exception's ``report`` says what and where.
        SchemaVersionError: the file was written by a newer version of Nucleus.
        DatabaseError: the file cannot be read, or is not a ledger.
        UnknownModuleError: ``modules`` names a module that does not exist.
        ModuleAlreadyRegisteredError: ``modules`` names a module twice.
        ModuleLifecycleError: a module could not be made, initialised or started; its own exception is the cause.
        ModuleError: there is no such version of a module, or its settings do not suit it.
    """
    backend = open_native(
        id=id,
        storage=storage,
        modules=with_implementations(modules),
        access=access,
        verify_on_open=verify_on_open,
        expected_head=expected_head,
        expected_length=expected_length,
        accept_rollback=accept_rollback,
        max_record_bytes=max_record_bytes,
        progress=progress,
    )
    return Ledger(backend)
