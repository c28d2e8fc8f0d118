"""Canonical JSON (RFC 8785), written from the RFC's text for clarity, not speed."""

import json
import re

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 128

_SHORT_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_SHORTEST_DOUBLE = re.compile(r"(\d+)(?:\.(\d+))?(?:e([+-]\d+))?")


class RefusedError(ValueError):
    """A value that has no canonical form; the message starts with its JSON path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


def canonicalize(value: object, path: str = "$", *, max_depth: int = MAX_DEPTH) -> bytes:
    """Return the RFC 8785 form of a value made of the built-in JSON types, as UTF-8.

    Raises:
        RefusedError: the value has no canonical form.
    """
    return _serialize(value, path, max_depth).encode("utf-8")


def _serialize(value: object, path: str, depth_left: int) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise RefusedError(path, "integer beyond 2^53-1")
        return str(value)
    if isinstance(value, float):
        return format_number(value, path)
    if isinstance(value, str):
        return format_string(value, path)
    if depth_left == 0:
        raise RefusedError(path, "nested too deep")
    if isinstance(value, list | tuple):
        return "[" + ",".join(_serialize(item, f"{path}[{i}]", depth_left - 1) for i, item in enumerate(value)) + "]"
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise RefusedError(path, f"key {key!r} is not a string")
            format_string(key, path)
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))  # RFC 8785 section 3.2.3
        members = (f"{format_string(k, path)}:{_serialize(value[k], path + step(k), depth_left - 1)}" for k in keys)
        return "{" + ",".join(members) + "}"
    raise RefusedError(path, f"{type(value).__name__} is not a JSON type")


def step(key: str) -> str:
    """Return the step of a JSON path that leads to an object's member."""
    return f".{key}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def format_string(text: str, path: str = "$") -> str:
    """Return a JSON string literal as RFC 8785 section 3.2.2.2 writes it."""
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise RefusedError(path, "lone surrogate")
    return '"' + "".join(_SHORT_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


def format_number(value: float, path: str = "$") -> str:
    """Return a double as ECMAScript's Number::toString writes it (ECMA-262, RFC 8785 section 3.2.2.3).

    Python's repr gives the shortest digits that read back as the same double, which are the digits ECMAScript asks
    for; only their layout differs. In the names of ECMA-262: k digits, the decimal point after the n-th of them.
    """
    if value == 0:
        return "0"
    match = _SHORTEST_DOUBLE.fullmatch(repr(abs(value)))
    if match is None:
        raise RefusedError(path, "not a finite number")
    whole, fraction, exponent = match[1], match[2] or "", int(match[3] or 0)
    n = len((whole + fraction).lstrip("0")) - len(fraction) + exponent
    digits = (whole + fraction).strip("0")
    k, sign = len(digits), "-" if value < 0 else ""
    if k <= n <= 21:
        return sign + digits + "0" * (n - k)
    if 0 < n <= 21:
        return f"{sign}{digits[:n]}.{digits[n:]}"
    if -6 < n <= 0:
        return f"{sign}0.{'0' * -n}{digits}"
    return f"{sign}{digits[0]}{'.' if k > 1 else ''}{digits[1:]}e{n - 1:+d}"
