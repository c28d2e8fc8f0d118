"""SQLite's file format, as far as editing pages takes it: records, cells, B-tree pages, checksums of a log.

Nothing here checks what it reads beyond what slicing does: it works on files that are sound or nearly so, and raises
``EditError`` where a page is not what an edit needs. Source: https://sqlite.org/fileformat2.html.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = 4096
FILE_HEADER_BYTES: Final = 100
LOG_HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
FRAME_BYTES: Final = FRAME_HEADER_BYTES + PAGE_BYTES

INDEX_INTERIOR: Final = 2
TABLE_INTERIOR: Final = 5
INDEX_LEAF: Final = 10
TABLE_LEAF: Final = 13

Value = None | int | float | bytes
"""A field of a record; text as the bytes of its UTF-8."""

_INTEGER_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class EditError(Exception):
    """The edit does not apply to this image: the page is of another kind, or has too few cells."""


def read_varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """Return a variable-length integer and the offset behind it."""
    value = 0
    for position in range(at, at + 8):
        value = value << 7 | data[position] & 0x7F
        if not data[position] & 0x80:
            return value, position + 1
    return value << 8 | data[at + 8], at + 9


def write_varint(value: int, size: int) -> bytes:
    """Return a variable-length integer in exactly ``size`` bytes, 1 to 8."""
    groups = [value >> 7 * position & 0x7F for position in reversed(range(size))]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


@dataclass(frozen=True)
class Field:
    """One field of a record: its value, and where its bytes lie."""

    value: Value
    start: int
    size: int


def read_fields(data: bytes | bytearray, at: int) -> list[Field]:
    """Return the fields of the record that begins at ``at``; those that the data cut off are left out."""
    header_bytes, position = read_varint(data, at)
    body, fields = at + header_bytes, []
    while position < at + header_bytes:
        kind, position = read_varint(data, position)
        field = _read_field(data, body, kind)
        if body + field.size > len(data):
            break
        fields.append(field)
        body += field.size
    return fields


def _read_field(data: bytes | bytearray, at: int, kind: int) -> Field:
    if kind in (0, 8, 9):
        return Field(None if kind == 0 else kind - 8, at, 0)
    size = _INTEGER_BYTES.get(kind, 8 if kind == 7 else max(0, kind - 12) // 2)
    raw = bytes(data[at : at + size])
    if kind in _INTEGER_BYTES:
        return Field(int.from_bytes(raw, "big", signed=True), at, size)
    return Field(struct.unpack(">d", raw)[0] if kind == 7 else raw, at, size)


class Page:
    """One B-tree page. ``data`` is its whole content; edits are made on it in place."""

    def __init__(self, number: int, data: bytearray) -> None:
        self.number = number
        self.data = data
        self.start = FILE_HEADER_BYTES if number == 1 else 0
        if self.kind not in (INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF, TABLE_LEAF):
            raise EditError(f"page {number} is not of a B-tree")

    @property
    def kind(self) -> int:
        """One of the four kinds of pages."""
        return self.data[self.start]

    @property
    def interior(self) -> bool:
        """Whether it has children."""
        return self.kind in (INDEX_INTERIOR, TABLE_INTERIOR)

    @property
    def _pointers_at(self) -> int:
        return self.start + (12 if self.interior else 8)

    @property
    def count(self) -> int:
        """Number of cells."""
        return int.from_bytes(self.data[self.start + 3 : self.start + 5], "big")

    def set_count(self, count: int) -> None:
        """Change the number of cells and nothing else."""
        self.data[self.start + 3 : self.start + 5] = count.to_bytes(2, "big")

    @property
    def pointers(self) -> list[int]:
        """Offsets of the cells, in the order of their keys."""
        return list(struct.unpack_from(f">{self.count}H", self.data, self._pointers_at))

    def set_pointers(self, pointers: list[int]) -> None:
        """Point to other cells, or to the same ones in another order."""
        self.set_count(len(pointers))
        struct.pack_into(f">{len(pointers)}H", self.data, self._pointers_at, *pointers)

    @property
    def rightmost(self) -> int:
        """The right-most child of an interior page."""
        return int.from_bytes(self.data[self.start + 8 : self.start + 12], "big")

    def set_rightmost(self, child: int) -> None:
        """Change the right-most child of an interior page."""
        self.data[self.start + 8 : self.start + 12] = child.to_bytes(4, "big")

    @property
    def children(self) -> list[int]:
        """Page numbers of the children, in the order of their keys; none for a leaf."""
        if not self.interior:
            return []
        return [int.from_bytes(self.data[at : at + 4], "big") for at in self.pointers] + [self.rightmost]

    def set_child(self, position: int, child: int) -> None:
        """Change one child, the right-most included."""
        pointers = self.pointers
        if position == len(pointers):
            self.set_rightmost(child)
        else:
            self.data[pointers[position] : pointers[position] + 4] = child.to_bytes(4, "big")

    def separator(self, position: int) -> tuple[int, int, int]:
        """Return the key of a cell of an interior page of a table, its offset and its size in bytes."""
        at = self.pointers[position] + 4
        key, end = read_varint(self.data, at)
        return key, at, end - at

    def key(self, position: int) -> int:
        """Return the rowid of a cell of a leaf of a table."""
        _, at = read_varint(self.data, self.pointers[position])
        return read_varint(self.data, at)[0]

    def fields(self, position: int) -> list[Field]:
        """Return the fields of a cell's record that lie on this page."""
        at = self.pointers[position] + (4 if self.kind == INDEX_INTERIOR else 0)
        if self.kind == TABLE_INTERIOR:
            raise EditError("a table keeps no records in interior pages")
        payload_bytes, at = read_varint(self.data, at)
        if self.kind == TABLE_LEAF:
            _, at = read_varint(self.data, at)
        local = _local_bytes(self.kind, payload_bytes)
        return read_fields(self.data[: at + local], at)

    def cell(self, position: int) -> bytes:
        """Return the bytes of a cell as they lie on this page, the pointer to its overflow pages included."""
        start = self.pointers[position]
        return bytes(self.data[start : start + self._cell_bytes(start)])

    def cells(self) -> list[bytes]:
        """Return the bytes of all cells."""
        return [self.cell(position) for position in range(self.count)]

    def rebuild(self, cells: list[bytes]) -> None:
        """Make the page hold exactly these cells, in this order; a sound page, whatever the cells say."""
        end = len(self.data)
        first = self._pointers_at + 2 * len(cells)
        if first + sum(map(len, cells)) > end:
            raise EditError("the cells do not fit the page")
        self.data[self._pointers_at :] = bytes(end - self._pointers_at)
        pointers = []
        for cell in cells:
            end -= len(cell)
            self.data[end : end + len(cell)] = cell
            pointers.append(end)
        self.set_pointers(pointers)
        self.data[self.start + 1 : self.start + 3] = bytes(2)
        self.data[self.start + 5 : self.start + 7] = end.to_bytes(2, "big")
        self.data[self.start + 7] = 0

    def _cell_bytes(self, start: int) -> int:
        at = start + (4 if self.interior else 0)
        if self.kind == TABLE_INTERIOR:
            return read_varint(self.data, at)[1] - start
        payload_bytes, at = read_varint(self.data, at)
        if self.kind == TABLE_LEAF:
            _, at = read_varint(self.data, at)
        local = _local_bytes(self.kind, payload_bytes)
        return max(4, at - start + local + (4 if local < payload_bytes else 0))


def _local_bytes(kind: int, payload_bytes: int) -> int:
    """Return how many bytes of a payload lie on the B-tree page itself."""
    least = (PAGE_BYTES - 12) * 32 // 255 - 23
    most = PAGE_BYTES - 35 if kind == TABLE_LEAF else (PAGE_BYTES - 12) * 64 // 255 - 23
    if payload_bytes <= most:
        return payload_bytes
    surplus = least + (payload_bytes - least) % (PAGE_BYTES - 4)
    return surplus if surplus <= most else least


def tree(root: int, read: Callable[[int], bytearray]) -> list[Page]:
    """Return all pages of a B-tree, each once, parents before their children."""
    seen, pages, pending = {root}, [], [root]
    while pending:
        page = Page(number := pending.pop(), read(number))
        pages.append(page)
        for child in reversed(page.children):
            if child not in seen:
                seen.add(child)
                pending.append(child)
    return pages


# The log.


def checksum(data: bytes | bytearray, before: tuple[int, int], *, big_endian: bool) -> tuple[int, int]:
    """Continue the checksum of a write-ahead log over more bytes, a multiple of eight."""
    first, second = before
    for left, right in struct.iter_unpack(">II" if big_endian else "<II", data):
        first = first + left + second & 0xFFFFFFFF
        second = second + right + first & 0xFFFFFFFF
    return first, second


def frames(log: bytes | bytearray) -> list[int]:
    """Return the offsets of the frames of a log, whole ones, whether their checksums are right or not."""
    return list(range(LOG_HEADER_BYTES, len(log) - FRAME_BYTES + 1, FRAME_BYTES))


def seal(log: bytearray) -> None:
    """Make salts and checksums of a log's header and frames right for what they hold."""
    if len(log) < LOG_HEADER_BYTES:
        raise EditError("the log has no header")
    big_endian = log[3] & 1 == 1
    sums = checksum(log[:24], (0, 0), big_endian=big_endian)
    struct.pack_into(">II", log, 24, *sums)
    for at in frames(log):
        log[at + 8 : at + 16] = log[16:24]
        sums = checksum(log[at : at + 8], sums, big_endian=big_endian)
        sums = checksum(log[at + FRAME_HEADER_BYTES : at + FRAME_BYTES], sums, big_endian=big_endian)
        struct.pack_into(">II", log, at + 16, *sums)
