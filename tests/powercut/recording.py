"""Runs a scenario under the recorder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.powercut.disk import Disk
from tests.powercut.log import Kind, Operation, read_log
from tests.powercut.marks import Told, everything_told
from tests.powercut.scenarios import FILE_NAME, SCENARIOS, Scenario

ROOT = Path(__file__).parents[2]
STAGE_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Recording:
    """Everything that happened to the files of a ledger, from a durable beginning on.

    ``beginning`` is name to (inode, content); ``chain`` are the hashes of all entries at the end.
    """

    name: str
    beginning: dict[str, tuple[int, bytes]]
    operations: list[Operation]
    chain: list[str]

    @property
    def scenario(self) -> Scenario:
        """What was recorded."""
        return SCENARIOS[self.name]

    @cached_property
    def told(self) -> Told:
        """Everything that the programs were told."""
        return everything_told(self.operations)


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder in memory where there is one: images are many and short-lived, and no sync of theirs matters."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="powercut-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder).resolve()


def compile_recorder(folder: Path) -> Path:
    """Compile ``recorder.c`` into a folder; return the library."""
    library = folder / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl", "-lpthread"], check=True)
    return library


def record(name: str, recorder: Path) -> Recording:
    """Run a scenario to its end, and check that the recorder has seen everything that it wrote."""
    scenario = SCENARIOS[name]
    with working_folder() as folder:
        files = folder / "files"
        files.mkdir(mode=0o700)
        if scenario.prepare is not None:
            scenario.prepare(files / FILE_NAME)
        beginning = {file.name: (file.stat().st_ino, file.read_bytes()) for file in files.iterdir()}
        log = folder / "log"
        for stage in range(len(scenario.stages)):
            _run_stage(name, stage, files, log, recorder)
        operations = list(read_log(log.read_bytes()))
        _check_completeness(beginning, operations, files)
        return Recording(name, beginning, operations, _chain(scenario, files / FILE_NAME, operations))


def _run_stage(name: str, stage: int, files: Path, log: Path, recorder: Path) -> None:
    command = [sys.executable, "-m", "tests.powercut.child", name, str(stage), str(files / FILE_NAME)]
    environment = os.environ | {"LD_PRELOAD": str(recorder), "RECORDER_FOLDER": str(files), "RECORDER_LOG": str(log)}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=STAGE_TIMEOUT_S
    )
    assert ended.returncode == 0, ended.stderr


def _check_completeness(beginning: dict[str, tuple[int, bytes]], operations: list[Operation], files: Path) -> None:
    """Nothing was written that the recorder has not seen: the model's files are the real ones."""
    disk = Disk(beginning)
    for operation in operations:
        disk.apply(operation)
    real = {file.name: file.read_bytes() for file in files.iterdir() if not file.name.endswith("-shm")}
    assert disk.current() == real, "the recorder missed something"
    assert any(operation.kind is Kind.SYNC for operation in operations), "no sync was recorded"


def _chain(scenario: Scenario, path: Path, operations: list[Operation]) -> list[str]:
    """The chain at the end, which has all that was acknowledged."""
    with scenario.open(path) as ledger:
        chain = [entry.hash for entry in ledger.entries(scenario.reader)]
    for seq, digest in everything_told(operations).entries.items():
        assert chain[seq] == digest, "what was acknowledged is not in the ledger, even without a power cut"
    return chain
