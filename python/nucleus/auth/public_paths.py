"""Which paths need no token."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from nucleus.errors import ConfigError

_ENCODED_DELIMITER = re.compile(rb"%(?:2[ef5]|5c|[01][0-9a-f]|7f)", re.IGNORECASE)
# U+FFFD is what a server makes of bytes that are not UTF-8.
_NEVER_IN_PATH = frozenset("\\%;?#\ufffd")


class PublicPaths:
    """A set of public paths.

    Servers, mounts and proxies put a prefix before the path that an application routes on, and some servers let a
    client name it (daphne by ``Daphne-Root-Path``, gunicorn by ``SCRIPT_NAME``). So a path is public only where every
    reading of it is: with the prefix, without it, and as it came. An operator who has set a prefix says so with
    ``root_path``: that one prefix is then no part of a path.

    Args:
        patterns: exact paths such as ``/health``, and prefixes such as ``/docs/*``: everything below ``/docs/``, not
            ``/docs`` itself.
        root_path: the prefix below which the application is reached, such as ``/api``; patterns go without it.

    Raises:
        ConfigError: a pattern or ``root_path`` is not a plain path, so that it would never match or match too much.
    """

    def __init__(self, patterns: Iterable[str] = (), *, root_path: str = "") -> None:
        if isinstance(patterns, str):
            raise ConfigError("public_paths is a list of paths, not one text")
        if root_path and (root_path == "/" or not is_normal(root_path)):
            raise ConfigError(f"root_path {root_path!r}: write `/prefix`, without a slash at its end")
        exact: set[str] = set()
        prefixes: list[str] = []
        for pattern in patterns:
            base = pattern.removesuffix("/*")
            if not (base == "" and pattern == "/*") and (not is_normal(base) or "*" in base):
                raise ConfigError(
                    f"public path {pattern!r}: write `/exact` or `/prefix/*`, without dots or slashes more"
                )
            if base == pattern:
                exact.add(base)
            else:
                prefixes.append(f"{base}/")
        self._exact = frozenset(exact)
        self._prefixes = tuple(prefixes)
        self._root_path = root_path

    def match(
        self, path: str, raw_path: bytes | None = None, *, root_path: str = "", claimed_prefixes: Iterable[str] = ()
    ) -> bool:
        """Whether a path is public.

        Anything that could mean another path to somebody is not: what does not normalise to itself, and what came with
        an encoded slash, backslash, dot, percent sign or control character.

        Args:
            path: the decoded path.
            raw_path: the path as it came, where the server tells.
            root_path: the prefix that the server or a mount says is no part of the route: ``root_path`` of ASGI,
                ``SCRIPT_NAME`` of WSGI. Whether ``path`` holds it is up to the server: both are looked at.
            claimed_prefixes: prefixes that something behind this may take for ``root_path``: from header fields.
        """
        if not self._exact and not self._prefixes:
            return False
        came = {path}
        if raw_path is not None:
            raw = raw_path.partition(b"?")[0]
            if _ENCODED_DELIMITER.search(raw):
                return False
            came.add(unquote_to_bytes(raw).decode("utf-8", "surrogateescape"))
        prefixes = {prefix for prefix in claimed_prefixes if prefix}
        if not all(is_normal(prefix) for prefix in {*prefixes, *filter(None, [root_path])}):
            return False
        return all(
            self._is_public(reading)
            for each in came
            for reading in self._readings(each, root_path, frozenset(prefixes))
        )

    def _readings(self, path: str, root_path: str, claimed_prefixes: frozenset[str]) -> set[str]:
        """Return every path that an application may take this one for."""
        below = _below(path, root_path)
        readings = {below, *_cut(below, claimed_prefixes), *_cut(path, claimed_prefixes)}
        if root_path != self._root_path:
            # Nobody vouches for this prefix, or the one that was expected is not there.
            readings |= {path, root_path + below, _below(path, self._root_path), *_cut(path, {root_path} - {""})}
        return readings | {prefix + below for prefix in claimed_prefixes - {self._root_path}}

    def _is_public(self, path: str) -> bool:
        return (path in self._exact or path.startswith(self._prefixes)) and is_normal(path)


def _below(path: str, prefix: str) -> str:
    """Return ``path`` without ``prefix``; as it is where it is not below it."""
    return path[len(prefix) :] if prefix and f"{path}/".startswith(f"{prefix}/") else path


def _cut(path: str, prefixes: Iterable[str]) -> set[str]:
    """Return what is behind each of ``prefixes``, wherever it stands in ``path``: some frameworks look no closer."""
    return {path.partition(prefix)[2] for prefix in prefixes if prefix in path}


def is_normal(path: str) -> bool:
    """Whether a decoded path is absolute and has a single reading.

    No empty segment (so no ``//`` and no slash at the end), none that begins as ``.`` or ``..`` alone or ends in a dot,
    nothing invisible, nothing that Unicode's compatibility form (NFKC) would turn into something else.
    """
    if path == "/":
        return True
    if not path.startswith("/") or not path.isprintable() or not _NEVER_IN_PATH.isdisjoint(path):
        return False
    if any(not segment or segment.endswith((".", " ")) for segment in path[1:].split("/")):
        return False
    return path.isascii() or unicodedata.is_normalized("NFKC", path)
