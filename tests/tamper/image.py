"""A ledger's files in memory, to be edited and written out: database, log, anchor and whatever lies beside them."""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.tamper.pages import (
    FRAME_HEADER_BYTES,
    PAGE_BYTES,
    EditError,
    Page,
    frames,
    seal,
    tree,
)

LOG = "-wal"
ANCHOR = ".anchor"


@dataclass(frozen=True)
class State:
    """The files of a ledger at one moment; ``log`` is empty where it was closed."""

    main: bytes
    log: bytes
    anchor: bytes

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the files of a ledger that nobody writes to at the moment."""
        log = path.with_name(path.name + LOG)
        return cls(
            path.read_bytes(),
            log.read_bytes() if log.exists() else b"",
            path.with_name(path.name + ANCHOR).read_bytes(),
        )


@dataclass
class Image:
    """Files under work. Pages are read and written where SQLite would look for them: in the log, else in the file.

    Attributes:
        main: the database file.
        log: the write-ahead log; None is no such file.
        anchor: the anchor; None is no such file.
        beside: other files, by what their names end in.
        logged: SQL edits leave what they change in the log.
    """

    main: bytearray
    log: bytearray | None
    anchor: bytearray | None
    logged: bool = False
    beside: dict[str, bytes] = field(default_factory=dict)
    _places: dict[int, int] | None = None
    _unsealed: bool = False

    @classmethod
    def of(cls, state: State) -> Self:
        """Return an image of files as they are."""
        log = bytearray(state.log) if state.log else None
        return cls(bytearray(state.main), log, bytearray(state.anchor), logged=log is not None)

    def write(self, path: Path) -> None:
        """Write the files, in place of those that are there."""
        self.finish()
        for old in path.parent.glob(path.name + "*"):
            old.unlink()
        path.write_bytes(self.main)
        for suffix, content in {LOG: self.log, ANCHOR: self.anchor, **self.beside}.items():
            if content is not None:
                path.with_name(path.name + suffix).write_bytes(content)

    def finish(self) -> None:
        """Make the log's checksums right for pages that were edited in it."""
        if self._unsealed and self.log is not None:
            seal(self.log)
        self._unsealed = False

    # Pages.

    @property
    def page_count(self) -> int:
        """Number of pages of the database, the log's included."""
        return max([len(self.main) // PAGE_BYTES, *self._in_log()])

    def raw(self, number: int) -> bytearray:
        """Return a copy of a page."""
        at = self._in_log().get(number)
        if at is not None and self.log is not None:
            return self.log[at : at + PAGE_BYTES]
        if not 1 <= number <= len(self.main) // PAGE_BYTES:
            raise EditError(f"there is no page {number}")
        return self.main[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]

    def put(self, number: int, data: bytes | bytearray) -> None:
        """Replace a page; a log's checksums are made right by :meth:`finish`."""
        at = self._in_log().get(number)
        if at is not None and self.log is not None:
            self.log[at : at + PAGE_BYTES] = data
            self._unsealed = True
        else:
            self.main[(number - 1) * PAGE_BYTES : number * PAGE_BYTES] = data

    def page(self, number: int) -> Page:
        """Return a B-tree page; changes to it need :meth:`keep`."""
        return Page(number, self.raw(number))

    def keep(self, *pages: Page) -> None:
        """Write changed B-tree pages back."""
        for page in pages:
            self.put(page.number, page.data)

    def tree(self, root: int) -> list[Page]:
        """Return all pages of a B-tree."""
        return tree(root, self.raw)

    def roots(self) -> dict[str, int]:
        """Return the root pages of all tables and indexes, by name."""
        roots = {}
        for page in self.tree(1):
            for position in range(0 if page.interior else page.count):
                _, name, _, root, *_ = (part.value for part in page.fields(position))
                if isinstance(name, bytes) and isinstance(root, int) and root > 0:
                    roots[name.decode("utf-8", "replace")] = root
        return roots

    def _in_log(self) -> dict[int, int]:
        """Return where the newest committed copy of each page in the log lies, as offsets into it."""
        if self._places is None:
            self._places = self._find_in_log()
        return self._places

    def _find_in_log(self) -> dict[int, int]:
        found: dict[int, int] = {}
        if self.log is None:
            return found
        pending: dict[int, int] = {}
        for at in frames(self.log):
            number, size = struct.unpack_from(">II", self.log, at)
            pending[number] = at + FRAME_HEADER_BYTES
            if size:
                found |= pending
                pending = {}
        return found

    # SQL.

    @contextmanager
    def database(self, path: Path) -> Iterator[sqlite3.Connection]:
        """Open the files with another SQLite than the ledger's, and take them back as it leaves them.

        Raises:
            EditError: SQLite cannot work on them.
        """
        self.write(path)
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                yield connection
                if self.logged:
                    self._take(path)
            if not self.logged:
                self._take(path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise EditError(f"SQLite refuses: {error}") from error

    def _take(self, path: Path) -> None:
        log = path.with_name(path.name + LOG)
        self.main = bytearray(path.read_bytes())
        self.log = bytearray(log.read_bytes()) if log.exists() and log.stat().st_size else None
        self._places = None
