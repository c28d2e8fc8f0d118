"""What a recorded program was told by the ledger, put into the record at the moment at which it was told."""

import ctypes
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.powercut.log import Kind, Operation

from nucleus import ChainEntry


class Marks:
    """The preloaded recorder, from inside the program that it records."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)

    def appended(self, *entries: ChainEntry) -> None:
        """An append has returned these."""
        self._mark({"entries": [[entry.seq, entry.hash] for entry in entries]})

    def redacted(self, target: ChainEntry, redaction: ChainEntry, secret: str) -> None:
        """A redaction has returned; ``secret`` is in no file from then on."""
        self._mark({"entries": [[redaction.seq, redaction.hash]], "redacted": target.hash, "secret": secret})

    def granted(self, head: tuple[int, str], principal_oid: str, id: str, allowed: bool) -> None:
        """A grant or its revocation has returned, recorded by the entry ``head``."""
        self._mark({"entries": [list(head)], "grant": [principal_oid, id, allowed]})

    def backed_up(self, name: str, head: tuple[int, str]) -> None:
        """A backup to the file of this name has returned."""
        self._mark({"entries": [], "backup": name, "head": list(head)})

    def _mark(self, mark: dict[str, Any]) -> None:
        data = json.dumps(mark).encode()
        self._library.recorder_mark(data, ctypes.c_size_t(len(data)))


@dataclass(frozen=True, slots=True)
class Redaction:
    """The entry with the hash ``target`` has been erased by the entry ``seq``."""

    seq: int
    target: str
    secret: str


@dataclass(frozen=True, slots=True)
class Grant:
    """From the entry ``seq`` on, a principal may read a note, or may not any more."""

    seq: int
    principal_oid: str
    id: str
    allowed: bool


@dataclass(slots=True)
class Told:
    """Everything that a program was told until some moment."""

    entries: dict[int, str] = field(default_factory=dict)
    redactions: list[Redaction] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    backups: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, operation: Operation) -> None:
        """Take in a mark; other operations tell nothing."""
        if operation.kind is not Kind.MARK:
            return
        mark = json.loads(operation.data)
        for seq, digest in mark["entries"]:
            self.entries[seq] = digest
        if "redacted" in mark:
            self.redactions.append(Redaction(mark["entries"][0][0], mark["redacted"], mark["secret"]))
        if "grant" in mark:
            self.grants.append(Grant(mark["entries"][0][0], *mark["grant"]))
        if "backup" in mark:
            seq, digest = mark["head"]
            self.backups[mark["backup"]] = (seq, digest)


def everything_told(operations: Iterable[Operation]) -> Told:
    """Return what was told in all."""
    told = Told()
    for operation in operations:
        told.add(operation)
    return told
