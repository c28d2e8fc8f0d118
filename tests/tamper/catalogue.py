"""All edits by name, and the edited image that belongs to a number."""

import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.tamper import cells, headers, imposters, interior_pages, logs, raw_pages, rows
from tests.tamper.bases import Base, load
from tests.tamper.edit import Bench, Done, Edit
from tests.tamper.image import Image
from tests.tamper.pages import EditError

_ON_CONTENT: Final[dict[str, Edit]] = imposters.EDITS | rows.EDITS
_ON_PAGES: Final[dict[str, Edit]] = raw_pages.EDITS | cells.EDITS | interior_pages.EDITS | headers.EDITS
_ON_FILES: Final[dict[str, Edit]] = logs.LOG_EDITS | logs.MOMENT_EDITS | logs.ANCHOR_EDITS
EDITS: Final[dict[str, Edit]] = _ON_CONTENT | _ON_PAGES | _ON_FILES

TWO: Final = "two edits"
_WEIGHTS: Final = dict.fromkeys(EDITS, 1.0) | {TWO: 10.0, "look-up rows": 0.2}
KINDS: Final = tuple(_WEIGHTS)

_BASE_WEIGHTS: Final = {"streams": 0.335, "rows": 0.06, "modules": 0.28, "access": 0.32, "indexed": 0.005}
_BASES_OF: Final = {
    "look-up rows": ("indexed",),
    "grant rows": ("access",),
    "revocation undone": ("access",),
    "projection rows": ("access",),
    "erased payload restored": ("streams", "access"),
}
"""Where an edit has something to work on only in some ledgers."""

_TRIES: Final = 200


@dataclass(frozen=True)
class Edited:
    """An edited image, and how it came about."""

    image: Image
    base: Base
    kind: str
    done: Done


def edited(number: int, seed: int, bases: Path, scratch: Path, kind: str | None = None) -> Edited:
    """Return the image with this number: the same for the same seed.

    Args:
        number: which image.
        seed: which campaign.
        bases: where the ledgers are kept.
        scratch: a name for files that edits by SQL work on.
        kind: an edit from ``KINDS``; chance decides where None.
    """
    chance = random.Random(f"{seed}:{number}")
    if kind is None:
        (kind,) = chance.choices(KINDS, list(_WEIGHTS.values()))
    for _ in range(_TRIES):
        (name,) = chance.choices(list(_BASE_WEIGHTS), list(_BASE_WEIGHTS.values()))
        base = load(chance.choice(_BASES_OF[kind]) if kind in _BASES_OF else name, bases)
        logged = kind in logs.LOG_EDITS or chance.random() < 0.2
        bench = Bench(Image.of(base.states["logged" if logged else "closed"]), base, chance, scratch)
        try:
            done = _both(bench) if kind == TWO else EDITS[kind](bench)
        except (EditError, IndexError, OverflowError, ValueError, struct.error):
            # There is nothing that this edit could work on, or the first of two left nothing that can be read.
            continue
        bench.image.finish()
        return Edited(bench.image, base, kind, done)
    raise AssertionError(f"no ledger has anything for the edit `{kind}`")


def _both(bench: Bench) -> Done:
    """Do two edits, the one that needs a sounder file first.

    The anchor is left alone: whoever edits ledger and anchor together is found only by a head kept elsewhere.
    """
    chance, groups = bench.chance, [_ON_CONTENT, _ON_PAGES]
    first = chance.choice(groups)
    second = first if chance.random() < 0.5 else _ON_PAGES
    if chance.random() < 0.1:
        second = logs.MOMENT_EDITS | logs.LOG_EDITS
    names = chance.choice(sorted(first)), chance.choice(sorted(second))
    if "end cut, anchor removed" in names:
        raise EditError("the anchor is not for two")
    one, other = (EDITS[name](bench) for name in names)
    return Done(f"{names[0]}: {one.what}; {names[1]}: {other.what}", one.near | other.near)
