"""What the figures look like: a table for people, JSON for programs."""

import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from benches.measuring import SCALE, Figure, Unit
from rich.table import Table

from nucleus._core import SQLITE_VERSION


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "nucleus": version("nucleus-ledger"),
        "sqlite_of_nucleus": SQLITE_VERSION,
        "sqlite_of_python": sqlite3.sqlite_version,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
    }


def table(figures: Sequence[Figure]) -> Table:
    """Return one row per figure and baseline."""
    shown = Table(title="Nucleus benchmarks: median (min to max) over the rounds")
    shown.add_column("")
    shown.add_column("figure")
    shown.add_column("nucleus", justify="right")
    shown.add_column("baseline")
    shown.add_column("its time or size", justify="right")
    shown.add_column("ratio", justify="right")
    shown.add_column("target")
    shown.add_column("")
    last = None
    for figure in figures:
        heading = _heading(figure)
        new = heading != last
        if last is not None and new and last[0] != heading[0]:
            shown.add_section()
        shown.add_row(*(heading if new else ("", "", "")), *_comparison(figure))
        last = heading
    return shown


def _heading(figure: Figure) -> tuple[str, str, str]:
    scenario = figure.scenario
    title = scenario.title if len(scenario.summaries) == 1 else f"{scenario.title}: {figure.summary}"
    return scenario.letter, title, _spread(figure.ours, scenario.unit)


def _comparison(figure: Figure) -> tuple[str, str, str, str, str]:
    return (
        figure.baseline_name,
        _spread(figure.baseline, figure.scenario.unit),
        f"{figure.ratio:.2f}",
        _target(figure),
        {None: "", True: "[green]met[/]", False: "[bold red]missed[/]"}[figure.met],
    )


def _spread(values: Sequence[float], unit: Unit) -> str:
    middle, smallest, largest = (
        _digits(value * SCALE[unit]) for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} {unit} ({smallest} to {largest})"


def _digits(value: float) -> str:
    """Return a number with three significant digits, or all those before the point."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _target(figure: Figure) -> str:
    target = figure.target
    if target is None:
        return ""
    if target.of == "value":
        return f"at most {target.limit * SCALE[figure.scenario.unit]:g} {figure.scenario.unit}"
    if target.of == "added":
        scale, unit = SCALE[figure.scenario.unit], figure.scenario.unit
        return f"adds at most {target.limit * scale:g} {unit} (adds {_digits(figure.added * scale)})"
    if target.of == "speedup":
        return f"at least {target.limit:g} times as fast (is {1 / figure.ratio:.1f})"
    return f"ratio at most {target.limit:g}"


def as_json(figure: Figure) -> dict[str, Any]:
    """Return a figure with the value of every round, in seconds or bytes."""
    return {
        "letter": figure.scenario.letter,
        "title": figure.scenario.title,
        "summary": figure.summary,
        "unit": "bytes" if figure.scenario.unit == "MiB" else "seconds",
        "nucleus": list(figure.ours),
        "baseline": {"name": figure.baseline_name, "values": list(figure.baseline)},
        "ratio": figure.ratio,
        "target": None if figure.target is None else {"of": figure.target.of, "limit": figure.target.limit},
        "met": figure.met,
    }
