"""The example on access control runs and shows what it says."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "access_control.py"

SHOWN = [
    "alice may do everything with her piano",
    "the auditor sees no piano",
    "the auditor sees the piano",
    "alice may no longer even read it",
    "the auditor's access has ended",
    "why not: oid:onoal:org:auditor had `read` on asset `piano-1` until entry 3, by oid:onoal:user:bob",
    "after entry 0 the auditor may not read",
    "after entry 1 the auditor may read",
    "after entry 2 the auditor may read",
    "after entry 3 the auditor may not read",
    "  oid:onoal:org:auditor: read (grant), entry 1 by oid:onoal:user:alice, until entry 3 by oid:onoal:user:bob",
    "and it all adds up",
]


def test_example_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in SHOWN] == SHOWN
    refusals = [line for line in lines if line.startswith("refused: ")]
    assert [line.split()[1] for line in refusals] == ["oid:onoal:org:auditor", "oid:onoal:user:mallory", "nobody"]
    assert list(tmp_path.iterdir()) == []
