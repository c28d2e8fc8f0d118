"""(f) Resident memory that opening and verifying a large ledger adds, against the plain Python loop's."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benches.data import Datasets
from benches.measuring import Baseline, Contestant, Sampler, Scenario, Target
from benches.scan import REPOSITORY


def scenario(entries: int) -> Scenario:
    """Return the comparison; each round is a process of its own."""
    return Scenario(
        letter="f",
        title=f"memory to open and verify {entries:,} entries",
        unit="MiB",
        ours=Contestant("nucleus", partial(_resident, entries=entries, way="nucleus")),
        baselines=(
            Baseline(
                Contestant("sqlite3 + hashlib loop", partial(_resident, entries=entries, way="python-loop")),
                Target("value", 128 * 2**20),
            ),
        ),
        rounds=5,
        warm_up_rounds=0,
    )


@contextmanager
def _resident(data: Datasets, *, entries: int, way: str) -> Iterator[Sampler]:
    command = [sys.executable, "-m", "benches.resident", way, str(data.ledger(entries, "random").absolute())]

    def sample() -> list[float]:
        child = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
        return [float(child.stdout)]

    yield sample
