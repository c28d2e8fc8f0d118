"""One stage of a scenario, with ``recorder.c`` preloaded: ``python -m tests.powercut.child SCENARIO STAGE LEDGER``."""

import sys
from pathlib import Path

from tests.powercut.marks import Marks
from tests.powercut.scenarios import HELPERS, SCENARIOS


def main(name: str, stage: str, path: str) -> None:
    """Run it."""
    (SCENARIOS | HELPERS)[name].stages[int(stage)](Path(path), Marks())


if __name__ == "__main__":
    main(*sys.argv[1:])
