"""The examples on modules run and show what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "module_handles.py",
            [
                "ticket-1 belongs to oid:onoal:user:bob",
                "refused: module `asset` refused record `ticket-1`: only its current owner may transfer an asset",
                "bob holds 375 of 500",
                "age-1 is revoked",
                "the app may read: False",
            ],
        ),
        ("custom_module.py", ["because of: ValueError('travel has 10 left, not 20')"]),
    ],
)
def test_an_example_runs(tmp_path: Path, name: str, lines: list[str]) -> None:
    command = [sys.executable, str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(lines) <= set(done.stdout.splitlines())
