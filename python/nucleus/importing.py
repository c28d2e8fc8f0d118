"""A ledger from an export: a new file, verified whole before it gets its name."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from nucleus._core import MAX_RECORD_BYTES, ChainEntry
from nucleus.auth.context import RequestContext, names_requester, require_oid
from nucleus.backend import Progress
from nucleus.errors import ConfigError, IntegrityError, InvalidRecordError
from nucleus.exporting import ExportHeader
from nucleus.json_lines import BATCH_ENTRIES, BinaryReader, NumberedLine, batches, max_line_bytes, numbered_lines
from nucleus.ledger import Ledger
from nucleus.opening import create_ledger
from nucleus.storage import ANCHOR_SUFFIX, COMPANION_SUFFIXES, sqlite_storage


@names_requester
def import_ledger(
    source: str | os.PathLike[str] | BinaryReader,
    path: str | os.PathLike[str],
    context: RequestContext,
    *,
    max_record_bytes: int = MAX_RECORD_BYTES,
    progress: Progress | None = None,
) -> ExportHeader:
    """Make a new ledger file from an export, entry for entry as it was, with the same id and the same hashes.

    The file is written beside ``path`` under another name, compared with the export's header, verified, and only then
    gets its name. When anything fails, nothing is left of it.

    Args:
        source: an export: a file, or an object with ``readline(size) -> bytes``.
        path: the new ledger's file, in a directory that exists; nothing is overwritten.
        context: who asks. It is not recorded: the entries stay as they are.
        max_record_bytes: as it was set for the ledger that was exported.
        progress: called as ``progress(done, total)``, in entries.

    Returns:
        The export's header: what was imported.

    Raises:
        ContextRequiredError: nobody asks.
        ConfigError: a file of this name exists, or its directory does not.
        InvalidRecordError: a line is not part of an export; the message names the line.
        IntegrityError: the entries do not add up, or are not those that the header promises.
        SchemaVersionError: the export was written by a newer version of Nucleus.
        OSError: a file cannot be read or written; hard links are needed beside ``path``.
    """
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            return import_ledger(file, path, context, max_record_bytes=max_record_bytes, progress=progress)
    require_oid(context)
    target = Path(path)
    _check_target(target)
    # Not made from the target's name, which may be as long as the file system allows.
    temporary = target.with_name(f".nucleus-import-{secrets.token_hex(8)}")
    try:
        header = _fill(temporary, source, context, max_record_bytes, progress)
        _publish(temporary, target)
    finally:
        for file_path in _files(temporary):
            file_path.unlink(missing_ok=True)
    return header


def _files(path: Path) -> list[Path]:
    """Return the files that belong to a ledger, whether they exist or not."""
    return [path, *(_companion(path, suffix) for suffix in COMPANION_SUFFIXES)]


def _companion(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _check_target(target: Path) -> None:
    if not target.parent.is_dir():
        raise ConfigError(f"there is no directory {target.parent}; create it first")
    for file_path in _files(target):
        if os.path.lexists(file_path):
            raise ConfigError(f"{file_path} exists and an import overwrites nothing; choose another name")


def _fill(
    path: Path, source: BinaryReader, context: RequestContext, max_record_bytes: int, progress: Progress | None
) -> ExportHeader:
    """Write all entries into a new ledger, and verify it against the header."""
    lines = numbered_lines(source, max_line_bytes(max_record_bytes))
    number, first = next(lines, (1, b""))
    try:
        header = ExportHeader.from_json(first)
    except InvalidRecordError as error:
        raise InvalidRecordError(f"line {number}: {error}") from error
    with create_ledger(header.ledger_id, storage=sqlite_storage(path), max_record_bytes=max_record_bytes) as ledger:
        for batch in batches(lines, BATCH_ENTRIES):
            imported = ledger.import_entries([_read_entry(line) for line in batch], context)
            if progress is not None:
                progress(imported, header.entries)
        _check_content(ledger, header)
    return header


def _read_entry(line: NumberedLine) -> ChainEntry:
    number, text = line
    try:
        return ChainEntry.from_json(text)
    except InvalidRecordError as error:
        raise InvalidRecordError(f"line {number}: {error}", path=error.path) from error


def _check_content(ledger: Ledger, header: ExportHeader) -> None:
    report = ledger.verify(expected_head=header.head, expected_length=header.entries)
    if not report.valid:
        first = report.errors[0]
        place = "" if first.seq is None else f" at seq {first.seq}"
        raise IntegrityError(
            f"the imported entries are not the ledger that the export's header names: {first.kind}{place}, "
            f"expected {first.expected}, found {first.actual}; export it again",
            report=report,
        )


def _publish(temporary: Path, target: Path) -> None:
    """Give a closed ledger its name; unlike a rename, a link never replaces what has appeared there meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError as error:
        raise ConfigError(f"{target} exists and an import overwrites nothing; choose another name") from error
    # Whoever has opened the ledger in between has written the anchor already.
    with suppress(FileExistsError):
        os.link(_companion(temporary, ANCHOR_SUFFIX), _companion(target, ANCHOR_SUFFIX))
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
