"""An opened ledger that is asked, and whose every answer is compared with the truth."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tests.tamper.truth import Truth

from nucleus import ChainEntry, Ledger, NucleusError

_T = TypeVar("_T")

_MANY: Final = 150
"""Of so many entries or ids all are asked for; of more, a sample."""
_SAMPLE: Final = 60


class WrongAnswerError(Exception):
    """A ledger answered something that its entries do not say."""


class NoAnswerError(Exception):
    """A ledger that was opened answered with an error."""


@dataclass
class Inquiry:
    """The questions put to one opened ledger.

    Attributes:
        ledger: the ledger.
        truth: what is so.
        chance: decides what is asked where not everything is.
        near: seqs of entries that an edit is about; they are asked for in any case.
        plain: it was opened without modules and access control.
        read_only: it was opened so.
    """

    ledger: Ledger
    truth: Truth
    chance: random.Random
    near: frozenset[int]
    plain: bool = False
    read_only: bool = False

    def __post_init__(self) -> None:
        self.near = frozenset(seq for seq in self.near if 0 <= seq < len(self.truth.entries))

    def expect(self, what: str, expected: object, ask: Callable[..., object], *with_: Any, **named: Any) -> None:
        """Ask, and compare the answer.

        Raises:
            WrongAnswerError: it differs.
            NoAnswerError: it is an error.
        """
        found = self.answer(what, ask, *with_, **named)
        if found != expected:
            raise WrongAnswerError(f"{what}: {_differing(found, expected)}")

    def answer(self, what: str, ask: Callable[..., _T], *with_: Any, **named: Any) -> _T:
        """Ask for something that there must be.

        Raises:
            NoAnswerError: the answer is an error.
        """
        try:
            return ask(*with_, **named)
        except NucleusError as error:
            raise NoAnswerError(f"{what}: {type(error).__name__}: {str(error)[:200]}") from error

    def some(self, among: Iterable[_T]) -> list[_T]:
        """Return all of few, or a sample of many."""
        listed = list(among)
        return listed if len(listed) <= _MANY else self.chance.sample(listed, _SAMPLE)

    @property
    def seqs(self) -> list[int]:
        """Seqs of entries to ask for."""
        return sorted({*self.near, *self.some(range(len(self.truth.entries)))})


def _differing(found: object, expected: object) -> str:
    """Return where two answers differ, in a few words."""
    if isinstance(found, dict) and isinstance(expected, dict):
        names = [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]
        return "; ".join(f"{name}: {_differing(found.get(name), expected.get(name))}" for name in sorted(names)[:3])
    if isinstance(found, list) and isinstance(expected, list):
        at = next((n for n, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), None)
        if at is None:
            return f"{len(found)} items instead of {len(expected)}"
        return f"{len(found)} items instead of {len(expected)}, at {at} {_differing(found[at], expected[at])}"
    if isinstance(found, tuple) and isinstance(expected, tuple) and len(found) == len(expected):
        pairs = zip(found, expected, strict=True)
        return "; ".join(_differing(*pair) for pair in pairs if pair[0] != pair[1])
    return f"{_short(found)} instead of {_short(expected)}"


def _short(value: object) -> str:
    return f"entry {value.seq}" if isinstance(value, ChainEntry) else repr(value)[:200]
