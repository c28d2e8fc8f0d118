"""A soak from beginning to end: conduct it, then hold each ledger against what its workers were told."""

from pathlib import Path

from tests.soak.conductor import conduct
from tests.soak.figures import Figures
from tests.soak.journal import read_attempts
from tests.soak.roles import LEDGERS, ROLES
from tests.soak.settling import settle


def soak(directory: Path, seconds: float, seed: int) -> Figures:
    """Run a soak in an empty directory on a real disk; what is left there is for looking at."""
    performance = conduct(directory, seconds, seed)
    attempts = {
        ledger: [
            attempt
            for role in ROLES
            if role.ledger == ledger
            for attempt in read_attempts(
                [path for path in performance.journals if path.name.startswith(f"{role.name}.")]
            )
        ]
        for ledger in LEDGERS
    }
    settlements = {ledger: settle(directory / ledger, attempts[ledger]) for ledger in LEDGERS}
    figures = Figures(seed, performance, settlements)
    for told in attempts.values():
        for attempt in told:
            figures.add_attempt(attempt)
    for kind, message in [*performance.accidents, *(alarm for one in settlements.values() for alarm in one.alarms)]:
        figures.add_alarm(kind, message)
    return figures
