"""A model of a disk behind a page cache: what is durable in one folder, and what is pending.

Assumptions, which are those of POSIX and of what ext4, xfs and btrfs do:

- ``fsync`` and ``fdatasync`` of a file make all that was written to it, and its size, durable. Everything later is
  pending until the next one. ``sync_file_range`` makes nothing durable.
- ``fsync`` of the folder makes every change of names in it durable. Until then each change is pending.
- On a journaling file system ``fsync`` of a file also makes durable the changes of names up to the last one that gave
  this file a name: :attr:`Folder.journaled` counts them, and ``survival.py`` decides whether they count.
- A completed sync is true: the disk does not lie about its cache.
- What is open does not matter: a file without a name is gone after a cut.

Shared memory (``-shm``) is lost with the power and takes no part. There is one folder without folders in it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.powercut.log import Kind, Operation

Number = int
"""What stands for one file, whatever it is named; inode numbers are used again, these are not."""


@dataclass(frozen=True, slots=True)
class Write:
    """Data at an offset."""

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Resize:
    """A new size: what is behind it is gone, what was not there before is zeros."""

    size: int


Change = Write | Resize


def apply(content: bytearray, change: Change) -> None:
    """Change the content of a file."""
    match change:
        case Write(offset, data):
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        case Resize(size):
            del content[size:]
            content.extend(bytes(size - len(content)))


@dataclass(slots=True)
class File:
    """One file: its durable content, and the changes since its last sync in their order."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        """Make all of it durable."""
        for change in self.pending:
            apply(self.durable, change)
        self.pending.clear()

    def current(self) -> bytearray:
        """Return what programs read."""
        content = bytearray(self.durable)
        for change in self.pending:
            apply(content, change)
        return content


@dataclass(frozen=True, slots=True)
class NameChange:
    """One change of a folder: a name goes, a name begins to stand for a file, or both at once (a rename)."""

    removes: str | None = None
    adds: tuple[str, Number] | None = None

    def apply(self, names: dict[str, Number]) -> None:
        """Change the names of a folder."""
        if self.removes is not None:
            names.pop(self.removes, None)
        if self.adds is not None:
            name, number = self.adds
            names[name] = number


@dataclass(slots=True)
class Folder:
    """The names: those that are durable, and the changes since the last sync of the folder in their order."""

    durable: dict[str, Number] = field(default_factory=dict)
    pending: list[NameChange] = field(default_factory=list)
    journaled: int = 0
    """How many of the pending changes a journaling file system has made durable with files that were synced."""

    def sync(self) -> None:
        """Make all of them durable."""
        for change in self.pending:
            change.apply(self.durable)
        self.pending.clear()
        self.journaled = 0

    def file_synced(self, number: Number) -> None:
        """Note that a file, under whatever name, was synced."""
        for index in range(len(self.pending) - 1, self.journaled - 1, -1):
            adds = self.pending[index].adds
            if adds is not None and adds[1] == number:
                self.journaled = index + 1
                return

    def current(self) -> dict[str, Number]:
        """Return the names that programs see."""
        names = dict(self.durable)
        for change in self.pending:
            change.apply(names)
        return names


def _is_lost_with_power(name: str) -> bool:
    return name.endswith("-shm")


class Disk:
    """The state of the folder after some operations."""

    def __init__(self, files: Mapping[str, tuple[int, bytes]], ignores_sync: Callable[[str], bool] | None = None):
        """Begin with files whose names and content are durable: name to (inode, content).

        A sync of a file whose name ``ignores_sync`` is true of does nothing: for controls that must find losses.
        """
        self.files: dict[Number, File] = {}
        self.folder = Folder()
        self._numbers: dict[int, Number] = {}
        self._now: dict[str, Number] = {}
        self._ignores_sync = ignores_sync
        for name, (inode, content) in files.items():
            if not _is_lost_with_power(name):
                self._begin_file(inode, name).durable[:] = content
        self.folder.sync()

    def apply(self, operation: Operation) -> None:
        """Take one operation further."""
        for path in (operation.path, operation.other):
            assert "/" not in path, f"the model knows no folders in the folder: {path}"
        match operation.kind:
            case Kind.CREATE if not _is_lost_with_power(operation.path):
                self._begin_file(operation.inode, operation.path)
            case Kind.CREATE:
                self._numbers.pop(operation.inode, None)
            case Kind.WRITE | Kind.RESIZE | Kind.SYNC if operation.inode in self._numbers:
                self._change_file(self._numbers[operation.inode], operation)
            case Kind.SYNC_DIRECTORY:
                self.folder.sync()
            case Kind.RENAME | Kind.LINK | Kind.UNLINK if operation.path in self._now:
                self._change_names(operation)

    def current(self) -> dict[str, bytes]:
        """Return what programs see: names and content."""
        return {name: bytes(self.files[number].current()) for name, number in self._now.items()}

    def _begin_file(self, inode: int, name: str) -> File:
        number = len(self.files)
        self.files[number] = file = File()
        self._numbers[inode] = number
        self._rename(NameChange(adds=(name, number)))
        return file

    def _change_file(self, number: Number, operation: Operation) -> None:
        file = self.files[number]
        match operation.kind:
            case Kind.WRITE:
                file.pending.append(Write(operation.offset, operation.data))
            case Kind.RESIZE:
                file.pending.append(Resize(operation.offset))
            case _ if not self._sync_is_ignored(number):
                file.sync()
                self.folder.file_synced(number)

    def _sync_is_ignored(self, number: Number) -> bool:
        ignores = self._ignores_sync
        return ignores is not None and any(ignores(name) for name, named in self._now.items() if named == number)

    def _change_names(self, operation: Operation) -> None:
        number = self._now[operation.path]
        match operation.kind:
            case Kind.UNLINK:
                self._rename(NameChange(removes=operation.path))
            case Kind.LINK:
                self._rename(NameChange(adds=(operation.other, number)))
            case _:
                self._rename(NameChange(removes=operation.path, adds=(operation.other, number)))

    def _rename(self, change: NameChange) -> None:
        change.apply(self._now)
        self.folder.pending.append(change)
