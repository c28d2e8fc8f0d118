"""One page of a list."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListResult(Generic[T]):
    """One page of a list.

    Attributes:
        items: the items, in the list's order.
        has_more: whether there is a next page.
        next_cursor: what to pass as ``cursor`` for the next page; None on the last.
    """

    items: list[T]
    has_more: bool
    next_cursor: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)
