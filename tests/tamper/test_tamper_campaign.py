"""Edited ledger files: each is refused, or every answer is right. And the sound ones are not refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tamper import cells, imposters, interior_pages, raw_pages, rows
from tests.tamper.bases import NAMES, Base, load
from tests.tamper.campaign import Plan, run, scratch_directory
from tests.tamper.catalogue import KINDS
from tests.tamper.image import Image
from tests.tamper.judging import Way, judge_image
from tests.tamper.pages import seal

IMAGES = 20_000
SEED = 1
# Wrong answers must show, with these many images, where a ledger is opened without verification.
CONTROLS = 600
GROUPS = {
    "raw pages": raw_pages.EDITS,
    "cells": cells.EDITS,
    "interior pages": interior_pages.EDITS,
    "imposters": imposters.EDITS,
    "rows": rows.EDITS,
}
WAYS = [Way(read_only, plain, None, True) for read_only in (False, True) for plain in (False, True)]


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory with the ledgers that are attacked."""
    with scratch_directory() as made:
        Plan(0, SEED, made).make_bases()
        yield made


@pytest.fixture(params=NAMES)
def base(request: pytest.FixtureRequest, directory: Path) -> Base:
    """Each ledger that is attacked."""
    return load(request.param, directory / "bases")


def test_edited_files_are_refused_or_answer_rightly(directory: Path) -> None:
    tally = run(Plan(IMAGES, SEED, directory))
    assert tally.images == IMAGES
    assert set(tally.by_kind) == set(KINDS)
    assert tally.outcomes["refused"] > IMAGES / 2
    told = "\n".join(map(str, tally.failures[:20]))
    assert not tally.failures, f"{len(tally.failures)} of {IMAGES}; seed {SEED}; the first:\n{told}"


def test_wrong_answers_are_noticed(directory: Path) -> None:
    """Without verification the same edits are believed: a comparison that finds nothing would compare nothing."""
    tally = run(Plan(CONTROLS, SEED, directory, verified=False))
    assert tally.outcomes["crashed"] == tally.outcomes["hangs"] == 0
    for name, edits in GROUPS.items():
        wrong = sum(tally.by_kind[kind]["believed"] for kind in edits if kind in tally.by_kind)
        assert wrong > 0, name


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("state", ["closed", "logged"])
def test_sound_files_are_accepted(base: Base, state: str, way: Way, directory: Path) -> None:
    image = Image.of(base.states[state])
    assert judge_image(image, base, way, directory).outcome == "accepted"


def test_rebuilt_pages_are_sound(base: Base, directory: Path) -> None:
    """The editor of pages changes nothing that it is not told to: a file of pages that it rebuilt is as good."""
    image = Image.of(base.states["closed"])
    for root in image.roots().values():
        for page in image.tree(root):
            page.rebuild(page.cells())
            image.keep(page)
    assert judge_image(image, base, WAYS[0], directory).outcome == "accepted"


def test_sealed_logs_are_as_they_were(base: Base) -> None:
    log = bytearray(base.states["logged"].log)
    seal(log)
    assert log == base.states["logged"].log
