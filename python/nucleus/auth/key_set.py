"""Reading a published key set (JWK Set, RFC 7517) in which any member may be malformed."""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 16
"""What is nested deeper is no key, and is not looked at."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def listed_keys(document: bytes) -> list[Any] | None:
    """Return the members of a key set, each of them whatever JSON it is; None where the document is no key set.

    A member with duplicate names reads as None: two readers could see two keys. Numbers, however large,
    read as False: nothing in a key is one.
    """
    try:
        value = json.loads(
            _without_depths(document),
            object_pairs_hook=_object,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_number,
        )
    except ValueError:
        return None
    listed = value.get("keys") if isinstance(value, dict) else None
    return listed if isinstance(listed, list) else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | None:
    members = dict(pairs)
    return members if len(members) == len(pairs) else None


def _number(_text: str) -> bool:
    return False


def _without_depths(document: bytes) -> bytes:
    """Put null in the place of what is nested too deep: a reader would fail on all of it."""
    kept: list[bytes] = []
    depth = at = 0
    for token in _TOKEN.finditer(document):
        if token[0] in b"[{":
            depth += 1
            if depth == MAX_DEPTH:
                kept.append(document[at : token.start()] + b"null")
        elif token[0] in b"]}":
            if depth == MAX_DEPTH:
                at = token.end()
            depth -= 1
    return b"".join(kept) + document[at:]
