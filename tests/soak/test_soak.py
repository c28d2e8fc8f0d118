"""A short soak; ``python -m tests.soak`` is the long one."""

from pathlib import Path

from tests.soak.soaking import soak


def test_nothing_is_lost_and_nothing_is_a_false_alarm(tmp_path: Path) -> None:
    figures = soak(tmp_path, seconds=40, seed=7)
    assert not figures.bad, str(figures)
    # It was a soak.
    kinds = {"verify", "verify_deep", "redact", "append", "append_batch", "back_up", "open", "open_read_only", "share"}
    assert all(figures.operations[kind] for kind in kinds), str(figures)
    assert figures.performance.kills
    assert figures.performance.stops
