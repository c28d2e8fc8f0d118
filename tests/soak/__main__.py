"""Runs a soak and prints its figures: ``python -m tests.soak --seconds 600 --seed 7``."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.soak.soaking import soak


def main() -> int:
    """Return 1 where anything was lost or called wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=7)
    # Not /tmp, which may be memory.
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="a directory on a real disk")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nucleus-soak-", dir=arguments.directory) as directory:
        figures = soak(Path(directory), arguments.seconds, arguments.seed)
    print(figures)
    return 1 if figures.bad else 0


if __name__ == "__main__":
    sys.exit(main())
