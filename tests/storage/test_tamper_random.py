"""Thousands of random edits of single fields: the edited row is accused, whatever was put into it."""

import random
from pathlib import Path

import pytest
from tests.storage import samples
from tests.storage.chains import COLUMNS
from tests.storage.expectations import refused
from tests.storage.ledgers import open_ledger, restore, snapshot
from tests.storage.stranger import Stranger, Value, literal

EDITS_PER_SEED = 500


@pytest.mark.parametrize("seed", range(5))
def test_random_edits(sample: Path, stranger: Stranger, seed: int) -> None:
    chance = random.Random(seed)
    files = snapshot(sample)
    rows = stranger.query(sample, f"SELECT {', '.join(COLUMNS)} FROM entries ORDER BY seq")
    for number in range(EDITS_PER_SEED):
        seq = chance.randrange(samples.LENGTH)
        index = chance.randrange(1, len(COLUMNS))
        old: Value = rows[seq][index]
        new = _other(old, chance)
        stranger.edit(sample, f"UPDATE entries SET {COLUMNS[index]} = {literal(new)} WHERE seq = {seq}", lax=True)

        accused = {at for _, at in refused(sample, read_only=True)}

        edit = f"seed {seed}, edit {number}: {COLUMNS[index]} of {seq} from {old!r} to {new!r}"
        assert seq in accused, edit
        # The neighbour is linked to the edited row; an erasure and its record stand and fall together; the last
        # row is the anchor's.
        assert accused <= {seq, seq + 1, samples.REDACTED, samples.LAST, None}, edit
        restore(sample, files)
    open_ledger(sample).close()


def _other(old: Value, chance: random.Random) -> Value:
    """Return a value that differs from the old one: close to it as a rule, else anything."""
    new = old
    while new == old and type(new) is type(old):
        new = _near(old, chance) if chance.random() < 0.7 else _any(chance)
    return new


def _near(old: Value, chance: random.Random) -> Value:
    if isinstance(old, bytes) and old:
        changed = bytearray(old)
        changed[chance.randrange(len(old))] ^= 1 << chance.randrange(8)
        return bytes(changed)
    if isinstance(old, str) and old:
        at = chance.randrange(len(old))
        return old[:at] + chance.choice(['"', "x", "", " ", "\\", "é", "0", old[at].swapcase()]) + old[at + 1 :]
    if isinstance(old, int):
        return old + chance.choice([-1, 1, 1_000, -1_000])
    return _any(chance)


def _any(chance: random.Random) -> Value:
    size = chance.choice([0, 1, 15, 16, 31, 32, 33, 64])
    values: list[Value] = [
        None,
        chance.randrange(-(2**63), 2**63),
        chance.random() * 10 ** chance.randrange(-10, 20),
        chance.randbytes(size),
        chance.randbytes(size).hex(),
        '{"n":' + str(chance.randrange(10**6)) + "}",
        "[]",
        "{}",
    ]
    return chance.choice(values)
