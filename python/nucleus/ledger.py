"""The ledger: the one object a service works with."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from types import TracebackType
from typing import Any, Self

from nucleus._core import ChainEntry, QueryPage, Record, VerificationReport
from nucleus.access.ledger_access import LedgerAccess
from nucleus.auth.context import RequestContext, names_requester, require_oid
from nucleus.backend import LedgerBackend, Progress
from nucleus.errors import ConfigError, InvalidRecordError
from nucleus.exporting import BinaryWriter, read_pages, write_export
from nucleus.figures import Head, LedgerStats
from nucleus.modules.proxy import Modules
from nucleus.query import QueryFilters

_LOGGER = logging.getLogger("nucleus")


class Ledger:
    """An open ledger; :func:`nucleus.create_ledger` makes one. Leaving its ``with`` block closes it.

    Every method may be called from any thread. Every call that reads or writes records takes the context of the one
    who asks, as ``context=`` or as the last positional argument. Besides what is named below, every method raises
    :class:`~nucleus.LedgerClosedError` after :meth:`close`, :class:`~nucleus.ForkedLedgerError` in a forked child,
    :class:`~nucleus.StorageReplacedError` once the file was moved or replaced, and :class:`~nucleus.DatabaseError`
    when the database reports an error.

    Where access control is on, every read answers as if what the requester may not read were not there.
    """

    def __init__(self, backend: LedgerBackend) -> None:
        self._backend = backend

    @property
    def id(self) -> str:
        """The ledger's id."""
        return self._backend.id

    @property
    def path(self) -> str | None:
        """The database file; None in memory."""
        return self._backend.path

    @property
    def closed(self) -> bool:
        """True after :meth:`close`."""
        return self._backend.closed

    @property
    def modules(self) -> Modules:
        """The modules that the ledger runs."""
        return Modules(self._backend)

    @property
    def access(self) -> LedgerAccess:
        """Access control.

        Raises:
            ConfigError: the ledger was opened without it; see :meth:`has_access_control`.
        """
        control = self._backend.access()
        if control is None:
            raise ConfigError("the ledger was opened without access control; open it with access=AccessConfig(...)")
        return LedgerAccess(self._backend, control)

    def has_access_control(self) -> bool:
        """Return True where grants decide what a requester may do, False where everyone may do everything."""
        return self._backend.access() is not None

    @names_requester
    def append(
        self,
        record: Record | Mapping[str, Any],
        context: RequestContext,
        *,
        unique: bool = False,
        expected_head: str | None = None,
    ) -> ChainEntry:
        """Append one record; when this returns, it is durable.

        Args:
            record: a :class:`~nucleus.Record`, or a mapping ``{id, stream, payload, timestamp?, meta?}``.
            context: who asks; recorded as ``meta.requester_oid``.
            unique: answer the existing entry when the same id with the same content is there already, so that a retry
                appends nothing twice. Where access control is on, only entries of the same resource count: others may
                use the id in streams of other kinds.
            expected_head: append only if the chain ends in this hash (64 hexadecimal digits).

        Returns:
            The entry. Where a module completed the record and who asks may write the resource but not read it, it comes
            without its payload, as if it were redacted.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: access control is on, and who asks may not write the resource.
            InvalidRecordError: the record is out of bounds or has no canonical form; the message names the place.
            ConflictError: ``unique`` and the id is there with other content, or the head is not ``expected_head``.
            RecordRefusedError: a module refuses the record.
            CommitInDoubtError: whether the record is durable is not known.
        """
        requester_oid = require_oid(context)
        return self._backend.append(_as_record(record), requester_oid, unique=unique, expected_head=expected_head)

    @names_requester
    def append_batch(
        self,
        records: Iterable[Record | Mapping[str, Any]],
        context: RequestContext,
        *,
        expected_head: str | None = None,
    ) -> list[ChainEntry]:
        """Append several records, all or none; when this returns, they are durable.

        Args:
            records: as for :meth:`append`.
            context: who asks; recorded as ``meta.requester_oid`` of each.
            expected_head: append only if the chain ends in this hash (64 hexadecimal digits).

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: access control is on, and who asks may not write one of the resources.
            InvalidRecordError: a record is out of bounds or has no canonical form; the message names which and where.
            ConflictError: the head is not ``expected_head``.
            RecordRefusedError: a module refuses one of the records.
            CommitInDoubtError: whether the records are durable is not known.
        """
        requester_oid = require_oid(context)
        batch = records if isinstance(records, list | tuple) else list(records)
        return self._backend.append_batch(batch, requester_oid, expected_head=expected_head)

    @names_requester
    def get(self, hash: str, context: RequestContext) -> ChainEntry | None:
        """Return the entry with this hash (64 hexadecimal digits), or None.

        Raises:
            ContextRequiredError: nobody asks.
        """
        return self._backend.get(hash, require_oid(context))

    @names_requester
    def get_by_id(self, id: str, context: RequestContext, *, stream: str | None = None) -> ChainEntry | None:
        """Return the newest entry whose record has this id, or None.

        Args:
            id: the record's id.
            context: who asks.
            stream: look in this stream only; the same id may be in use in several.

        Raises:
            ContextRequiredError: nobody asks.
            ConflictError: access control is on, no stream is named, and who asks sees the id in streams of more than
                one kind of resources; the message names streams.
        """
        return self._backend.get_by_id(id, require_oid(context), stream=stream)

    @names_requester
    def history(self, id: str, context: RequestContext, *, stream: str | None = None) -> list[ChainEntry]:
        """Return all entries whose record has this id, in chain order; with ``stream``, those in it.

        Raises:
            ContextRequiredError: nobody asks.
            ConflictError: as for :meth:`get_by_id`.
        """
        return self._backend.history(id, require_oid(context), stream=stream)

    @names_requester
    def query(self, filters: QueryFilters, context: RequestContext) -> QueryPage:
        """Return one page of the entries that match the filters.

        Raises:
            ContextRequiredError: nobody asks.
            ConfigError: the cursor is not one that a query with these filters answered, or the filters are out of their
                bounds.
            InvalidRecordError: a value of ``filters.payload`` has no canonical form.
        """
        return self._backend.query(filters, require_oid(context))

    @names_requester
    def entries(
        self, context: RequestContext, *, start_seq: int = 0, end_seq: int | None = None
    ) -> Iterator[ChainEntry]:
        """Iterate over the chain in order, in bounded memory.

        Args:
            context: who asks.
            start_seq: seq of the first entry.
            end_seq: seq behind the last entry; None goes on to the newest entry at the time it is reached.

        Raises:
            ContextRequiredError: nobody asks; raised by the call, before the first entry is asked for.
        """
        return chain.from_iterable(self.pages(context, start_seq=start_seq, end_seq=end_seq))

    @names_requester
    def pages(
        self, context: RequestContext, *, start_seq: int = 0, end_seq: int | None = None
    ) -> Iterator[list[ChainEntry]]:
        """Iterate over the same entries as :meth:`entries`, in the pages they are read in: lists of up to 1,000.

        Raises:
            ContextRequiredError: nobody asks; raised by the call.
        """
        return read_pages(self._backend, require_oid(context), start_seq, end_seq)

    def head(self) -> Head | None:
        """Return where the chain ends, (seq, hash) of the newest entry, or None when the ledger is empty."""
        return self._backend.head()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._backend)

    def __bool__(self) -> bool:
        """Return True: an empty ledger is a ledger."""
        return True

    def verify(
        self,
        *,
        deep: bool = False,
        expected_head: str | None = None,
        expected_length: int | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        """Recompute every hash and link of the chain, and compare what is derived from it.

        Args:
            deep: also compare every payload with its canonical form, and the indexes in the database's own way.
            expected_head: head hash known from elsewhere (64 hexadecimal digits).
            expected_length: number of entries known from elsewhere.
            progress: called as ``progress(done, total)``, in entries.

        Returns:
            What was found: read its ``valid``, and by what the end of the chain was checked, its ``end_checked_by``.
            Faults are reported, not raised.
        """
        return self._backend.verify(
            deep=deep, expected_head=expected_head, expected_length=expected_length, progress=progress
        )

    def verify_storage(self, *, progress: Progress | None = None) -> VerificationReport:
        """Verify the chain and the database that holds it: :meth:`verify` with ``deep=True``."""
        return self.verify(deep=True, progress=progress)

    def has_storage(self) -> bool:
        """Return True when the ledger is kept in a file, False when it is in memory only."""
        return self._backend.path is not None

    @names_requester
    def redact(self, hash: str, reason: str, context: RequestContext) -> ChainEntry:
        """Erase the payload and the salt of one entry for good; the chain stays valid.

        Args:
            hash: hash of the entry, 64 hexadecimal digits.
            reason: why; it stays on the record.
            context: who asks; stays on the record as well.

        A reader that is in the middle of something keeps bytes of the payload in the write-ahead log. Nobody waits for
        it: a warning is logged, ``stats().scrub_pending`` says so, and a later commit or the closing empties it.

        Returns:
            The entry of stream ``redactions`` that records the erasure. Erasing again answers the same entry.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: access control is on, and who asks has no ``full`` on the resource.
            ConflictError: there is no entry with this hash, or it is one of the engine's own, which stay.
            RecordRefusedError: a module's state depends on the payload.
            ConfigError: ``hash`` is not 64 hexadecimal digits.
            InvalidRecordError: ``reason`` is empty.
            CommitInDoubtError: whether the erasure is durable is not known.
        """
        requester_oid = require_oid(context)
        entry = self._backend.redact(hash, reason, requester_oid)
        if self._backend.scrub_pending():
            _LOGGER.warning(
                "ledger %s: the payload of entry %s is erased; a reader keeps bytes of it in the write-ahead log until "
                "a later commit, or the closing, finds nobody reading",
                self.id,
                hash,
            )
        return entry

    def backup(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> Head | None:
        """Write a consistent, verified copy to a new file while the ledger is in use.

        Args:
            path: a file that does not exist yet.
            progress: called as ``progress(done, total)``.

        Returns:
            Where the copy ends, (seq, hash) of its newest entry, or None when it is empty.

        Raises:
            ConfigError: the file exists.
        """
        return self._backend.backup(os.fspath(path), progress)

    @names_requester
    def export(
        self,
        target: str | os.PathLike[str] | BinaryWriter,
        context: RequestContext,
        *,
        progress: Progress | None = None,
    ) -> int:
        """Write the chain as it is now as JSON Lines: a header, then one entry a line, with its hashes.

        Args:
            target: a file that does not exist yet, or an object with ``write(bytes)``.
            context: who asks.
            progress: called as ``progress(done, total)``, in entries.

        Returns:
            The number of entries written.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: access control is on, and another than the administrator asks.
            ConfigError: the file exists.
            ConflictError: an entry was redacted meanwhile; what was written must not be used: export again.
            OSError: the file cannot be written; nothing is left of it.
        """
        requester_oid = require_oid(context)
        self._backend.authorise_export(requester_oid)
        return write_export(self._backend, target, requester_oid, progress)

    @names_requester
    def import_entries(self, entries: Iterable[ChainEntry], context: RequestContext) -> int:
        """Append entries of an export unchanged, all or none, each verified to continue this chain.

        :func:`nucleus.import_ledger` reads a whole export into a new file with it.

        Args:
            entries: in chain order, the first with the seq that follows this ledger's newest.
            context: who asks. It is not recorded: the entries stay as they are.

        Returns:
            The number of entries now in the ledger.

        Raises:
            ContextRequiredError: nobody asks.
            AccessDeniedError: access control is on, and another than the administrator asks.
            IntegrityError: an entry does not continue the chain, or its hash is wrong.
            CommitInDoubtError: whether the entries are durable is not known.
        """
        requester_oid = require_oid(context)
        batch = entries if isinstance(entries, list | tuple) else list(entries)
        return self._backend.import_entries(batch, requester_oid)

    def stats(self) -> LedgerStats:
        """Return figures about the ledger, none of them the content of a record."""
        return self._backend.stats()

    def close(self) -> None:
        """Stop the modules, the last first, and close the ledger; closing twice does nothing.

        Raises:
            ConfigError: a module's hook calls it, which it would wait for; the ledger stays open.
        """
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Ledger {self.id!r} {'in memory' if self.path is None else f'at {self.path!r}'}, {state}>"


def _as_record(record: Record | Mapping[str, Any]) -> Record:
    if isinstance(record, Record):
        return record
    if isinstance(record, Mapping):
        return Record.from_dict(record)
    raise InvalidRecordError(f"a record must be a Record or a mapping, not {type(record).__name__}", path="$")
