"""Runs the benchmarks and prints their table: ``python -m benches``."""

import json
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import click
from benches.catalogue import FULL, QUICK, catalogue
from benches.data import Datasets
from benches.measuring import Figure, Scenario, run
from benches.report import as_json, machine, table
from rich.console import Console

from nucleus._core import BUILD_PROFILE

# A table that is piped into a file has no terminal to take its width from.
_WIDTH = 190


@click.command()
@click.option("--quick", is_flag=True, help="100,000 entries instead of a million, fewer repetitions.")
@click.option("--only", metavar="A,B,...", help="Run only these letters, e.g. a,c.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write every round here.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the ledgers here and use them again; a temporary directory otherwise.",
)
def main(quick: bool, only: str | None, json_path: Path | None, data: Path | None) -> None:
    """Measure Nucleus against its baselines, in turns, in one run."""
    if BUILD_PROFILE != "release":
        raise click.ClickException("nucleus is built without optimisation; build it with `maturin develop --release`")
    progress = Console(stderr=True)
    chosen = _chosen(catalogue(QUICK if quick else FULL), only)
    with nullcontext(data) if data else tempfile.TemporaryDirectory(prefix="nucleus-benches-") as directory:
        figures = _run_all(chosen, Datasets(Path(directory), progress.print), progress.print)
    Console(width=_WIDTH).print(table(figures))
    if json_path:
        json_path.write_text(json.dumps({"machine": machine(), "figures": list(map(as_json, figures))}, indent=1))


def _chosen(scenarios: list[Scenario], only: str | None) -> list[Scenario]:
    if only is None:
        return scenarios
    letters = set(only.split(","))
    if unknown := letters - {scenario.letter for scenario in scenarios}:
        raise click.BadParameter(f"no such benchmark: {', '.join(sorted(unknown))}", param_hint="--only")
    return [scenario for scenario in scenarios if scenario.letter in letters]


def _run_all(scenarios: list[Scenario], data: Datasets, say: Callable[[str], None]) -> list[Figure]:
    figures = []
    for scenario in scenarios:
        say(f"{scenario.letter}  {scenario.title}")
        figures += run(scenario, data)
    return figures


if __name__ == "__main__":
    main()
