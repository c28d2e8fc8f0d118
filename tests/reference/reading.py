"""Strict reading of JSON texts."""

import json
from typing import Any

from tests.reference.canonical import MAX_SAFE_INTEGER, format_number


def parse(text: str | bytes, *, stored: bool = False) -> Any:
    """Read one JSON text strictly: UTF-8, no duplicate keys, no NaN, no integer literal beyond 2^53-1.

    ``stored`` reads canonical JSON back: there a double such as 1e20 is written without fraction or exponent, so a
    literal beyond 2^53-1 that is the canonical form of a double is that double.

    Raises:
        ValueError: the text is refused.
    """

    def integer(literal: str) -> int | float:
        if len(literal) <= 17 and abs(int(literal)) <= MAX_SAFE_INTEGER:
            return int(literal)
        if stored and format_number(float(literal)) == literal:
            return float(literal)
        raise ValueError(f"integer {literal[:20]} beyond 2^53-1")

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("duplicate key")
        return dict(pairs)

    def constant(literal: str) -> None:
        raise ValueError(f"{literal} is not JSON")

    decoded = text if isinstance(text, str) else text.decode("utf-8")
    return json.loads(decoded, object_pairs_hook=members, parse_int=integer, parse_constant=constant)
