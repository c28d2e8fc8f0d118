"""Prints how many bytes of resident memory opening and verifying a ledger adds.

``python -m benches.resident WAY PATH``: a process of its own, because the peak of one that has done other things
before says nothing. Linux only.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benches.ledgers import open_ledger
from benches.scan import python_loop


def _open_and_verify(path: Path) -> None:
    open_ledger(path, verify_on_open=True).close()


WAYS: Mapping[str, Callable[[Path], object]] = {"nucleus": _open_and_verify, "python-loop": python_loop}


def added_peak_bytes(work: Callable[[Path], object], path: Path) -> int:
    """Return by how much the peak of resident memory during ``work`` exceeds what is resident before it."""
    # Writing 5 resets the peak to what is resident now (proc(5), clear_refs).
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    work(path)
    return _peak_bytes() - before


def _peak_bytes() -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("/proc/self/status has no VmHWM")
    return int(found[1]) * 1024


if __name__ == "__main__":
    print(added_peak_bytes(WAYS[sys.argv[1]], Path(sys.argv[2])))
