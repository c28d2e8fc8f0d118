"""Which paths need no token."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from nucleus.errors import ConfigError

_ENCODED_DELIMITER = re.compile(rb"%(?:2[ef5]|5c|[01][0-9a-f]|7f)", re.IGNORECASE)
# U+FFFD is what a server makes of bytes that are not UTF-8.
_NEVER_IN_PATH = frozenset("\\%;?#\ufffd")


class PublicPaths:
    """A set of public paths.

    Args:
        patterns: exact paths such as ``/health``, and prefixes such as ``/docs/*``: everything below ``/docs/``, not
            ``/docs`` itself. A path counts as the server hands it on, mount point included.

    Raises:
        ConfigError: a pattern is not a plain path, so that it would never match or match too much.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        if isinstance(patterns, str):
            raise ConfigError("public_paths is a list of paths, not one text")
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

    def match(self, path: str, raw_path: bytes | None = None) -> bool:
        """Whether a path is public.

        Anything that could mean another path to somebody is not: what does not normalise to itself, and what came with
        an encoded slash, backslash, dot, percent sign or control character.

        Args:
            path: the decoded path.
            raw_path: the path as it came, where the server tells.
        """
        if path not in self._exact and not path.startswith(self._prefixes):
            return False
        return is_normal(path) and (raw_path is None or not _ENCODED_DELIMITER.search(raw_path.partition(b"?")[0]))


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
