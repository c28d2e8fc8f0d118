"""Single bit flips anywhere in a ledger's files: an error, or exactly the entries that were written; never a crash."""

import random
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tests.storage.children import Child, say
from tests.storage.ledgers import copy_ledger, open_ledger, read_all, restore, snapshot, wal_of
from tests.storage.writers import append_and_die

from nucleus import ChainEntry, NucleusError

FLIPS_PER_CHILD = 250


def flip_bits(path: Path, file: Path, bits: list[int], expected: list[str], pipe: Connection) -> None:
    """Flip each bit of ``file`` in turn, open the ledger, and tell what came of it."""
    files = snapshot(path)
    for number, bit in enumerate(bits):
        say(pipe, f"{bit} begun")
        restore(path, files)
        flipped = bytearray(files[file])
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        say(pipe, f"{bit} {_outcome(path, expected, read_only=number % 2 == 0)}")


def _outcome(path: Path, expected: list[str], *, read_only: bool) -> str:
    try:
        with open_ledger(path, read_only=read_only) as ledger:
            entries = read_all(ledger)
            # Whether the look-up and the deep check find fault is their affair; they must come back.
            ledger.verify(deep=True)
    except NucleusError as error:
        return f"refused {type(error).__name__}"
    return "equal" if _lines(entries) == expected else f"other content, {len(entries)} entries"


def _lines(entries: list[ChainEntry]) -> list[str]:
    return [entry.to_json() for entry in entries]


def _flip_all(path: Path, file: Path, bits: list[int], expected: list[str]) -> list[str]:
    """Flip the bits in children, so that a crash is seen as one; return the outcomes."""
    outcomes: list[str] = []
    for start in range(0, len(bits), FLIPS_PER_CHILD):
        chunk = bits[start : start + FLIPS_PER_CHILD]
        child = Child(flip_bits, path, file, chunk, expected)
        lines = child.lines()
        assert child.exit_code() == 0, f"ended by {child.exit_code()} after: {lines[-1:]}"
        outcomes += [line for line in lines if not line.endswith(" begun")]
        assert len(outcomes) == start + len(chunk)
    return outcomes


def _assert_detected(outcomes: list[str]) -> None:
    bad = [line for line in outcomes if " refused " not in line and not line.endswith(" equal")]
    assert not bad
    # A sample of flips that found nothing, or nothing but errors, would have tested nothing.
    assert any(" refused " in line for line in outcomes)


def test_flips_in_the_database(sample: Path) -> None:
    with open_ledger(sample) as ledger:
        expected = _lines(read_all(ledger))
    size_bits = len(sample.read_bytes()) * 8
    bits = random.Random(1).sample(range(size_bits), 1_700)
    # The file header and the schema are small and matter most.
    bits += random.Random(2).sample(range(4096 * 8), 500)
    outcomes = _flip_all(sample, sample, bits, expected)
    _assert_detected(outcomes)
    assert any(line.endswith(" equal") for line in outcomes)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A ledger whose writer was killed, with a WAL beside it, and the lines of what was acknowledged."""
    path = tmp_path_factory.mktemp("killed") / "ledger.db"
    child = Child(append_and_die, path, 12)
    lines = child.lines()
    assert child.exit_code() == -9
    assert wal_of(path).stat().st_size > 10_000
    return path, lines


def _by_region(wal: bytes) -> dict[str, Callable[[random.Random], int]]:
    """Return for each region of a WAL how to choose a byte of it; see SQLite's file format, section 4.1."""
    frame = 24 + 4096
    frames = (len(wal) - 32) // frame
    last = 32 + (frames - 1) * frame
    return {
        "file header": lambda chance: chance.randrange(32),
        "frame headers": lambda chance: 32 + chance.randrange(frames) * frame + chance.randrange(24),
        "first frame": lambda chance: 32 + 24 + chance.randrange(4096),
        "pages": lambda chance: 32 + chance.randrange(frames) * frame + 24 + chance.randrange(4096),
        "last frame header": lambda chance: last + chance.randrange(24),
        "last page": lambda chance: last + 24 + chance.randrange(4096),
    }


REGIONS = list(_by_region(bytes(32 + 24 + 4096)))


@pytest.mark.parametrize("region", REGIONS)
def test_flips_in_the_wal_of_a_killed_writer(killed: tuple[Path, list[str]], tmp_path: Path, region: str) -> None:
    template, expected = killed
    path = copy_ledger(template, tmp_path / "ledger")
    choose = _by_region(wal_of(path).read_bytes())[region]
    chance = random.Random(region)
    bits = [choose(chance) * 8 + chance.randrange(8) for _ in range(60)]
    _assert_detected(_flip_all(path, wal_of(path), bits, expected))


@pytest.mark.parametrize("suffix", ["-shm"])
def test_flips_in_the_shared_memory_file(killed: tuple[Path, list[str]], tmp_path: Path, suffix: str) -> None:
    """Nobody has it mapped any more: it is made anew, so that nothing in it counts."""
    template, expected = killed
    path = copy_ledger(template, tmp_path / "ledger")
    file = path.with_name(path.name + suffix)
    bits = random.Random(3).sample(range(file.stat().st_size * 8), 100)
    outcomes = _flip_all(path, file, bits, expected)
    assert {line.split(" ", 1)[1] for line in outcomes} == {"equal"}
