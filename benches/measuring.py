"""What a benchmark is made of, and how its rounds are run: ours, baseline, ours, baseline, ..."""

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal, ParamSpec

from benches.data import Datasets

Sampler = Callable[[], Sequence[float]]
"""Runs one round and returns what it observed: seconds for each repetition, or bytes where memory is measured."""

P = ParamSpec("P")
Unit = Literal["us", "ms", "MiB"]
SCALE: Mapping[Unit, float] = {"us": 1e6, "ms": 1e3, "MiB": 1 / 2**20}


@dataclass(frozen=True)
class Contestant:
    """One way to do the work; ``open`` prepares what its rounds need, outside the measurement."""

    name: str
    open: Callable[[Datasets], AbstractContextManager[Sampler]]


@dataclass(frozen=True)
class Target:
    """What a figure has to reach.

    ``ratio``: ours / baseline, at most. ``speedup``: baseline / ours, at least. ``value``: ours alone, in seconds or
    bytes, at most. ``added``: ours - baseline, in seconds or bytes, at most.
    """

    of: Literal["ratio", "speedup", "value", "added"]
    limit: float

    def met(self, figure: "Figure") -> bool:
        """Tell whether a figure reaches the target."""
        reached = {
            "ratio": figure.ratio,
            "speedup": 1 / figure.ratio,
            "value": statistics.median(figure.ours),
            "added": figure.added,
        }[self.of]
        return reached >= self.limit if self.of == "speedup" else reached <= self.limit


@dataclass(frozen=True)
class Baseline:
    """What ours is compared with, and what the comparison has to show; no target is for context."""

    contestant: Contestant
    target: Target | None = None


@dataclass(frozen=True)
class Scenario:
    """One comparison of ours with its baselines; every summary of a round's observations is a figure of its own."""

    letter: str
    title: str
    unit: Unit
    ours: Contestant
    baselines: Sequence[Baseline]
    rounds: int = 7
    warm_up_rounds: int = 1
    summaries: Mapping[str, Callable[[Sequence[float]], float]] = field(
        default_factory=lambda: {"median": statistics.median}
    )

    def __post_init__(self) -> None:
        if self.rounds < 5:
            raise ValueError(f"{self.title}: {self.rounds} rounds; a figure is the median of at least five")

    @property
    def contestants(self) -> list[Contestant]:
        """Ours, then the baselines, in the order in which they take turns."""
        return [self.ours, *(baseline.contestant for baseline in self.baselines)]


@dataclass(frozen=True)
class Figure:
    """Ours against one baseline: one value per round each, in seconds or bytes."""

    scenario: Scenario
    summary: str
    ours: Sequence[float]
    baseline_name: str
    baseline: Sequence[float]
    target: Target | None

    @property
    def ratio(self) -> float:
        """Median over the rounds of ours / baseline: neighbours in time, so that a drifting machine cancels out."""
        return statistics.median(ours / other for ours, other in zip(self.ours, self.baseline, strict=True))

    @property
    def added(self) -> float:
        """Median over the rounds of ours - baseline, in seconds or bytes."""
        return statistics.median(ours - other for ours, other in zip(self.ours, self.baseline, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.target is None else self.target.met(self)


def seconds(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """Return how long one call takes."""
    started = perf_counter()
    work(*args, **kwargs)
    return perf_counter() - started


def run_round(sampler: Sampler) -> Sequence[float]:
    """Run one round with Python's garbage collector out of the way."""
    gc.collect()
    gc.disable()
    try:
        return sampler()
    finally:
        gc.enable()


def run(scenario: Scenario, data: Datasets) -> list[Figure]:
    """Run a scenario's rounds, the contestants taking turns, and return its figures."""
    observed: dict[str, list[Sequence[float]]] = {contestant.name: [] for contestant in scenario.contestants}
    with ExitStack() as stack:
        samplers = {each.name: stack.enter_context(each.open(data)) for each in scenario.contestants}
        for _ in range(scenario.warm_up_rounds):
            for sampler in samplers.values():
                run_round(sampler)
        for _ in range(scenario.rounds):
            for name, sampler in samplers.items():
                observed[name].append(run_round(sampler))
    return [
        Figure(
            scenario=scenario,
            summary=summary,
            ours=[summarise(observations) for observations in observed[scenario.ours.name]],
            baseline_name=baseline.contestant.name,
            baseline=[summarise(observations) for observations in observed[baseline.contestant.name]],
            target=baseline.target,
        )
        for summary, summarise in scenario.summaries.items()
        for baseline in scenario.baselines
    ]
