"""Which modules of a Python package import which, as their sources say."""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

Graph = dict[str, set[str]]


def python_graph(package: Path) -> Graph:
    """Return what each module of a package imports of it: at its top, in its functions, for its types alone.

    A compiled module is one that imports nothing; what its stub imports, :func:`named_in_stub` tells.
    """
    files = {_name(package, path): path for path in package.rglob("*.py")}
    stubs = {_name(package, path) for path in package.rglob("*.pyi")}
    graph = {name: set(_imported(name, path, files.keys() | stubs)) - {name} for name, path in files.items()}
    return graph | {name: set() for name in stubs}


def named_in_stub(package: Path, stub: Path) -> set[str]:
    """Return the modules of a package whose classes a compiled module takes or answers."""
    return set(_imported(_name(package, stub), stub, {_name(package, path) for path in package.rglob("*.py")}))


def _name(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, path: Path, known: Collection[str]) -> Iterator[str]:
    inside = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name in known)
            case ast.ImportFrom(module=module, names=names, level=level):
                parts = inside.split(".") if level else []
                source = ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
                for each in names:
                    # What is imported is a module, or stands in one.
                    found = [where for where in (f"{source}.{each.name}", source) if where in known]
                    yield from found[:1]
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"), args=[first, *_]):
                if isinstance(first, ast.Constant) and first.value in known:
                    yield str(first.value)
