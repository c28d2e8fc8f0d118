"""The other side of ``other_sqlite.py``: a process with another SQLite library that edits ledger files."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

Value = None | int | float | str | bytes


class Stranger:
    """A running ``other_sqlite.py``; every call opens the file, works on it and closes it again."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("other_sqlite.py")
        # -I: nothing of this project can be imported there.
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Stranger":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def _ask(self, path: Path, **command: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"path": str(path), **command}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer

    def edit(self, path: Path, *statements: str, lax: bool = False) -> None:
        """Change rows behind the triggers' back; ``lax`` stores any value in any column."""
        assert self._ask(path, edit=statements, lax=lax)["changes"] > 0, "the edit changed no row"

    def script(self, path: Path, *statements: str) -> None:
        """Run statements, with a schema that can be written."""
        self._ask(path, script=statements)

    def reindex(self, path: Path, name: str, false_sql: str) -> None:
        """Fill an index with what ``false_sql`` says and keep its own declaration."""
        self._ask(path, reindex=name, **{"as": false_sql})

    def query(self, path: Path, sql: str) -> list[list[Any]]:
        """Return the rows of a query, blobs as bytes."""
        rows = self._ask(path, query=sql)["rows"]
        return [[bytes.fromhex(v["blob"]) if isinstance(v, dict) else v for v in row] for row in rows]


def literal(value: Value) -> str:
    """Return a value as an SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return f"CAST(x'{value.encode('utf-8').hex()}' AS TEXT)"
    return repr(value)
