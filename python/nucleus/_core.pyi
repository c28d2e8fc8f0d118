"""The compiled core: hashing, canonical JSON, verification, storage and the engine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, final

from nucleus.access.config import AccessConfig
from nucleus.access.grants import AccessPeriod, AclGrant, Explanation, Scope
from nucleus.figures import Head, LedgerStats, Restored
from nucleus.modules.config import ModuleConfig
from nucleus.query import QueryFilters

BUILD_PROFILE: Final[Literal["release", "debug"]]
"""How the compiled module was built; a debug build is many times slower."""

SQLITE_VERSION: Final[str]
"""Version of the SQLite library compiled into this module, e.g. ``"3.53.4"``."""

MAX_RECORD_BYTES: Final[int]
"""Largest record that a ledger accepts (canonical payload and meta), where nothing else is said: 16 MiB."""

MAX_SAFE_INTEGER: Final[int]
"""Largest integer that JSON numbers hold exactly, and so the largest seq, time and number in a record: 2^53-1."""

BUSY_TIMEOUT_MS: Final[int]
"""How long another process's lock is waited for, where nothing else is said."""

WHOLE_KIND: Final[str]
"""The resource id that stands for every resource of a kind."""

BUILT_IN_IDS: Final[tuple[str, ...]]
"""Ids of the built-in modules."""

def canonicalize(value: object) -> bytes:
    """Return the RFC 8785 canonical JSON of ``value`` as UTF-8 bytes.

    Accepts ``None``, ``bool``, ``int``, ``float``, ``str``, ``dict`` with string keys, ``list`` and ``tuple``
    (and their subclasses, by their built-in value), nested at most 128 deep.

    Raises:
        InvalidRecordError: anything else, NaN or an infinity, an integer beyond ±(2^53-1), a lone surrogate,
            a cycle; the message names the JSON path.
    """

def canonicalize_json(text: str | bytes) -> bytes:
    """Return the RFC 8785 canonical form of a JSON text.

    Stricter than :func:`json.loads`: duplicate keys, lone surrogates, NaN, and integers beyond ±(2^53-1) are refused.

    Raises:
        InvalidRecordError: the text is not JSON or has no canonical form; the message names path and byte offset.
    """

def check_oid(oid: str) -> None:
    """Check that ``oid`` has the form ``oid:<namespace>:<type>:<id>[:<subtype>:<subid>]...``, at most 255 bytes.

    Raises:
        InvalidRecordError: it has not; the message says which part is wrong.
    """

def query_cursor(seq: int, order: Literal["asc", "desc"]) -> str:
    """Return the cursor of a query's page that ends with the entry ``seq``.

    Raises:
        ConfigError: there is no such order.
    """

def verify_chain(
    entries: Sequence[ChainEntry],
    ledger_id: str,
    *,
    expected_head: str | None = None,
    expected_length: int | None = None,
) -> VerificationReport:
    """Recompute every hash and link of a whole chain held in memory (seq 0 first).

    Raises:
        ConfigError: ``ledger_id`` or ``expected_head`` is malformed.
    """

@final
class Record:
    """One record: what a caller states. Immutable; the payload is canonicalised on construction.

    Args:
        id: names the resource the record is about; 1 to 1,024 bytes of UTF-8. Records that share it are its versions.
        stream: the kind of record; 1 to 255 bytes of UTF-8.
        payload: JSON object (``dict``) or array (``list``).
        timestamp: milliseconds since the Unix epoch the record is *about*, 1 to 2^53-1; now when absent.
        meta: JSON object about the record, or None.

    Raises:
        InvalidRecordError: a field is out of its bounds or has no canonical form.
    """

    def __new__(
        cls,
        id: str,
        stream: str,
        payload: Mapping[str, Any] | Sequence[Any],
        timestamp: int | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Record: ...
    @property
    def id(self) -> str: ...
    @property
    def stream(self) -> str: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def payload(self) -> Any:
        """The payload as new Python objects at every access; None once redacted."""
    @property
    def meta(self) -> dict[str, Any] | None:
        """The meta object as a new dict at every access, or None."""
    def to_dict(self) -> dict[str, Any]:
        """``{id, stream, timestamp, payload, meta?}`` as new Python objects."""
    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> Record:
        """Build a record from ``{id, stream, payload, timestamp?, meta?}``; unknown keys are refused.

        Raises:
            InvalidRecordError: as the constructor, and for unknown or missing keys.
        """
    @staticmethod
    def from_json(text: str | bytes) -> Record:
        """Build a record from one JSON object text with the keys of :meth:`from_dict`, parsed strictly.

        Raises:
            InvalidRecordError: as :meth:`from_dict` and :func:`canonicalize_json`.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class ChainEntry:
    """One entry of the chain: a record, its place and its hashes. Immutable."""

    @property
    def seq(self) -> int:
        """Position in the chain, from 0 without gaps."""
    @property
    def format(self) -> int:
        """Entry format; 1."""
    @property
    def hash(self) -> str:
        """Entry hash, 64 lower-case hexadecimal digits."""
    @property
    def prev_hash(self) -> str | None:
        """Hash of the entry before, 64 hex digits; None at seq 0."""
    @property
    def salt(self) -> bytes | None:
        """The 16 random bytes that salt the payload commitment; None once redacted."""
    @property
    def payload_hash(self) -> str:
        """Commitment to salt and payload, 64 hex digits."""
    @property
    def redacted(self) -> bool:
        """True when the payload has been erased."""
    @property
    def record(self) -> Record: ...
    def to_json(self) -> str:
        """The entry as one line of canonical JSON, as ``nucleus export`` writes it."""
    @staticmethod
    def from_json(text: str | bytes) -> ChainEntry:
        """Read what :meth:`to_json` wrote. Nothing is verified: use :func:`verify_chain`.

        Raises:
            InvalidRecordError: the text is not such a line.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class VerificationError:
    """One fault found by verification."""

    @property
    def kind(
        self,
    ) -> Literal[
        "hash_mismatch",
        "chain_link_broken",
        "sequence_gap",
        "malformed_entry",
        "unrecorded_redaction",
        "head_mismatch",
        "index_mismatch",
        "grant_mismatch",
    ]: ...
    @property
    def seq(self) -> int | None: ...
    @property
    def record_id(self) -> str | None: ...
    @property
    def expected(self) -> str | None: ...
    @property
    def actual(self) -> str | None: ...
    def to_dict(self) -> dict[str, Any]: ...

@final
class VerificationReport:
    """What a verification found. Truthiness is not defined: read :attr:`valid`."""

    @property
    def valid(self) -> bool: ...
    @property
    def entries_checked(self) -> int: ...
    @property
    def head_hash(self) -> str | None:
        """Hash stored in the last entry, 64 hex digits; None for an empty chain."""
    @property
    def errors(self) -> list[VerificationError]:
        """At most 1,000 faults in chain order; ``counts`` has them all."""
    @property
    def counts(self) -> dict[str, int]:
        """Number of faults by kind, kinds without faults left out."""
    @property
    def timestamp_regressions(self) -> int:
        """Entries whose timestamp is smaller than the one before; information, not a fault."""
    @property
    def end_checked_by(self) -> Literal["anchor", "expected_length", "expected_head"] | None:
        """By what the end of the chain was checked; None: nothing shows where it ends."""
    def to_dict(self) -> dict[str, Any]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class QueryPage:
    """One page of a query.

    Args:
        entries: what is on it.
        next_cursor: where the page that follows begins; None on the last page.
        total: number of all matching entries, where it was asked for.
    """

    def __new__(
        cls, entries: Sequence[ChainEntry], next_cursor: str | None = None, total: int | None = None
    ) -> QueryPage: ...
    @property
    def entries(self) -> list[ChainEntry]: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def next_cursor(self) -> str | None:
        """Pass as ``cursor`` for the page that follows; None on the last page."""
    @property
    def total(self) -> int | None:
        """Number of all matching entries, when it was asked for."""

@final
class ModuleInfo:
    """What is known of one module of a ledger, at the time it was asked for."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def state(self) -> Literal["registered", "initialised", "started", "stopped", "failed"]:
        """Where it is in its life; its hooks run while it is started."""
    @property
    def registered_at(self) -> int:
        """When it was registered, in milliseconds since the Unix epoch."""
    @property
    def streams(self) -> tuple[str, ...]:
        """The streams whose records it rules."""
    @property
    def resource_kind(self) -> str | None:
        """What a record of these streams is called where access to it is granted; None: the stream's own name."""
    @property
    def failures(self) -> int:
        """How often ``after_append`` or ``stop`` failed: neither failure reaches a caller."""
    @property
    def last_failure(self) -> str | None:
        """What the last of these failures said."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

@final
class ModuleContext:
    """A module's access to its ledger during one hook.

    In ``before_append`` and ``before_redact`` it shows what the open transaction has written as well, and is of no use
    once the hook has ended: then it raises ModuleError.
    """

    @property
    def ledger_id(self) -> str: ...
    @property
    def module_id(self) -> str: ...
    @property
    def config(self) -> dict[str, Any]:
        """The module's own settings."""
    @property
    def requester_oid(self) -> str | None:
        """Who appends; None where nobody does."""
    @property
    def recorded_at(self) -> int | None:
        """The engine's clock at the append, in milliseconds since the Unix epoch; None where nobody appends."""
    def get_by_id(self, id: str, *, stream: str | None = None) -> ChainEntry | None:
        """Return the newest entry whose record has this id, in this stream where one is given, or None."""
    def history(self, id: str, *, stream: str | None = None) -> list[ChainEntry]:
        """Return all entries whose record has this id, in this stream where one is given, in chain order."""
    def query(
        self,
        *,
        stream: str | None = None,
        id: str | None = None,
        since: int | None = None,
        until: int | None = None,
        payload: dict[str, Any] | None = None,
        limit: int = ...,
        offset: int = ...,
        cursor: str | None = None,
        order: Literal["asc", "desc"] = "asc",
        with_total: bool = False,
        latest_only: bool = False,
        status: Literal["active", "revoked", "expired", "retired"] | None = None,
    ) -> QueryPage:
        """Return one page of matching entries; the arguments are those of :class:`nucleus.QueryFilters`.

        Raises:
            ConfigError: an argument is out of its bounds, or the cursor is not one that such a query answered.
            InvalidRecordError: a value of ``payload`` has no canonical form.
        """

@final
class AccessControl:
    """Access control of one open ledger, as :class:`nucleus.backend.AccessBackend` describes it."""

    @property
    def administrator(self) -> str: ...
    def grant(self, grants: Iterable[AclGrant], requester_oid: str) -> list[ChainEntry]: ...
    def revoke(
        self, grants: Iterable[AclGrant], requester_oid: str, *, allow_last_full: bool = False
    ) -> list[ChainEntry]: ...
    def check(self, principal_oid: str, scope: Scope, kind: str, id: str) -> bool: ...
    def grants(
        self, *, principal_oid: str | None = None, resource: tuple[str, str] | None = None
    ) -> list[AclGrant]: ...
    def authorise_inquiry(
        self, requester_oid: str, *, principal_oid: str | None = None, resource: tuple[str, str] | None = None
    ) -> None: ...
    def history(self, kind: str, id: str) -> list[AccessPeriod]: ...
    def explain(
        self,
        principal_oid: str,
        scope: Scope,
        kind: str,
        id: str,
        *,
        requester_oid: str | None = None,
        at_seq: int | None = None,
        at_time: int | None = None,
    ) -> Explanation: ...
    def streams_of_kind(self, kind: str) -> list[str]: ...
    def cleanup_expired(self, requester_oid: str) -> int: ...
    def rebuild(self, requester_oid: str) -> None: ...

@final
class Engine:
    """One open ledger, as :class:`nucleus.backend.LedgerBackend` describes it.

    Thread-safe; every blocking call releases the GIL.

    Args:
        id: the ledger's id, 1 to 255 bytes without control characters; None takes it from an existing file.
        path: the database file; None is a ledger in memory.
        read_only: open without writing anything; needs an existing file.
        durability: ``"full"`` (an acknowledged append survives a power cut) or ``"normal"`` (it survives a crash
            of the process; a power cut may lose the newest appends).
        busy_timeout_ms: how long to wait for another process's lock; :data:`BUSY_TIMEOUT_MS` when absent.
        max_record_bytes: largest record accepted; :data:`MAX_RECORD_BYTES` when absent.
        verify_on_open: verify the whole chain first.
        accept_rollback: accept a chain that is shorter than its anchor file says, and rewrite the anchor.
        expected_head: the head hash known from elsewhere; the chain must end in it.
        expected_length: the number of entries known from elsewhere.
        modules: which modules it runs; what makes the object of a module written in Python is its implementation.
        access: access control; None is without.
        kinds_as_stored: with access control, take resource kinds from the file rather than from the modules.
        progress: called as ``progress(done, total)`` on the calling thread while verifying at open.

    Raises:
        ConfigError, IntegrityError, SchemaVersionError, DatabaseError, ModuleError
    """

    def __new__(
        cls,
        *,
        id: str | None = None,
        path: str | None = None,
        read_only: bool = False,
        durability: Literal["full", "normal"] = "full",
        busy_timeout_ms: int = ...,
        max_record_bytes: int = ...,
        verify_on_open: bool = True,
        accept_rollback: bool = False,
        expected_head: str | None = None,
        expected_length: int | None = None,
        modules: Sequence[ModuleConfig] | None = None,
        access: AccessConfig | None = None,
        kinds_as_stored: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> Engine: ...
    @property
    def id(self) -> str: ...
    @property
    def path(self) -> str | None: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def append(
        self, record: Record, requester_oid: str, *, unique: bool = False, expected_head: str | None = None
    ) -> ChainEntry: ...
    def append_batch(
        self, records: Sequence[Record | Mapping[str, Any]], requester_oid: str, *, expected_head: str | None = None
    ) -> list[ChainEntry]: ...
    def access(self) -> AccessControl | None:
        """Access control; None where it is off."""
    def authorise_export(self, requester_oid: str) -> None:
        """Raise AccessDeniedError where access control is on and the requester is not the administrator."""
    def get(self, hash: str, requester_oid: str) -> ChainEntry | None: ...
    def get_by_id(self, id: str, requester_oid: str, *, stream: str | None = None) -> ChainEntry | None: ...
    def history(self, id: str, requester_oid: str, *, stream: str | None = None) -> list[ChainEntry]: ...
    def field_values(
        self,
        stream: str,
        field: str,
        requester_oid: str,
        *,
        payload: Mapping[str, Any] | None = None,
        after: str | None = None,
        limit: int = ...,
    ) -> list[str]:
        """Distinct string values of a payload member, in a fixed order, behind ``after``.

        A module must have declared an index over the members of ``payload``, in that order, and then ``field``.
        """
    def modules(self) -> list[ModuleInfo]:
        """What is known of each module, in the order of registration."""
    def implementation(self, id: str) -> Any:
        """The object of a module written in Python; None for a built-in one. Raises UnknownModuleError."""
    def range(self, start_seq: int, limit: int, requester_oid: str) -> list[ChainEntry]:
        """At most ``limit`` entries from ``start_seq`` on, in chain order.

        Fewer where they are large, at least one while there are any.
        """
    def query(self, filters: QueryFilters, requester_oid: str) -> QueryPage: ...
    def head(self) -> Head | None: ...
    def __len__(self) -> int: ...
    def verify(
        self,
        *,
        deep: bool = False,
        expected_head: str | None = None,
        expected_length: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> VerificationReport: ...
    def redact(self, hash: str, reason: str, requester_oid: str) -> ChainEntry:
        """Erase one entry's payload and salt; returns the entry of stream ``redactions`` that records it."""
    def import_entries(self, entries: Sequence[ChainEntry], requester_oid: str) -> int:
        """Append entries of an export unchanged, each verified to continue this chain; all or nothing.

        Returns the number of entries now in the ledger.
        """
    def backup(self, path: str, progress: Callable[[int, int], object] | None = None) -> Head | None:
        """Write a consistent, verified copy to a file that does not exist yet; returns the copy's head."""
    def restore_to(
        self, target: str, *, replace: bool = False, progress: Callable[[int, int], object] | None = None
    ) -> Restored:
        """Put a verified copy in the place of the ledger at ``target``."""
    def scrub_pending(self) -> bool:
        """Whether bytes of an erased payload may still be in the write-ahead log."""
    def stats(self) -> LedgerStats: ...
    def close(self) -> None: ...

def _interpreter_ends() -> None: ...
def _interpreter_forked() -> None: ...
