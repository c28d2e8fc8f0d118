"""What a refusal's message must say."""

import re


def names_path(message: str, path: str) -> bool:
    """Tell whether a message names exactly this JSON path, and not just a longer or a shorter one."""
    return re.search(rf"(?<![\w$]){re.escape(path)}(?!\w|\[|\.\w)", message) is not None


def names_any_path(message: str, paths: list[str]) -> bool:
    """Tell whether a message names one of these JSON paths."""
    return any(names_path(message, path) for path in paths)
