"""What every edit is: a function that changes an image, and tells what it did."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tamper.bases import Base
from tests.tamper.image import Image
from tests.tamper.pages import TABLE_INTERIOR, TABLE_LEAF, EditError, Page


@dataclass
class Bench:
    """What an edit works with.

    Attributes:
        image: the files, changed in place.
        base: the ledger that they are of.
        chance: decides everything that an edit leaves open.
        path: a name for files that SQL needs; nobody else uses it.
    """

    image: Image
    base: Base
    chance: random.Random
    path: Path


@dataclass(frozen=True)
class Done:
    """What an edit did, in words; and seqs of entries that it is about, where that is known."""

    what: str
    near: frozenset[int] = frozenset()


Edit = Callable[[Bench], Done]
"""Raises EditError where it does not apply to the image."""


def pick(bench: Bench, among: list[Any]) -> Any:
    """Return one of several; there must be one."""
    if not among:
        raise EditError("nothing to choose from")
    return bench.chance.choice(among)


def pick_tree(bench: Bench, *, indexes_only: bool = False, levels: int = 1) -> tuple[str, list[Page]]:
    """Return a B-tree, by name, with all of its pages, among those that have anything in them and so many levels."""
    roots = bench.image.roots()
    names = sorted(name for name in roots if not indexes_only or name not in ("entries", "ledger_info"))
    bench.chance.shuffle(names)
    for name in names:
        pages = bench.image.tree(roots[name])
        if pages[0].count and (levels == 1 or pages[0].interior):
            return name, pages
    raise EditError("no such B-tree")


def seqs_of(name: str, *pages: Page) -> frozenset[int]:
    """Return the seqs of the entries that cells of these pages are about, as far as the cells say so."""
    seqs: set[int] = set()
    for page in pages:
        for position in range(page.count):
            if page.kind == TABLE_LEAF:
                seqs.add(page.key(position))
            elif page.kind == TABLE_INTERIOR:
                key = page.separator(position)[0]
                seqs |= {key, key + 1}
            elif name != "acl_projection":
                last = [field.value for field in page.fields(position)][-1:]
                seqs |= {value for value in last if isinstance(value, int)}
    return frozenset(sorted(seqs)[:400])
