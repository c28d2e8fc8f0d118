"""(g) Canonical JSON from Python objects, beside rfc8785 (the same bytes) and orjson with sorted keys; for context."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter

import orjson
import rfc8785
from benches.data import Datasets
from benches.measuring import Baseline, Contestant, Sampler, Scenario
from benches.records import records

from nucleus import canonicalize

_VALUES = 2_000


def scenario() -> Scenario:
    """Return the comparison over payloads of about 200 bytes."""
    sorted_orjson = partial(orjson.dumps, option=orjson.OPT_SORT_KEYS)
    return Scenario(
        letter="g",
        title="canonicalize a payload",
        unit="us",
        ours=Contestant("nucleus", partial(_canonical, dumps=canonicalize)),
        baselines=(
            Baseline(Contestant("rfc8785", partial(_canonical, dumps=rfc8785.dumps))),
            Baseline(Contestant("orjson, sorted keys", partial(_canonical, dumps=sorted_orjson))),
        ),
    )


@contextmanager
def _canonical(_data: Datasets, *, dumps: Callable[..., bytes]) -> Iterator[Sampler]:
    payloads = [record["payload"] for record in records("random", 0, _VALUES)]
    for payload in payloads:
        if dumps(payload) != rfc8785.dumps(payload):
            raise ValueError(f"not the canonical form of {payload}: {dumps(payload)!r}")

    def sample() -> list[float]:
        started = perf_counter()
        for payload in payloads:
            dumps(payload)
        return [(perf_counter() - started) / _VALUES]

    yield sample
