"""A set that never grows beyond a bound."""

from __future__ import annotations

import threading
from collections.abc import Hashable


class BoundedSet:
    """Remembers the last ``max_items`` things that were added; for any thread."""

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        # The lock guards the dictionary, whose order is that of adding.
        self._lock = threading.Lock()
        self._items: dict[Hashable, None] = {}

    def add(self, item: Hashable) -> None:
        """Remember one more, and forget the oldest where there are too many."""
        with self._lock:
            self._items.pop(item, None)
            self._items[item] = None
            if len(self._items) > self._max_items:
                del self._items[next(iter(self._items))]

    def __contains__(self, item: Hashable) -> bool:
        return item in self._items
