"""(e) Looking entries up by hash and by id in a large ledger, against sqlite3 with an ordinary index on either."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Literal, TypeVar

from benches import plain
from benches.data import Datasets
from benches.ledgers import ALICE, open_ledger
from benches.measuring import Baseline, Contestant, Sampler, Scenario, Target

T = TypeVar("T")
Key = Literal["hash", "record_id"]

_CALLS = 5_000
_ROUNDS_WITHOUT_REPEAT = 8


def scenario(entries: int, key: Key) -> Scenario:
    """Return the comparison for ``get`` (by hash) or ``get_by_id``."""
    return Scenario(
        letter="e",
        title=f"{'get' if key == 'hash' else 'get_by_id'} at {entries:,} entries, per call",
        unit="us",
        ours=Contestant("nucleus", partial(_nucleus, entries=entries, key=key)),
        baselines=(
            Baseline(
                Contestant("sqlite3, index on the key", partial(_plain, entries=entries, key=key)),
                Target("value", 15e-6),
            ),
        ),
    )


@contextmanager
def _nucleus(data: Datasets, *, entries: int, key: Key) -> Iterator[Sampler]:
    path = data.ledger(entries, "random")
    keys = _random_keys(path, key)
    with open_ledger(path, verify_on_open=False) as ledger:
        look_up = partial(ledger.get if key == "hash" else ledger.get_by_id, context=ALICE)
        yield _sampler(look_up, keys)


@contextmanager
def _plain(data: Datasets, *, entries: int, key: Key) -> Iterator[Sampler]:
    path = data.table(entries, "random", "searchable")
    texts = _random_keys(path, key)
    keys: Sequence[bytes | str] = [bytes.fromhex(text) for text in texts] if key == "hash" else texts
    select = f"SELECT {plain.COLUMNS} FROM entries WHERE {key} = ? ORDER BY seq DESC LIMIT 1"
    with closing(plain.connect(path)) as connection:

        def look_up(value: bytes | str) -> object:
            return connection.execute(select, (value,)).fetchone()

        yield _sampler(look_up, keys)


def _random_keys(path: Path, key: Key) -> list[str]:
    """Return the keys, as text, of entries anywhere in the chain; no entry comes twice."""
    column = "lower(hex(hash))" if key == "hash" else "record_id"
    with closing(plain.connect_read_only(path)) as connection:
        (entries,) = connection.execute("SELECT count(*) FROM entries").fetchone()
        chosen = random.Random(key).sample(range(entries), min(entries, _CALLS * _ROUNDS_WITHOUT_REPEAT))
        select = f"SELECT {column} FROM entries WHERE seq = ?"
        return [connection.execute(select, (seq,)).fetchone()[0] for seq in chosen]


def _sampler(look_up: Callable[[T], object], keys: Sequence[T]) -> Sampler:
    """Return rounds of ``_CALLS`` look-ups; a key that is not found is an error."""
    upcoming = cycle(keys)

    def sample() -> list[float]:
        asked = list(islice(upcoming, _CALLS))
        started = perf_counter()
        found = [look_up(key) for key in asked]
        elapsed = perf_counter() - started
        if None in found:
            raise LookupError(f"{asked[found.index(None)]!r} is in the file and was not found")
        return [elapsed / _CALLS]

    return sample
