"""The scenarios of ``python -m benches`` under pytest-benchmark, one test per contestant."""

from typing import Any

import pytest
from benches.catalogue import FULL, QUICK, catalogue
from benches.data import Datasets
from benches.measuring import Contestant, Scenario, run_round


class ObservedTime:
    """A clock that moves by what a round says it took: some take their time in another process, or per call."""

    def __init__(self) -> None:
        self._now = 0.0

    def read(self) -> float:
        """Return the time, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every contestant of every scenario that measures time."""
    scale = QUICK if metafunc.config.getoption("--quick") else FULL
    cases = []
    for scenario in catalogue(scale):
        if scenario.unit == "MiB":
            continue
        for contestant in scenario.contestants:
            clock = ObservedTime()
            mark = pytest.mark.benchmark(group=f"{scenario.letter}: {scenario.title}", timer=clock.read)
            cases.append(pytest.param(scenario, contestant, clock, id=contestant.name, marks=mark))
    metafunc.parametrize(("scenario", "contestant", "clock"), cases)


def test_benchmark(
    benchmark: Any, data: Datasets, scenario: Scenario, contestant: Contestant, clock: ObservedTime
) -> None:
    """Run a contestant's rounds; each counts with the scenario's first summary of its observations."""
    summarise = next(iter(scenario.summaries.values()))
    with contestant.open(data) as sampler:
        benchmark.pedantic(
            lambda: clock.advance(summarise(run_round(sampler))),
            rounds=scenario.rounds,
            warmup_rounds=scenario.warm_up_rounds,
        )
