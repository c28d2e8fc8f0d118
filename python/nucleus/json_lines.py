"""Reading JSON Lines with a limit on everything: the length of a line, the lines of a batch, the bytes of a batch."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from nucleus._core import MAX_RECORD_BYTES
from nucleus.errors import InvalidRecordError

BATCH_ENTRIES = 1_000
"""Most lines that are read or appended at a time, where nothing else is said."""

BATCH_BYTES = MAX_RECORD_BYTES
"""Most bytes of lines that are read at a time, but for a single one that is longer."""

NumberedLine = tuple[int, bytes]
"""A line's number, from 1, and its bytes without the end of the line."""


class BinaryReader(Protocol):
    """A file opened for reading bytes, or anything that can stand for one."""

    def readline(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes up to and with the next newline; empty at the end."""


def max_line_bytes(max_record_bytes: int) -> int:
    """Return how long a line with a record can be: escapes and spaces make it longer than its canonical form."""
    return 4 * max_record_bytes + 65_536


def numbered_lines(file: BinaryReader, longest_bytes: int) -> Iterator[NumberedLine]:
    """Iterate over the lines that are not blank.

    Raises:
        InvalidRecordError: a line is longer than ``longest_bytes``.
    """
    number = 0
    while line := file.readline(longest_bytes + 1):
        number += 1
        if len(line) > longest_bytes:
            raise InvalidRecordError(f"line {number} is longer than {longest_bytes:,} bytes")
        if stripped := line.strip(b" \t\r\n"):
            yield number, stripped


def batches(lines: Iterable[NumberedLine], most_lines: int) -> Iterator[list[NumberedLine]]:
    """Group lines into batches of at most ``most_lines``, fewer where they are long (:data:`BATCH_BYTES`)."""
    batch: list[NumberedLine] = []
    size_bytes = 0
    for number, line in lines:
        if batch and (len(batch) == most_lines or size_bytes + len(line) > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append((number, line))
        size_bytes += len(line)
    if batch:
        yield batch
