"""Where lists go on. Cursors are made and read here, but for those of the backend's own pages."""

from typing import Literal, NamedTuple

from nucleus._core import ChainEntry, query_cursor
from nucleus.errors import ConfigError


class Place(NamedTuple):
    """Where a list goes on that is read from several queries, one after the other."""

    position: int
    """Which of the queries."""
    cursor: str | None
    """Where in it; None at its beginning."""


def behind(entry: ChainEntry, order: Literal["asc", "desc"]) -> str:
    """Return the cursor of any query in this order whose page ends with this entry."""
    return query_cursor(entry.seq, order)


def place_cursor(place: Place) -> str:
    """Return the cursor that :func:`read_place` reads."""
    return f"{place.position}:{place.cursor or ''}"


def read_place(cursor: str | None, queries: int) -> Place | None:
    """Return where a list goes on that is read from so many queries; None where there is nothing to list.

    Raises:
        ConfigError: the cursor is of no such list.
    """
    if cursor is None:
        return Place(0, None) if queries else None
    position, colon, rest = cursor.partition(":")
    places = {str(position): position for position in range(queries)}
    if not colon or position not in places:
        raise ConfigError("the cursor is not one that a list with these filters answered")
    return Place(places[position], rest or None)
