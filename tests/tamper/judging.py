"""What a ledger makes of an edited image: it is refused, or every answer is right."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, Literal

from tests.tamper import access_answers, module_answers, reading, writing
from tests.tamper.bases import LEDGER_ID, Base
from tests.tamper.catalogue import edited
from tests.tamper.image import ANCHOR, Image
from tests.tamper.inquiry import Inquiry, NoAnswerError, WrongAnswerError
from tests.tamper.truth import Truth

from nucleus import IntegrityError, Ledger, NucleusError

Outcome = Literal[
    "refused",
    "log taken in",
    "accepted",
    "believed",
    "fails later",
    "refused by default only",
    "changed",
    "crashed",
    "hangs",
]
GOOD: Final[frozenset[Outcome]] = frozenset({"refused", "log taken in", "accepted"})


@dataclass(frozen=True)
class Verdict:
    """What came of one image.

    Attributes:
        number: which image.
        kind: which edit.
        base: of which ledger.
        what: what the edit did.
        outcome: ``refused``, or ``accepted`` with all answers right. ``log taken in`` is refused, and SQLite has
            written the log that was beside the file into it. Else it is a failure: ``believed`` gave a wrong answer,
            ``fails later`` was opened and answered with an error,
            ``refused by default only`` was valid by deep verification, ``changed`` had a refused file written to,
            ``crashed`` raised what no ledger may raise, or ended the process, ``hangs`` did not end.
        detail: which error, or which answer.
        deep: whether deep verification found it valid; None where it was not asked or the file cannot be opened for it.
    """

    number: int
    kind: str
    base: str
    what: str
    outcome: Outcome
    detail: str
    deep: bool | None = None

    @property
    def failed(self) -> bool:
        """Whether this must not be."""
        return self.outcome not in GOOD


@dataclass(frozen=True)
class Way:
    """How an image is opened; ``deep``: one that is refused is verified deeply as well, which takes its time."""

    read_only: bool
    plain: bool
    id: str | None
    verified: bool
    deep: bool = True

    @classmethod
    def of(cls, number: int, seed: int, base: Base, *, verified: bool) -> "Way":
        """Return the way that belongs to the number of an image."""
        chance = random.Random(f"way {seed}:{number}")
        plain = chance.random() < 0.15 and (base.modules or base.model is not None)
        read_only, named = chance.random() < 0.3, chance.choice([LEDGER_ID, None])
        return cls(read_only, plain, named, verified, deep=chance.random() < 0.25)

    def open(self, base: Base, path: Path) -> Ledger:
        """Open the image."""
        return base.open(path, read_only=self.read_only, plain=self.plain, id=self.id, verify_on_open=self.verified)


def judge(
    number: int,
    seed: int,
    bases: Path,
    directory: Path,
    *,
    kind: str | None = None,
    verified: bool = True,
    begun: Callable[[Verdict], object] = lambda _: None,
) -> Verdict:
    """Make one image, open it, and ask it everything.

    Args:
        number: which image.
        seed: which campaign.
        bases: where the ledgers are kept.
        directory: where the image is made; nobody else works there.
        kind: an edit; chance decides where None.
        verified: as the ledger is opened by default; False leaves its verification out.
        begun: called before it is opened, with the verdict that holds if nothing more is heard.
    """
    made = edited(number, seed, bases, directory / "scratch.db", kind)
    way = Way.of(number, seed, made.base, verified=verified)
    chance = random.Random(f"asking {seed}:{number}")
    so_far = Verdict(
        number, made.kind, made.base.name, f"{made.done.what} ({way})", "crashed", "nothing more was heard"
    )
    begun(so_far)
    found = judge_image(made.image, made.base, way, directory, chance=chance, near=made.done.near)
    return replace(so_far, outcome=found.outcome, detail=found.detail, deep=found.deep)


@dataclass(frozen=True)
class Finding:
    """What came of one image, whatever made it; the fields are those of a verdict."""

    outcome: Outcome
    detail: str = ""
    deep: bool | None = None


def judge_image(
    image: Image,
    base: Base,
    way: Way,
    directory: Path,
    *,
    chance: random.Random | None = None,
    near: frozenset[int] = frozenset(),
) -> Finding:
    """Open one image, and ask it everything."""
    path = directory / "ledger.db"
    image.write(path)
    before = _content(path)
    try:
        try:
            ledger = way.open(base, path)
        except NucleusError as error:
            if _content(path) != before:
                return Finding("log taken in" if image.log or "-journal" in image.beside else "changed", _said(error))
            deep = _deeply_valid(way, base, path) if way.deep else None
            wrongly = deep and not _only_the_end(error)
            return Finding("refused by default only" if wrongly else "refused", _said(error), deep)
        with ledger:
            return _accepted(Inquiry(ledger, _truth(base), chance or random.Random(0), near, way.plain, way.read_only))
    except BaseException as error:
        # A panic of the compiled core is a BaseException and nothing else.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return Finding("crashed", f"{type(error).__name__}: {error}")


def _accepted(inquiry: Inquiry) -> Finding:
    try:
        _ask(inquiry)
        deep = _deep(inquiry.ledger)
        if not inquiry.read_only:
            writing.append(inquiry)
    except WrongAnswerError as error:
        return Finding("believed", str(error))
    except NoAnswerError as error:
        return Finding("fails later", str(error))
    return Finding("accepted", deep=deep)


def _ask(inquiry: Inquiry) -> None:
    """Ask everything that changes nothing."""
    base = inquiry.truth.base
    reading.ask(inquiry)
    if base.modules and not inquiry.plain:
        module_answers.ask(inquiry)
    if base.model and not inquiry.plain:
        access_answers.ask(inquiry, base.model)


def _content(path: Path) -> tuple[bytes, bytes | None]:
    """Return what a refused opening must leave alone."""
    anchor = path.with_name(path.name + ANCHOR)
    return path.read_bytes(), anchor.read_bytes() if anchor.exists() else None


def _deeply_valid(way: Way, base: Base, path: Path) -> bool | None:
    """Tell what deep verification says of an image that opening refuses; None where it cannot be opened at all."""
    try:
        with base.open(path, read_only=True, plain=way.plain, id=way.id, verify_on_open=False) as ledger:
            return _deep(ledger)
    except NucleusError:
        return None


def _said(error: NucleusError) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def _deep(ledger: Ledger) -> bool:
    """Whether deep verification finds nothing; that it cannot be run says that something is wrong."""
    try:
        return ledger.verify(deep=True).valid
    except NucleusError:
        return False


def _only_the_end(error: NucleusError) -> bool:
    """Whether it was refused for what the anchor or the caller says of it, of which verification knows nothing."""
    if not isinstance(error, IntegrityError):
        return True
    return error.report is None or set(error.report.counts) == {"head_mismatch"}


@cache
def _truth(base: Base) -> Truth:
    return Truth(base)
