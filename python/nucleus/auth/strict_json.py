"""The JSON of a token, read more strictly than :mod:`json` reads it."""

from __future__ import annotations

import json
from typing import Any

from nucleus._core import canonicalize_json
from nucleus.errors import InvalidRecordError


def strict_object(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object in ``text``; None when it is not one.

    Refused besides what is no JSON: duplicate keys (two readers could see two tokens), NaN and infinities, integers
    beyond ±(2^53-1), lone surrogates, what is not UTF-8, and nesting deeper than 128.
    """
    try:
        value = json.loads(canonicalize_json(text))
    except InvalidRecordError:
        return None
    return value if isinstance(value, dict) else None
