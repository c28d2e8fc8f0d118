"""Every exception that Nucleus raises on purpose, as one tree.

::

    NucleusError
    ├── InvalidRecordError (ValueError)      a record is out of bounds or has no canonical form
    ├── ConfigError                          a ledger cannot be opened or used as it was asked for
    ├── ModuleError                          something about a module
    │   ├── ModuleAlreadyRegisteredError     two modules with one id
    │   ├── UnknownModuleError (KeyError)    no module with this id
    │   ├── ModuleLifecycleError             construction, init or start failed
    │   └── RecordRefusedError               a module refused a record
    ├── StorageError                         something about the database and its files
    │   ├── DatabaseError                    the database reported an error; nothing was committed
    │   ├── IntegrityError                   the chain, or what is derived from it, does not add up
    │   ├── SchemaVersionError               the file was written by a newer version
    │   ├── CommitInDoubtError               whether a commit is durable is not known
    │   └── StorageReplacedError             the file was moved, replaced or truncated while it was open
    ├── ConflictError                        what the caller expected of the ledger does not hold
    ├── LedgerClosedError                    the ledger has been closed
    │   └── ForkedLedgerError                the ledger was opened before a fork, in the parent process
    ├── ContextRequiredError                 the call names nobody who asks
    ├── AccessDeniedError (PermissionError)  the requester may not do this
    └── AuthenticationError                  who asks could not be established

Every class is constructed from a message and keyword attributes that have defaults, and every instance can be pickled.
A message says what was wrong, where, and what to do about it; it never holds a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nucleus._core import VerificationReport


class NucleusError(Exception):
    """Root of the tree: catch it to catch everything that Nucleus raises on purpose."""


class InvalidRecordError(NucleusError, ValueError):
    """A record, or a part of one, is out of its bounds or has no canonical form; nothing was written.

    Attributes:
        path: JSON path of the offending part, e.g. ``$.payload.items[3]``; ``$[7].payload`` for the eighth record of a
            batch; None when the error has no place in a document.
    """

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class ConfigError(NucleusError):
    """A ledger cannot be opened or used the way it was asked for."""


class ModuleError(NucleusError):
    """Something about a module: it cannot be loaded or used so, or it failed.

    Attributes:
        module_id: which module; None when it is not known.
    """

    def __init__(self, message: str, *, module_id: str | None = None) -> None:
        super().__init__(message)
        self.module_id = module_id


class ModuleAlreadyRegisteredError(ModuleError):
    """The configuration names one module twice."""


class UnknownModuleError(ModuleError, KeyError):
    """There is no module with this id."""

    def __str__(self) -> str:
        # KeyError would show the message as a quoted key.
        return str(self.args[0])


class ModuleLifecycleError(ModuleError):
    """A module could not be made, initialised or started; what it raised is the ``__cause__``."""


class RecordRefusedError(ModuleError):
    """A module refused a record, or the redaction of an entry; nothing was written.

    Whatever a module written in Python raises in ``before_append`` or ``before_redact`` is the ``__cause__``.
    """


class StorageError(NucleusError):
    """Something about the database and its files."""


class DatabaseError(StorageError):
    """The database reported an error; what was being written has not been committed."""


class IntegrityError(StorageError):
    """The chain, or something that is derived from it, does not add up.

    Attributes:
        report: everything that verification found; None when it could not be run.
    """

    def __init__(self, message: str, *, report: VerificationReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class SchemaVersionError(StorageError):
    """The file was written by a newer version of Nucleus than this one.

    Attributes:
        found: the version in the file.
        supported: the newest version that this release reads.
    """

    def __init__(self, message: str, *, found: int | None = None, supported: int | None = None) -> None:
        super().__init__(message)
        self.found = found
        self.supported = supported


class CommitInDoubtError(StorageError):
    """A commit failed and it could not be found out whether it is durable all the same.

    Once the storage works again, look the hashes up before appending anything anew.

    Attributes:
        first_seq: seq of the first entry that may or may not be in the ledger.
        hashes: entry hashes of all of them, in chain order, 64 hexadecimal digits each.
    """

    def __init__(self, message: str, *, first_seq: int | None = None, hashes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.first_seq = first_seq
        self.hashes = tuple(hashes)


class StorageReplacedError(StorageError):
    """The ledger's file was moved, replaced or truncated while it was open; nothing is written to it any more."""


class ConflictError(NucleusError):
    """What the caller expected of the ledger's state does not hold; nothing was written.

    Attributes:
        existing_hash: hash of the entry that stands in the way, 64 hexadecimal digits; None when there is none.
    """

    def __init__(self, message: str, *, existing_hash: str | None = None) -> None:
        super().__init__(message)
        self.existing_hash = existing_hash


class LedgerClosedError(NucleusError):
    """The ledger has been closed."""


class ForkedLedgerError(LedgerClosedError):
    """The ledger was opened before a fork and is used in the child; open it again there."""


class ContextRequiredError(NucleusError):
    """The call reads or writes records and does not say who asks."""


class AccessDeniedError(NucleusError, PermissionError):
    """The requester may not do this."""


class AuthenticationError(NucleusError):
    """Who asks could not be established."""
