"""Opens what a power cut left, as anybody would, and holds it against what programs had been told before.

What is checked, with nothing accepted by name:

- the ledger opens, with default verification, and is created where there is none yet;
- its chain is a beginning of the chain that was being written, and valid;
- with durability ``full`` every entry that was acknowledged before the cut is in it;
- a payload is erased exactly if the entry that says so is there, and no file holds a trace of it once the ledger has
  been opened and closed, if that had been acknowledged;
- who may read what is as the grants that are there say;
- a backup that had been acknowledged opens and ends where it was said to; one that had not is refused, or opens to a
  beginning of the chain;
- an append works, and is there after another opening.
"""

from pathlib import Path

from tests.powercut.marks import Told
from tests.powercut.recording import Recording
from tests.powercut.scenarios import FILE_NAME
from tests.powercut.survival import Image
from tests.storage.ledgers import open_ledger

from nucleus import ChainEntry, Ledger, NucleusError, Record
from nucleus.access import ResourcePredicate


class BrokenPromiseError(Exception):
    """An image broke a promise; ``kind`` says which in a word or two."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


def check(image: Image, told: Told, recording: Recording, folder: Path, *, judge_as_full: bool = False) -> None:
    """Check one image in an empty folder.

    Raises:
        BrokenPromiseError: a promise was broken.
    """
    for name, content in image.items():
        (folder / name).write_bytes(content)
    path = folder / FILE_NAME
    length = _check_first_opening(path, told, recording, judge_as_full)
    _check_second_opening(path, length, recording)
    _check_traces(folder, told)
    _check_backups(folder, image, told, recording)


def _check_first_opening(path: Path, told: Told, recording: Recording, judge_as_full: bool) -> int:
    """Open, look and append; return the length that the ledger then has."""
    with _opened(path, recording, "refused") as ledger:
        entries = _read(ledger, recording)
        length = len(ledger)
        _check_chain(entries, length, recording)
        if judge_as_full or recording.scenario.durability == "full":
            _check_acknowledged(length, told)
        _check_redactions(entries, length, recording)
        _check_grants(ledger, length, recording)
        _check_verification(ledger)
        try:
            appended = ledger.append(_further_record(), context=recording.scenario.reader)
        except NucleusError as error:
            raise BrokenPromiseError("stuck", f"an append failed: {error}") from error
        if appended.seq != length:
            raise BrokenPromiseError("stuck", f"the next entry is {appended.seq} and not {length}")
    return length + 1


def _check_second_opening(path: Path, length: int, recording: Recording) -> None:
    with _opened(path, recording, "refused later") as ledger:
        if len(ledger) != length:
            raise BrokenPromiseError("lost", f"{len(ledger)} entries where {length} were written after the cut")


def _opened(path: Path, recording: Recording, kind: str) -> Ledger:
    try:
        return recording.scenario.open(path)
    except (NucleusError, OSError) as error:
        message = str(error).replace(f"{path.parent}/", "")
        raise BrokenPromiseError(kind, f"{type(error).__name__}: {message}") from error


def _read(ledger: Ledger, recording: Recording) -> list[ChainEntry]:
    """The entries from the last prepared one on: those before it are in its hash, and verified."""
    scenario = recording.scenario
    try:
        return list(ledger.entries(scenario.reader, start_seq=max(0, scenario.prepared - 1)))
    except NucleusError as error:
        raise BrokenPromiseError("refused", f"reading: {type(error).__name__}: {error}") from error


def _further_record() -> Record:
    return Record(id="after the cut", stream="later", payload={})


def _check_chain(entries: list[ChainEntry], length: int, recording: Recording) -> None:
    prepared = recording.scenario.prepared
    if length < prepared:
        raise BrokenPromiseError("lost", f"{length} entries where {prepared} were there before the recording began")
    if [entry.hash for entry in entries] != recording.chain[max(0, prepared - 1) : length]:
        raise BrokenPromiseError("another chain", "the chain is no beginning of the one that was written")


def _check_acknowledged(length: int, told: Told) -> None:
    """In a beginning of what was written, every acknowledged entry is there if the last one is."""
    if told.entries and length <= max(told.entries):
        raise BrokenPromiseError("lost", f"{length} entries where entry {max(told.entries)} had been acknowledged")


def _check_redactions(entries: list[ChainEntry], length: int, recording: Recording) -> None:
    erased = {redaction.target for redaction in recording.told.redactions if redaction.seq < length}
    for entry in entries:
        if entry.redacted != (entry.hash in erased):
            raise BrokenPromiseError("redaction", f"entry {entry.seq} is {'' if entry.redacted else 'not '}redacted")


def _check_grants(ledger: Ledger, length: int, recording: Recording) -> None:
    allowed = {(grant.principal_oid, grant.id): False for grant in recording.told.grants}
    for grant in recording.told.grants:
        if grant.seq < length:
            allowed[grant.principal_oid, grant.id] = grant.allowed
    for (principal_oid, note_id), may_read in allowed.items():
        if ledger.access.check(principal_oid, "read", ResourcePredicate(kind="notes", id=note_id)) != may_read:
            raise BrokenPromiseError("grants", f"{principal_oid} {'may not' if may_read else 'may'} read {note_id}")


def _check_verification(ledger: Ledger) -> None:
    try:
        report = ledger.verify(deep=True)
    except NucleusError as error:
        raise BrokenPromiseError("unsound", str(error)) from error
    if not report.valid:
        raise BrokenPromiseError("unsound", str(report.to_dict()))


def _check_traces(folder: Path, told: Told) -> None:
    """Only what acknowledged redactions erased: of another one the payload may still be there."""
    for redaction in told.redactions:
        for file in folder.iterdir():
            if redaction.secret.encode() in file.read_bytes():
                raise BrokenPromiseError("trace", f"a payload erased by entry {redaction.seq} is still in {file.name}")


def _check_backups(folder: Path, image: Image, told: Told, recording: Recording) -> None:
    for name in image.keys() & set(recording.told.backups) - set(told.backups):
        _check_unfinished_backup(folder / name, recording)
    for name, (seq, digest) in told.backups.items():
        with _opened(folder / name, recording, "backup refused") as backup:
            if backup.head() != (seq, digest):
                raise BrokenPromiseError("backup", f"{name} ends in {backup.head()} and not in {(seq, digest)}")


def _check_unfinished_backup(path: Path, recording: Recording) -> None:
    try:
        ledger = open_ledger(path, read_only=True)
    except NucleusError:
        return
    with ledger:
        _check_chain(_read(ledger, recording), len(ledger), recording)
