"""Attack ledger files: ``python -m tests.tamper --images 100000 --seed 7``.

One image of a campaign again: ``python -m tests.tamper --seed 7 --replay 1234 --keep DIRECTORY``.
"""

import argparse
import shutil
import sys
from pathlib import Path

from tests.tamper.campaign import Plan, run, scratch_directory
from tests.tamper.catalogue import KINDS
from tests.tamper.judging import Verdict, judge

_SHOWN_PER_KIND = 3


def main() -> int:
    """Run a campaign, or one image of it; the exit code is 1 where an image was believed or worse."""
    arguments = _parser().parse_args()
    with scratch_directory() as directory:
        plan = Plan(
            arguments.images, arguments.seed, directory, arguments.kind, not arguments.unverified, arguments.workers
        )
        return _campaign(plan) if arguments.replay is None else _replay(plan, arguments.replay, arguments.keep)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.tamper", description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="which")
    parser.add_argument("--kind", choices=KINDS, metavar="EDIT", help=f"one edit only: {'; '.join(KINDS)}")
    parser.add_argument("--unverified", action="store_true", help="open without verification: wrong answers show")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="judge this image alone")
    parser.add_argument("--keep", type=Path, help="keep the replayed image in this directory")
    return parser


def _campaign(plan: Plan) -> int:
    shown: dict[str, int] = {}

    def show(verdict: Verdict) -> None:
        if verdict.failed:
            key = f"{verdict.outcome} {verdict.kind}"
            shown[key] = shown.get(key, 0) + 1
            if shown[key] <= _SHOWN_PER_KIND:
                print(verdict, flush=True)

    tally = run(plan, show)
    print(*tally.lines(), sep="\n")
    return 1 if tally.failures else 0


def _replay(plan: Plan, number: int, keep: Path | None) -> int:
    plan.make_bases()
    work = plan.directory / "replayed"
    work.mkdir()
    verdict = judge(number, plan.seed, plan.bases, work, kind=plan.kind, verified=plan.verified)
    print(verdict)
    if keep is not None:
        shutil.copytree(work, keep, dirs_exist_ok=True)
    return 1 if verdict.failed else 0


if __name__ == "__main__":
    sys.exit(main())
