"""The README's Python examples run as they are printed, in order, in an empty directory."""

import re
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def test_readme_examples_run(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", (_ROOT / "README.md").read_text(), re.DOTALL)
    assert len(examples) == 4
    for example in examples:
        subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=tmp_path, check=True, timeout=120)


def test_commands_of_the_readme_exist() -> None:
    readme = (_ROOT / "README.md").read_text()
    for script in ("scripts/demo.sh", "scripts/test.sh"):
        assert script in readme
        assert (_ROOT / script).stat().st_mode & 0o111


def test_wheel_exports_nothing_of_sqlite() -> None:
    """Symbols of the bundled SQLite must not mix with those of another copy in the process."""
    import nucleus._core

    assert nucleus._core.__file__ is not None
    names = subprocess.run(
        ["nm", "-D", "--defined-only", nucleus._core.__file__], capture_output=True, text=True, check=True
    )
    assert "PyInit__core" in names.stdout
    assert "sqlite3_" not in names.stdout
