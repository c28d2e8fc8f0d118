"""Reading the vector files of tests/vectors; their README describes them."""

import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent.parent / "vectors"


def load(name: str) -> dict[str, Any]:
    """Return one vector file."""
    vectors: dict[str, Any] = json.loads((VECTORS / name).read_text(encoding="ascii"))
    return vectors


def refused_input(row: dict[str, Any]) -> str | bytes:
    """Return the input of one row of ``refused.json``."""
    text: str | None = row.get("text")
    return bytes.fromhex(row["bytes"]) if text is None else text
