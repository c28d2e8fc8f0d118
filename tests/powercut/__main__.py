"""Long campaigns, and single images again.

``python -m tests.powercut --images 100000 --seed 7`` draws that many images of each scenario, prints the figures, keeps
each recording that had failures, and says how to see a failure again: contents such as salts differ between recordings.
"""

import argparse
import pickle
import sys
import time
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from tests.powercut.campaign import Settings, draw, run
from tests.powercut.checker import BrokenPromiseError, check
from tests.powercut.recording import Recording, compile_recorder, record
from tests.powercut.scenarios import SCENARIOS

SHOWN_FAILURES = 5
SHOWN_OPERATIONS = 12


def main() -> int:
    """Run what the command line asks for; 1 if a promise was broken."""
    arguments = _arguments()
    pattern = arguments.ignore_syncs_of
    settings = Settings(
        arguments.images,
        arguments.seed,
        ignores_sync=None if pattern is None else lambda name: fnmatch(name, pattern),
        judge_as_full=arguments.judge_as_full,
    )
    if arguments.recording is not None:
        recording = pickle.loads(arguments.recording.read_bytes())
        return _show(recording, settings, arguments.image, arguments.folder)
    return _campaign(arguments.scenario or list(SCENARIOS), settings)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.powercut", description=__doc__)
    parser.add_argument("--images", type=int, default=1_000, help="of each scenario, fewer where they are large")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="may be given several times")
    parser.add_argument("--ignore-syncs-of", metavar="PATTERN", help="a control: must lead to failures")
    parser.add_argument("--judge-as-full", action="store_true", help="a control: durability normal is judged as full")
    parser.add_argument("--recording", type=Path, help="a kept recording, to see one image of it again")
    parser.add_argument("--image", type=int, default=0, help="its number")
    parser.add_argument("--folder", type=Path, help="where to leave its files; a new folder if absent")
    return parser.parse_args()


def _campaign(names: list[str], settings: Settings) -> int:
    failed = 0
    images = 0
    with TemporaryDirectory() as folder:
        recorder = compile_recorder(Path(folder))
        for name in names:
            began = time.perf_counter()
            recording = record(name, recorder)
            figures = run(recording, replace(settings, images=-(-settings.images // recording.scenario.rarity)))
            print(f"{figures}, {time.perf_counter() - began:.1f} s", flush=True)
            images += figures.different
            failed += len(figures.failures)
            for failure in figures.failures[:SHOWN_FAILURES]:
                print(f"  {failure}")
            if figures.failures:
                print(f"  again: {_again(_keep(recording), settings, figures.failures[0].image)}")
    print(f"{images} different images, {failed} failed")
    return 1 if failed else 0


def _keep(recording: Recording) -> Path:
    path = Path(mkdtemp(prefix="powercut-")) / f"{recording.name.replace(' ', '-')}.recording"
    path.write_bytes(pickle.dumps(recording))
    return path


def _again(kept: Path, settings: Settings, image: int) -> str:
    return f"python -m tests.powercut --recording {kept} --seed {settings.seed} --image {image}"


def _show(recording: Recording, settings: Settings, image: int, folder: Path | None) -> int:
    """Check one image, and leave its files as they were before they were opened."""
    (drawn,) = draw(recording, settings, [image])
    kept = folder or Path(mkdtemp(prefix="powercut-image-"))
    kept.mkdir(exist_ok=True)
    for name, content in drawn.image.items():
        (kept / name).write_bytes(content)
        print(f"{len(content):>10} {name}")
    print(f"in {kept}; cut before operation {drawn.cut} of {len(recording.operations)}, {drawn.choice}")
    first = max(0, drawn.cut - SHOWN_OPERATIONS)
    for number, operation in enumerate(recording.operations[first : drawn.cut], first):
        described = f"{operation.kind.name} {operation.path} {operation.other} {operation.inode} {operation.offset}"
        print(f"  {number} {described} {len(operation.data)} bytes")
    with TemporaryDirectory() as checked:
        try:
            check(drawn.image, drawn.told, recording, Path(checked), judge_as_full=settings.judge_as_full)
        except BrokenPromiseError as broken:
            print(broken)
            return 1
    print("no fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())
