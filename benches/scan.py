"""The two baselines of verification: a bare scan in Rust, and the loop a Python programmer would write."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

from benches import plain

REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class BareScan:
    """One repetition of the bare scan, in seconds: from opening to closing the file, and the SELECT alone."""

    total: float
    select: float
    rows: int


@cache
def bare_scan_binary() -> Path:
    """Build ``bare_scan`` with optimisation, once, and return where cargo put it."""
    command = ["cargo", "build", "--release", "--package=nucleus-sqlite", "--example=bare_scan"]
    build = subprocess.run(
        [*command, "--message-format=json-render-diagnostics"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for message in map(json.loads, build.stdout.splitlines()):
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "bare_scan":
            return Path(message["executable"])
    raise FileNotFoundError(f"{' '.join(command)} in {REPOSITORY} reported no executable")


def bare_scan(path: Path, repeats: int) -> Iterator[BareScan]:
    """Scan a ledger ``repeats`` times in a process of its own; the times are taken inside it."""
    command = [str(bare_scan_binary()), str(path), str(repeats)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    for line in lines:
        total_ns, select_ns, rows = map(int, line.split())
        yield BareScan(total_ns / 1e9, select_ns / 1e9, rows)


def python_loop(path: Path) -> int:
    """Read a ledger row by row, hash every column and check every link; return the number of rows.

    Raises:
        ValueError: a link does not hold.
    """
    previous, count = None, 0
    with closing(plain.connect_read_only(path)) as connection:
        for row in connection.execute(f"SELECT {plain.COLUMNS} FROM entries ORDER BY seq"):
            seq, version, entry_hash, prev_hash, record_id, stream, timestamp, payload, salt, payload_hash, meta = row
            if prev_hash != previous:
                raise ValueError(f"{path}: the link to entry {seq} is broken")
            hasher = blake2b(prev_hash or b"", digest_size=32)
            hasher.update(f"{seq},{version},{record_id},{stream},{timestamp},{payload},{meta}".encode())
            hasher.update(salt or payload_hash)
            hasher.digest()
            previous = entry_hash
            count += 1
    return count
