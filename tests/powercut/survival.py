"""What a power cut leaves of what was pending: the laws of file systems, and chance within them.

Content: of the writes pending in a file any survive, each torn at 512-byte sectors, of which each is old or new. The
size may be behind the data (data beyond it is lost) or ahead of it (zeros where data has not arrived). A file that
shrinks is a change of metadata, which comes in order: writes after it are visible only if it has happened.

Names: a rename is one change, so that a name stands for the old file or for the new one. Which changes survive together
is a matter of :class:`Laws`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from random import Random
from typing import Final

from tests.powercut.disk import Change, Disk, File, Folder, Number, Resize, Write, apply

SECTOR_BYTES: Final = 512

Image = dict[str, bytes]
"""The files that are there when the power is back: name to content."""


class Laws(Enum):
    """What a file system promises beyond syncs."""

    JOURNALED = "journaled"
    """Names change in order, and a synced file has its name: ext4, xfs, btrfs."""
    ORDERED = "ordered"
    """Names change in order, and are durable with their folder only."""
    UNORDERED = "unordered"
    """Names and sizes change in any order: what POSIX promises."""


class Pattern(Enum):
    """What survives of the pending changes of one file."""

    NONE = "none"
    ALL = "all"
    SIZES = "sizes"
    """The sizes, and zeros for data."""
    NEWEST = "newest"
    BEGINNING = "beginning"
    """The first so many, of which the last is torn."""
    SUBSET = "subset"
    """Any of them, some torn."""
    SHUFFLED = "shuffled"
    """Any of them, some torn, in any order."""


class Shape(Enum):
    """What survives in the whole folder."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    NAMES_WITHOUT_CONTENT = "names without content"
    NAMES_WITH_ZEROS = "names with zeros"
    CONTENT_WITHOUT_NAMES = "content without names"
    ONE_FILE = "one file"
    ALL_BUT_ONE_FILE = "all but one file"
    NEWEST = "newest"
    ANYTHING = "anything"


_SHAPES: Final = list(Shape)
_WEIGHTS: Final = [12 if shape is Shape.ANYTHING else 1 for shape in _SHAPES]


@dataclass(frozen=True, slots=True)
class Choice:
    """What one cut does."""

    laws: Laws
    shape: Shape


def choose(chance: Random) -> Choice:
    """Choose what a cut does."""
    return Choice(chance.choice(list(Laws)), chance.choices(_SHAPES, _WEIGHTS)[0])


def image_of(disk: Disk, choice: Choice, chance: Random) -> Image:
    """Return what is there after a cut at this moment."""
    names = _surviving_names(disk.folder, choice, chance)
    patterns = _patterns(disk, sorted(set(names.values())), choice.shape, chance)
    return {
        name: surviving_content(disk.files[number], patterns[number], choice.laws, chance)
        for name, number in names.items()
    }


# Names


def _surviving_names(folder: Folder, choice: Choice, chance: Random) -> dict[str, Number]:
    changes = folder.pending
    least = folder.journaled if choice.laws is Laws.JOURNALED else 0
    match choice.shape:
        case Shape.NOTHING | Shape.CONTENT_WITHOUT_NAMES:
            surviving = changes[:least]
        case Shape.ANYTHING | Shape.ONE_FILE if choice.laws is Laws.UNORDERED:
            surviving = [change for change in changes if chance.random() < 0.5]
        case Shape.ANYTHING | Shape.ONE_FILE:
            surviving = changes[: chance.randint(least, len(changes))]
        case _:
            surviving = changes
    names = dict(folder.durable)
    for change in surviving:
        change.apply(names)
    return names


# Content


def _patterns(disk: Disk, numbers: Sequence[Number], shape: Shape, chance: Random) -> dict[Number, Pattern]:
    everywhere = {
        Shape.NOTHING: Pattern.NONE,
        Shape.EVERYTHING: Pattern.ALL,
        Shape.NAMES_WITHOUT_CONTENT: Pattern.NONE,
        Shape.NAMES_WITH_ZEROS: Pattern.SIZES,
        Shape.CONTENT_WITHOUT_NAMES: Pattern.ALL,
        Shape.NEWEST: Pattern.NEWEST,
        Shape.ONE_FILE: Pattern.NONE,
        Shape.ALL_BUT_ONE_FILE: Pattern.ALL,
    }
    if shape not in everywhere:
        return {number: chance.choice(list(Pattern)) for number in numbers}
    patterns = dict.fromkeys(numbers, everywhere[shape])
    changed = [number for number in numbers if disk.files[number].pending]
    if changed and shape in {Shape.ONE_FILE, Shape.ALL_BUT_ONE_FILE}:
        patterns[chance.choice(changed)] = Pattern.ALL if shape is Shape.ONE_FILE else Pattern.NONE
    return patterns


def surviving_content(file: File, pattern: Pattern, laws: Laws, chance: Random) -> bytes:
    """Return the content of a file after a cut."""
    content = bytearray(file.durable)
    for change in _surviving(file, pattern, laws, chance):
        apply(content, change)
    return bytes(content)


def _surviving(file: File, pattern: Pattern, laws: Laws, chance: Random) -> Iterable[Change]:
    if pattern in {Pattern.NONE, Pattern.ALL}:
        return file.pending if pattern is Pattern.ALL else []
    changes = _with_surviving_shrinks(file, laws, chance)
    if not changes:
        return []
    match pattern:
        case Pattern.SIZES:
            return [Resize(size) for size in _sizes(len(file.durable), changes)]
        case Pattern.NEWEST:
            return [*(change for change in changes if isinstance(change, Resize)), changes[-1]]
        case Pattern.BEGINNING:
            whole = chance.randrange(len(changes))
            return [*changes[:whole], *_torn(changes[whole], chance)]
    return _subset(file, changes, pattern, chance)


def _with_surviving_shrinks(file: File, laws: Laws, chance: Random) -> list[Change]:
    """The pending changes, without the shrinks that have not happened and, by the laws, what came after them."""
    shrinks = _shrinks(len(file.durable), file.pending)
    if not shrinks:
        return file.pending
    if laws is Laws.UNORDERED:
        lost = {index for index in shrinks if chance.random() < 0.5}
        return [change for index, change in enumerate(file.pending) if index not in lost]
    happened = chance.choice([0, len(shrinks), chance.randint(0, len(shrinks))])
    return file.pending if happened == len(shrinks) else file.pending[: shrinks[happened]]


def _shrinks(size: int, changes: Sequence[Change]) -> list[int]:
    """The places of the changes that make a file of this size shorter."""
    return [index for index, (before, after) in enumerate(_size_steps(size, changes)) if after < before]


def _sizes(size: int, changes: Sequence[Change]) -> list[int]:
    return [after for _, after in _size_steps(size, changes)]


def _certain_size(size: int, changes: Sequence[Change]) -> int:
    """The size after the last change that made the file shorter, else the durable one: growth behind it may be lost."""
    shrinks = _shrinks(size, changes)
    return _sizes(size, changes)[shrinks[-1]] if shrinks else size


def _size_steps(size: int, changes: Sequence[Change]) -> Iterable[tuple[int, int]]:
    for change in changes:
        before = size
        size = change.size if isinstance(change, Resize) else max(size, change.end)
        yield before, size


def _subset(file: File, changes: Sequence[Change], pattern: Pattern, chance: Random) -> list[Change]:
    """Any of the changes, some torn; resizes stay where they are, since shrinks have been decided on."""
    kept_share = chance.choice([0.1, 0.5, 0.9])
    torn_share = chance.choice([0.0, 0.3, 1.0])
    surviving: list[Change] = []
    stretch: list[Change] = []
    for change in changes:
        if isinstance(change, Resize):
            surviving += _in_order(stretch, pattern, chance)
            surviving.append(change)
            stretch = []
        elif chance.random() < kept_share:
            stretch += _torn(change, chance) if chance.random() < torn_share else [change]
    surviving += _in_order(stretch, pattern, chance)
    size = chance.choice(["as written", "ahead", "behind"])
    if size == "ahead":
        surviving.append(Resize(_sizes(len(file.durable), changes)[-1]))
    elif size == "behind":
        surviving.append(Resize(_certain_size(len(file.durable), changes)))
    return surviving


def _in_order(stretch: list[Change], pattern: Pattern, chance: Random) -> list[Change]:
    if pattern is Pattern.SHUFFLED:
        chance.shuffle(stretch)
    return stretch


def _torn(change: Change, chance: Random) -> list[Change]:
    """Some of the sectors of a write; a resize is whole or not there."""
    if isinstance(change, Resize):
        return [change] if chance.random() < 0.5 else []
    return [piece for piece in sectors(change) if chance.random() < 0.5]


def sectors(write: Write) -> list[Change]:
    """The parts of a write that fall into different sectors."""
    edges = [
        write.offset,
        *range((write.offset // SECTOR_BYTES + 1) * SECTOR_BYTES, write.end, SECTOR_BYTES),
        write.end,
    ]
    return [
        Write(start, write.data[start - write.offset : end - write.offset])
        for start, end in pairwise(edges)
        if end > start
    ]
