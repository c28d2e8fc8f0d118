"""Power cuts at any moment: every acknowledged entry is there afterwards, and no sound ledger is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.powercut.campaign import Figures, Settings, draw, run
from tests.powercut.checker import BrokenPromiseError, check
from tests.powercut.disk import Disk
from tests.powercut.log import Kind, Operation
from tests.powercut.marks import everything_told
from tests.powercut.recording import Recording, compile_recorder, record
from tests.powercut.scenarios import SCENARIOS
from tests.powercut.survival import Image

SEED = 1

# Scenario to images drawn, and how many of them are different at least.
IMAGES = {
    "creation": (600, 20),
    "first appends": (2_500, 700),
    "checkpoints": (2_000, 1_500),
    "batches": (1_800, 900),
    "threads": (1_800, 700),
    "index run": (30, 20),
    "redactions": (2_200, 950),
    "grants": (2_200, 1_100),
    "close and reopen": (2_500, 950),
    "backup": (2_500, 950),
    "normal": (2_000, 1_400),
    "two processes": (2_000, 1_150),
}
CONTROL_IMAGES = 150
CONTROL = "first appends"


Record = Callable[[str], Recording]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Records a scenario, each once."""
    recorder = compile_recorder(tmp_path_factory.mktemp("recorder"))
    return cache(lambda name: record(name, recorder))


def test_ten_thousand_different_images_of_every_scenario() -> None:
    assert IMAGES.keys() == SCENARIOS.keys()
    assert sum(different for _, different in IMAGES.values()) >= 10_000


@pytest.mark.parametrize("name", IMAGES)
def test_a_power_cut_loses_nothing_acknowledged(
    name: str, recorded: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    images, least_different = IMAGES[name]
    figures = run(recorded(name), Settings(images, SEED))
    with capsys.disabled():
        print(f"\n{figures}")
    assert not figures.failures, _told_of(figures)
    assert figures.different >= least_different


def _told_of(figures: Figures) -> str:
    first = "\n".join(map(str, figures.failures[:5]))
    command = f'python -m tests.powercut --scenario "{figures.name}" --images {figures.images} --seed {SEED}'
    return f"{figures}\n{first}\nto look into them: {command}"


# What the recordings must contain, so that the scenarios are what they are called.


def test_the_log_begins_again_in_the_scenario_of_checkpoints(recorded: Record) -> None:
    recording = recorded("checkpoints")
    log_header = [operation for operation in recording.operations if operation.data[:3] == b"\x37\x7f\x06"]
    assert len(log_header) > 1


def test_both_processes_take_turns(recorded: Record) -> None:
    recording = recorded("two processes")
    seqs = [seq for mark in _marks(recording) for seq, _ in mark["entries"]]
    assert sorted(seqs) == list(range(len(recording.chain)))
    assert len(seqs) == 140


def _marks(recording: Recording) -> list[dict[str, Any]]:
    return [json.loads(operation.data) for operation in recording.operations if operation.kind is Kind.MARK]


def test_an_image_is_decided_by_its_number_and_the_seed(recorded: Record) -> None:
    recording = recorded(CONTROL)
    drawn = {image.number: image.image for image in draw(recording, Settings(40, SEED), range(40))}
    for number in (0, 17, 39):
        (alone,) = draw(recording, Settings(40, SEED), [number])
        assert alone.image == drawn[number]
    other = {image.number: image.image for image in draw(recording, Settings(40, SEED + 1), range(40))}
    assert other != drawn


# Controls: a check that cannot fail is none.


def test_ignored_syncs_of_the_log_are_found(recorded: Record) -> None:
    settings = Settings(CONTROL_IMAGES, SEED, ignores_sync=lambda name: name.endswith("-wal"))
    assert run(recorded(CONTROL), settings).failures


def test_ignored_syncs_of_everything_are_found(recorded: Record) -> None:
    settings = Settings(CONTROL_IMAGES, SEED, ignores_sync=lambda _: True)
    assert run(recorded(CONTROL), settings).failures


def test_an_anchor_that_is_not_synced_is_found(recorded: Record) -> None:
    """The anchor's name is durable, its content is not: a sound ledger would be refused. It is synced unfinished."""
    settings = Settings(CONTROL_IMAGES, SEED, ignores_sync=lambda name: name.endswith((".anchor", ".unfinished")))
    assert run(recorded(CONTROL), settings).kinds()["refused"]


def test_durability_normal_is_not_full(recorded: Record) -> None:
    settings = Settings(CONTROL_IMAGES, SEED, judge_as_full=True)
    assert run(recorded("normal"), settings).kinds()["lost"]


def _lie(**lies: object) -> Callable[[dict[str, Any]], None]:
    return lambda mark: mark.update(lies)


LIES: dict[str, tuple[str, str, Callable[[dict[str, Any]], None]]] = {
    "an entry that is not there": ("batches", "lost", _lie(entries=[[1_000, "0" * 64]])),
    "an entry is redacted that is not": ("redactions", "redaction", _lie(redacted="0" * 64)),
    "a payload that was never erased": ("redactions", "trace", _lie(secret="SQLite format 3")),
    "a grant that was refused": ("grants", "grants", lambda mark: mark["grant"].__setitem__(2, not mark["grant"][2])),
    "another end of a backup": ("backup", "backup", _lie(head=[0, "0" * 64])),
}


@pytest.mark.parametrize("lie", LIES)
def test_the_checker_finds(lie: str, recorded: Record, tmp_path: Path) -> None:
    """Files without any cut, checked against something else than what had been told."""
    name, kind, tell = LIES[lie]
    recording = recorded(name)
    image = _end_of(recording)
    _check(image, recording, tmp_path / "true")
    with pytest.raises(BrokenPromiseError) as found:
        _check(image, _with_last_mark(recording, tell), tmp_path / "false")
    assert found.value.kind == kind


def test_the_checker_finds_another_chain(recorded: Record, tmp_path: Path) -> None:
    recording = recorded("batches")
    other = replace(recording, chain=[*recording.chain[:-1], "0" * 64])
    with pytest.raises(BrokenPromiseError) as found:
        _check(_end_of(recording), other, tmp_path / "other")
    assert found.value.kind == "another chain"


def _end_of(recording: Recording) -> Image:
    disk = Disk(recording.beginning)
    for operation in recording.operations:
        disk.apply(operation)
    return disk.current()


def _check(image: Image, recording: Recording, folder: Path) -> None:
    folder.mkdir()
    check(image, everything_told(recording.operations), recording, folder)


def _with_last_mark(recording: Recording, tell: Callable[[dict[str, Any]], None]) -> Recording:
    """The recording with another last mark among those that have something to change."""
    operations = list(recording.operations)
    member = {"redactions": "redacted", "grants": "grant", "backup": "backup"}.get(recording.name, "entries")
    last = max(index for index, operation in enumerate(operations) if _has(operation, member))
    mark = json.loads(operations[last].data)
    tell(mark)
    operations[last] = replace(operations[last], data=json.dumps(mark).encode())
    return replace(recording, operations=operations)


def _has(operation: Operation, member: str) -> bool:
    return operation.kind is Kind.MARK and member in json.loads(operation.data)
