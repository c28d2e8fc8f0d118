"""Modules depend on each other in one direction: there is no way from a module back to itself."""

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from tests.tidy.python_imports import Graph, named_in_stub, python_graph
from tests.tidy.rust_paths import rust_graph

_ROOT = Path(__file__).resolve().parents[2]
_CRATES = {"nucleus-core": 1, "nucleus-engine": 1, "nucleus-sqlite": 2, "nucleus-python": 1}
"""How deep modules are told apart: the folders of a storage hold parts of one thing, in whatever room they lie."""


def circle(graph: Graph) -> list[str]:
    """Return modules of which each depends on the one before and the first on the last; empty where there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_in_the_package() -> None:
    graph = python_graph(_ROOT / "python" / "nucleus")
    assert {"nucleus.backend", "nucleus.native"} <= graph["nucleus.opening"] | graph["nucleus.ledger"]
    assert circle(graph) == []


def test_what_the_compiled_core_answers_knows_nothing_of_it() -> None:
    package = _ROOT / "python" / "nucleus"
    named = named_in_stub(package, package / "_core.pyi")
    assert {"nucleus.figures", "nucleus.access.grants"} <= named
    graph = python_graph(package)
    assert [name for name in named if "nucleus._core" in graph[name]] == []


@pytest.mark.parametrize(("crate", "depth"), _CRATES.items())
def test_no_circle_in_a_crate(crate: str, depth: int) -> None:
    graph = rust_graph(_ROOT / "rust" / crate, depth=depth)
    assert len(graph) > 5
    assert any(graph.values())
    assert circle(graph) == []


def test_the_compiled_engine_is_known_in_one_place() -> None:
    """Everything above the backend speaks to any."""
    sources = {path.name: path.read_text() for path in (_ROOT / "python" / "nucleus").rglob("*.py")}
    assert [name for name, source in sources.items() if "Engine" in source] == ["native.py"]


PYTHON_CIRCLES = {
    "at the top": ("from p.b import x", "import p.a"),
    "in a function": ("import p.b", "def f():\n    from p import a"),
    "for types": ("from p import b", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import y"),
    "relative": ("from . import b", "from .a import y"),
    "by a function": ("import p.b", "import importlib\nimportlib.import_module('p.a')"),
}


@pytest.mark.parametrize("sources", PYTHON_CIRCLES.values(), ids=list(PYTHON_CIRCLES))
def test_a_circle_of_imports_is_found(tmp_path: Path, sources: tuple[str, str]) -> None:
    package = tmp_path / "p"
    package.mkdir()
    (package / "__init__.py").write_text("from p.a import y\n")
    (package / "a.py").write_text(sources[0])
    (package / "b.py").write_text("import os")
    assert circle(python_graph(package)) == []
    (package / "b.py").write_text(sources[1])
    assert set(circle(python_graph(package))) == {"p.a", "p.b"}


RUST_CIRCLES = {
    "use": "use crate::a::X;",
    "tree": "use crate::{c::{Y, Z}, a::{self, X}};",
    "path": "fn f() -> crate::a::X { todo!() }",
    "super": "use super::a::X;",
    "inline": "mod inner { use super::super::a::X; }",
    "public": "pub(crate) use crate::a::X;",
    "renamed": "use crate::X as Y;",
}


@pytest.mark.parametrize("source", RUST_CIRCLES.values(), ids=list(RUST_CIRCLES))
def test_a_circle_of_paths_is_found(tmp_path: Path, source: str) -> None:
    (tmp_path / "src" / "b").mkdir(parents=True)
    (tmp_path / "src" / "lib.rs").write_text("mod a; mod b; mod c;\npub use a::X;\npub use b::Y;\n")
    (tmp_path / "src" / "a.rs").write_text("use crate::b::deep::Thing;\npub struct X;")
    (tmp_path / "src" / "c.rs").write_text("")
    innocent = '// use crate::a::X;\nfn f() { let _ = "crate::a::X"; }\n#[cfg(test)] mod tests { use crate::a::X; }'
    (tmp_path / "src" / "b" / "mod.rs").write_text(f"mod deep;\n{innocent}\nmod inner {{ use super::deep; }}")
    (tmp_path / "src" / "b" / "deep.rs").write_text("use super::Other;")
    assert circle(rust_graph(tmp_path)) == []
    with (tmp_path / "src" / "b" / "mod.rs").open("a") as file:
        file.write("\n" + source)
    assert set(circle(rust_graph(tmp_path))) == {"a", "b"}


def test_depth_shows_circles_inside_a_folder(tmp_path: Path) -> None:
    (tmp_path / "src" / "b").mkdir(parents=True)
    (tmp_path / "src" / "lib.rs").write_text("mod b;")
    (tmp_path / "src" / "b" / "mod.rs").write_text("mod x; mod y;")
    (tmp_path / "src" / "b" / "x.rs").write_text("use super::y::Y;")
    (tmp_path / "src" / "b" / "y.rs").write_text("use crate::b::x::X;")
    assert circle(rust_graph(tmp_path)) == []
    assert set(circle(rust_graph(tmp_path, depth=2))) == {"b::x", "b::y"}
