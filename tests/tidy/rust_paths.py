"""Which modules of a crate use which, as the paths in their sources say."""

import re
from collections.abc import Iterator
from pathlib import Path

Graph = dict[str, set[str]]
Module = tuple[str, ...]
"""The path of a module below the root of its crate, which is the empty one."""

_ROOT = "lib"
_BLANKED = re.compile(r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.[^\']*|[^\'\\])\'', re.DOTALL)
"""Comments, strings and characters, of which no path is a dependency."""
_TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod\s+\w+\s*([{;])")
_INLINE_MODULE = re.compile(r"\bmod\s+(\w+)\s*\{")
_USE = re.compile(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
_PATH = re.compile(r"(?<![\w:$])((?:crate|super|self)(?:::\w+)+)")


def rust_graph(crate: Path, *, depth: int = 1) -> Graph:
    """Return which modules each module of a crate uses; modules further down than ``depth`` count as their parents.

    What a crate's root makes public of its modules is a name for it and no use of it. Tests are left out.
    """
    source = crate / "src"
    files = {_module(source, path): _code(path) for path in source.rglob("*.rs") if path.stem != "tests"}
    modules = {parent[:end] for parent in files for end in range(len(parent) + 1)}
    renamed = _renamed(files.get((), ""), modules)
    graph: Graph = {_named(module[:depth]): set() for module in modules}
    for module, code in files.items():
        for path, public in _paths(module, code):
            if public and not module:
                continue
            used = _resolved(path, modules, renamed)
            graph[_named(module[:depth])].add(_named(used[:depth]))
    return {name: used - {name} for name, used in graph.items()}


def _named(module: Module) -> str:
    return "::".join(module) or _ROOT


def _module(source: Path, path: Path) -> Module:
    parts = path.relative_to(source).with_suffix("").parts
    return parts[:-1] if parts[-1] in {"lib", "mod"} else parts


def _code(path: Path) -> str:
    """Return a source without comments, strings and tests."""
    code = _BLANKED.sub(" ", path.read_text(encoding="utf-8"))
    while found := _TEST_MODULE.search(code):
        end = _block_end(code, found.end()) if found.group(1) == "{" else found.end()
        code = code[: found.start()] + code[end:]
    return code


def _block_end(code: str, start: int) -> int:
    """Return where the block ends of which ``start`` is behind the opening brace."""
    open_braces = 1
    for position in range(start, len(code)):
        open_braces += {"{": 1, "}": -1}.get(code[position], 0)
        if open_braces == 0:
            return position + 1
    return len(code)


def _paths(module: Module, code: str) -> Iterator[tuple[Module, bool]]:
    """Yield every path into the crate, absolute, and whether it is made public there."""
    inline = [(found.start(), _block_end(code, found.end())) for found in _INLINE_MODULE.finditer(code)]

    def absolute(path: str, position: int) -> Module | None:
        first, *rest = path.split("::")
        if first == "crate":
            return tuple(rest)
        # Inside of a module that stands in the file, the file's own is one further up.
        above = 0 - sum(start < position < end for start, end in inline)
        while first == "super":
            above += 1
            first, *rest = rest or [""]
        if first != "self":
            rest = [first, *rest]
        return (*module[: len(module) - above], *rest) if above > 0 else None

    for used in _USE.finditer(code):
        for path in _branches(re.sub(r"\s+as\s+\w+", "", used.group(2))):
            if (
                path.split("::")[0] in {"crate", "super", "self"}
                and (found := absolute(path, used.start())) is not None
            ):
                yield found, used.group(1) is not None
    for inner in _PATH.finditer(_USE.sub(lambda found: " " * len(found.group()), code)):
        if (found := absolute(inner.group(1), inner.start())) is not None:
            yield found, False


def _branches(tree: str) -> Iterator[str]:
    """Yield the paths of a tree of uses, ``a::{b, c::{d, e}}``."""
    tree = re.sub(r"\s+", "", tree)
    before, brace, behind = tree.partition("{")
    if not brace:
        yield tree
        return
    start = 0
    depth = 0
    inside = behind[: _block_end(behind, 0) - 1]
    for position, character in enumerate([*inside, ","]):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            if position > start:
                for branch in _branches(inside[start:position]):
                    yield (before + branch).removesuffix("::self")
            start = position + 1


def _renamed(root: str, modules: set[Module]) -> dict[str, Module]:
    """Return where the names are defined that the root makes public of its modules."""
    found = {}
    for used in _USE.finditer(root):
        for path in _branches(used.group(2)):
            parts = tuple(part for part in re.sub(r"\s*as\s*", "::", path).split("::") if part not in {"crate", "self"})
            if parts[:1] in modules:
                found[parts[-1]] = parts
    return found


def _resolved(path: Module, modules: set[Module], renamed: dict[str, Module]) -> Module:
    """Return the module that a path leads to."""
    if path[:1] not in modules and path and path[0] in renamed:
        path = renamed[path[0]]
    return next(path[:end] for end in range(len(path), -1, -1) if path[:end] in modules)
