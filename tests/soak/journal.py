"""What a worker did and was told, kept outside of the ledger: one file for each life of a worker, one JSON line a fact.

A line is written with one system call, so that threads do not mix theirs, and a killed worker leaves at most its last
line incomplete. An attempt is written down before it is made, and what became of it before the worker goes on.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BEGUN = "begun"
DONE = "done"
"""Acknowledged: it is durable and stays."""
BUSY = "busy"
"""Another process held the lock for the whole of the timeout; nothing was written."""
SUPERSEDED = "superseded"
"""An export beside a redaction: to be made again, as documented."""
ALARM = "alarm"


class Journal:
    """The writing side, for all threads of one worker."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)

    def write(self, attempt: str, state: str, **facts: object) -> None:
        """Write one fact about an attempt; it is out of the process when this returns."""
        line = json.dumps({"attempt": attempt, "state": state, **facts}).encode() + b"\n"
        written = os.write(self._descriptor, line)
        assert written == len(line), "the disk is full"


@dataclass
class Attempt:
    """All that a worker wrote down about one thing that it tried.

    Attributes:
        name: the worker, its life, its thread and a number; part of the ids of the records it appends.
        kind: name of the operation.
        state: the last one; ``BEGUN`` where the worker was killed.
        facts: what the operation said, from all lines.
    """

    name: str
    kind: str
    state: str = BEGUN
    facts: dict[str, Any] = field(default_factory=dict)


def read_attempts(paths: list[Path]) -> Iterator[Attempt]:
    """Read journals whose workers have ended."""
    for path in paths:
        attempts: dict[str, Attempt] = {}
        *lines, _ = path.read_bytes().split(b"\n")
        for line in lines:
            facts = json.loads(line)
            name, state = facts.pop("attempt"), facts.pop("state")
            attempt = attempts.setdefault(name, Attempt(name, facts.get("kind", "")))
            attempt.state = state
            attempt.facts |= facts
        yield from attempts.values()
