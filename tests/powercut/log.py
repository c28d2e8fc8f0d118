"""Reads what ``recorder.c`` wrote."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_HEADER: Final = struct.Struct("<IIIIQQ")


class Kind(IntEnum):
    """Kinds of operations, as ``recorder.c`` numbers them."""

    CREATE = 1
    WRITE = 2
    RESIZE = 3
    SYNC = 4
    SYNC_DIRECTORY = 5
    RENAME = 6
    LINK = 7
    UNLINK = 8
    MARK = 9


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that succeeded.

    ``path`` and ``other`` (where a file is renamed or linked to) are relative to the recorded folder, which itself is
    the empty path. ``offset`` is where data was written, and the new size of a resized file.
    """

    kind: Kind
    inode: int = 0
    offset: int = 0
    path: str = ""
    other: str = ""
    data: bytes = b""


def read_log(log: bytes) -> Iterator[Operation]:
    """Yield the operations of a log in their order."""
    at = 0
    while at < len(log):
        kind, path_bytes, other_bytes, data_bytes, inode, offset = _HEADER.unpack_from(log, at)
        path_at = at + _HEADER.size
        other_at = path_at + path_bytes
        data_at = other_at + other_bytes
        at = data_at + data_bytes
        assert at <= len(log), "the log of the recorder ends in the middle of a record"
        yield Operation(
            Kind(kind),
            inode,
            offset,
            log[path_at:other_at].decode(),
            log[other_at:data_at].decode(),
            log[data_at:at],
        )
