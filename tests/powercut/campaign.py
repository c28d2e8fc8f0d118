"""Draws images of a recording, by number and seed, and has each one checked.

An image is decided by its number, the seed and the recording alone: where the power is cut, and what survives. Images
that are equal to an earlier one, told the same, are counted and not checked again.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Final

from blake3 import blake3
from tests.powercut.checker import BrokenPromiseError, check
from tests.powercut.disk import Disk
from tests.powercut.log import Kind, Operation
from tests.powercut.marks import Told
from tests.powercut.recording import Recording, working_folder
from tests.powercut.survival import Choice, Image, choose, image_of

# How often the power is cut right before or after an operation of this kind, other writes being 1.
_WEIGHTS: Final = {
    Kind.SYNC: 3,
    Kind.SYNC_DIRECTORY: 5,
    Kind.CREATE: 5,
    Kind.RENAME: 5,
    Kind.LINK: 5,
    Kind.UNLINK: 5,
    Kind.RESIZE: 4,
    Kind.MARK: 4,
}


@dataclass(frozen=True)
class Settings:
    """What is drawn and how it is judged; the last two are for controls that must find faults."""

    images: int
    seed: int
    ignores_sync: Callable[[str], bool] | None = None
    judge_as_full: bool = False


@dataclass(frozen=True)
class Failure:
    """An image that broke a promise."""

    image: int
    cut: int
    choice: Choice
    broken: BrokenPromiseError

    def __str__(self) -> str:
        return (
            f"image {self.image} (cut before operation {self.cut}, {self.choice.laws.value}, "
            f"{self.choice.shape.value}): {self.broken}"
        )


@dataclass
class Figures:
    """What a campaign found about one recording."""

    name: str
    operations: int
    images: int = 0
    different: int = 0
    failures: list[Failure] = field(default_factory=list)

    def kinds(self) -> Counter[str]:
        """Count the failures by kind."""
        return Counter(failure.broken.kind for failure in self.failures)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind}: {count}" for kind, count in self.kinds().most_common())
        return (
            f"{self.name}: {self.images} images ({self.different} different) of {self.operations} operations, "
            f"{len(self.failures)} failed{f' ({kinds})' if kinds else ''}"
        )


@dataclass(frozen=True)
class Drawn:
    """One image, and what had been told when the power was cut."""

    number: int
    cut: int
    choice: Choice
    image: Image
    told: Told


def run(recording: Recording, settings: Settings) -> Figures:
    """Draw and check images."""
    figures = Figures(recording.name, len(recording.operations))
    seen: set[bytes] = set()
    with working_folder() as folder:
        for drawn in draw(recording, settings, range(settings.images)):
            figures.images += 1
            digest = _digest(drawn)
            if digest in seen:
                continue
            seen.add(digest)
            broken = _check(drawn, recording, folder / "image", settings)
            if broken is not None:
                figures.failures.append(Failure(drawn.number, drawn.cut, drawn.choice, broken))
    figures.different = len(seen)
    return figures


def draw(recording: Recording, settings: Settings, numbers: Sequence[int]) -> Iterator[Drawn]:
    """Yield the images with these numbers, in the order of their cuts, so that the disk goes through time once."""
    weights = list(accumulate(_weights(recording.operations)))
    chances = {number: Random(f"{settings.seed} {recording.name} {number}") for number in numbers}
    cuts = {number: chance.choices(range(len(weights)), cum_weights=weights)[0] for number, chance in chances.items()}
    disk = Disk(recording.beginning, settings.ignores_sync)
    told = Told()
    done = 0
    for number in sorted(numbers, key=lambda number: cuts[number]):
        for operation in recording.operations[done : cuts[number]]:
            disk.apply(operation)
            told.add(operation)
        done = cuts[number]
        choice = choose(chances[number])
        yield Drawn(number, done, choice, image_of(disk, choice, chances[number]), told)


def _weights(operations: Sequence[Operation]) -> list[int]:
    """How often the power is cut before each operation, and after the last."""
    alone = [_WEIGHTS.get(operation.kind, 1) for operation in operations]
    return [max(before, after) for before, after in zip([1, *alone], [*alone, 1], strict=True)]


def _digest(drawn: Drawn) -> bytes:
    told = drawn.told
    digest = blake3(f"{len(told.entries)} {len(told.backups)}".encode())
    for name, content in sorted(drawn.image.items()):
        digest.update(f"{name} {len(content)} ".encode())
        digest.update(content)
    return digest.digest()


def _check(drawn: Drawn, recording: Recording, folder: Path, settings: Settings) -> BrokenPromiseError | None:
    folder.mkdir()
    try:
        check(drawn.image, drawn.told, recording, folder, judge_as_full=settings.judge_as_full)
    except BrokenPromiseError as broken:
        return broken
    finally:
        shutil.rmtree(folder)
    return None
