"""Documents lead to what is there, and the first one stays short."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("benches", "docs", "examples", "rust", "tests")
_DOCUMENTS = sorted([*_ROOT.glob("*.md"), *(path for folder in _FOLDERS for path in (_ROOT / folder).rglob("*.md"))])
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    """Return how a document is called in messages."""
    return str(path.relative_to(_ROOT))


def anchors(document: Path) -> set[str]:
    """Return what the headings of a document are linked to by."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", _DOCUMENTS, ids=name_of)
def test_relative_links_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = document.parent / unquote(target) if target else document
        assert path.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(path), f"{link}: no such heading"


@pytest.mark.parametrize("document", _DOCUMENTS, ids=name_of)
def test_tests_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    for path in re.findall(r"`(tests/[\w./]+)`", text):
        assert (_ROOT / path).exists(), path
    files = {path.name: path for path in _ROOT.glob("tests/**/test_*.py")}
    files |= {path.name: path for path in _ROOT.glob("benches/test_*.py")}
    for name in re.findall(r"\btest_\w+\.py\b", text):
        assert name in files, name
    functions = {
        found for path in files.values() for found in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    for name in re.findall(r"`(test_\w+)`", text):
        assert name in functions, name


def test_every_decision_is_in_the_index() -> None:
    decisions = _ROOT / "docs/decisions"
    listed = re.findall(r"^- \[[^]]+\]\(([\w-]+\.md)\)", (decisions / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in decisions.glob("*.md") if path.name != "README.md")


def test_the_architecture_is_read_in_five_minutes() -> None:
    assert len((_ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 150
