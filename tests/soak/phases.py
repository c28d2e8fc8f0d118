"""Which operations are left alone for some seconds, so that no kind of work holds up another kind all the time.

A redaction waits for readers and holds the lock meanwhile: beside long reads alone, neither would the ledger grow by
index runs nor its log be emptied hundreds of times. All processes go by one clock.
"""

import time
from collections.abc import Sequence

from tests.soak import operations
from tests.soak.operations import Operation

PHASE_S = 8.0

_LONG_READS = {
    operations.verify,
    operations.verify_deep,
    operations.open_again,
    operations.open_read_only,
    operations.back_up,
    operations.export,
}
# Everything at once; long reads while the ledger grows; short writes while the log is emptied again and again.
_LEFT_ALONE: Sequence[set[Operation]] = [
    set(),
    {operations.redact},
    {operations.append_large_batch, *_LONG_READS},
]


def is_left_alone(operation: Operation) -> bool:
    """Return True where the present phase does without an operation."""
    return operation in _LEFT_ALONE[int(time.monotonic() / PHASE_S) % len(_LEFT_ALONE)]
