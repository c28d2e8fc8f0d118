"""Who works on which ledger, and what they do there how often."""

from dataclasses import dataclass

from tests.soak import operations
from tests.soak.operations import Operation

Weights = dict[Operation, float]

WRITER: Weights = {operations.append_large_batch: 3, operations.append_batch: 1}
MIXER: Weights = {
    operations.append: 6,
    operations.append_unique: 2,
    operations.append_batch: 1,
    operations.redact: 5,
    operations.look_up: 4,
    operations.verify: 2,
}
WATCHER: Weights = {
    operations.verify: 5,
    operations.verify_deep: 2,
    operations.open_again: 3,
    operations.open_read_only: 4,
    operations.back_up: 3,
    operations.export: 2,
    operations.append: 3,
    operations.look_up: 1,
}
SHARER: Weights = {
    operations.share: 6,
    operations.append_batch: 1,
    operations.redact: 2,
    operations.look_up: 2,
    operations.verify: 1,
    operations.open_again: 1,
    operations.open_read_only: 1,
    operations.back_up: 1,
    operations.export: 1,
}


@dataclass(frozen=True)
class Role:
    """What one worker does, life after life.

    Attributes:
        name: unlike all others'.
        ledger: name of the ledger's file.
        weights: how often each operation is chosen.
        threads: how many threads share the open ledger.
        access_share: the part of its sessions that have access control on.
        entries_per_s: the pace of each thread's batches.
        killable: False for a worker that is only ever stopped, so that what takes long is seen to end.
    """

    name: str
    ledger: str
    weights: Weights
    threads: int = 1
    access_share: float = 0.0
    entries_per_s: float = 30_000.0
    killable: bool = True


# Five workers on one ledger that grows by some index runs a minute, two on one with grants.
ROLES = [
    Role("writer", "plain.db", WRITER),
    Role("mixer", "plain.db", MIXER, threads=3, entries_per_s=5_000.0),
    Role("redactor", "plain.db", {**MIXER, operations.redact: 20}, threads=2, entries_per_s=5_000.0),
    Role("watcher", "plain.db", WATCHER),
    Role("steady", "plain.db", WATCHER, killable=False),
    Role("sharer", "granted.db", SHARER, threads=2, access_share=1.0, entries_per_s=200.0),
    Role("guest", "granted.db", {**SHARER, **WATCHER}, access_share=0.6, entries_per_s=200.0),
]
LEDGERS = sorted({role.ledger for role in ROLES})
