"""What a soak shows, as figures."""

from collections import Counter
from dataclasses import dataclass, field

from tests.soak.conductor import Performance
from tests.soak.journal import ALARM, BUSY, DONE, SUPERSEDED, Attempt
from tests.soak.settling import Settlement

RUN_ENTRIES = 65_536
_SHOWN_LOST = 10


@dataclass
class Figures:
    """Counts of all that happened; ``bad`` says whether anything of it must not."""

    seed: int
    performance: Performance
    settlements: dict[str, Settlement]
    operations: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    superseded: int = 0
    scrubs_held_up: int = 0
    alarms: Counter[str] = field(default_factory=Counter)
    first_messages: dict[str, str] = field(default_factory=dict)

    @property
    def lost(self) -> list[str]:
        """Everything acknowledged that is not there."""
        return [f"{name}: {lost}" for name, settlement in self.settlements.items() for lost in settlement.lost]

    @property
    def bad(self) -> bool:
        """True where anything was lost, or anything called wrong that is not."""
        return bool(self.lost or self.alarms)

    def add_attempt(self, attempt: Attempt) -> None:
        """Count an attempt."""
        self.operations[attempt.kind] += attempt.state == DONE
        self.busy[attempt.kind] += attempt.state == BUSY
        self.superseded += attempt.state == SUPERSEDED
        self.scrubs_held_up += "scrub_held_up" in attempt.facts
        if attempt.state == ALARM:
            self.add_alarm(attempt.facts["alarm"], f"{attempt.name}: {attempt.facts['message']}")

    def add_alarm(self, kind: str, message: str) -> None:
        """Count an alarm; the first message of each kind is kept."""
        self.alarms[kind] += 1
        self.first_messages.setdefault(kind, message)

    def __str__(self) -> str:
        performance = self.performance
        lines = [
            f"seed {self.seed}: {performance.kills} kills, {performance.stops} stops, "
            f"{performance.emptied_logs} times a log was emptied",
            "operations: " + _counts(self.operations),
            f"busy after the whole timeout: {_counts(self.busy) or 'none'}; "
            f"exports to be made again: {self.superseded}; scrubs that readers held up: {self.scrubs_held_up}",
        ]
        for name, settlement in self.settlements.items():
            lines.append(
                f"{name}: {settlement.entries} entries, {settlement.acknowledged} of them acknowledged, "
                f"{settlement.redacted} redacted, {settlement.entries // RUN_ENTRIES} index runs"
            )
        lines.append(f"lost: {len(self.lost)}")
        lines += [f"  {lost}" for lost in self.lost[:_SHOWN_LOST]]
        lines.append(f"false alarms: {self.alarms.total()}")
        lines += [f"  {count} x {kind}; first {self.first_messages[kind]}" for kind, count in self.alarms.most_common()]
        return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counter.most_common() if count)
