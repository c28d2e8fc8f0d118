"""The account at rest: what is in a ledger against what its workers were told, entry by entry."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.digest import EntriesDigest
from tests.soak.journal import ALARM, BEGUN, BUSY, Attempt
from tests.soak.openings import ADMINISTRATOR, BOB, open_soaked
from tests.soak.operations import STREAM, AlarmError, require_valid

from nucleus import ChainEntry, Ledger, NucleusError
from nucleus.access import ResourcePredicate


@dataclass
class Settlement:
    """What was found in one ledger.

    Attributes:
        acknowledged: number of entries that were acknowledged.
        entries: number of entries in the ledger.
        lost: what was acknowledged and is not there as it was.
        alarms: kind and message of what is wrong otherwise.
    """

    acknowledged: int = 0
    entries: int = 0
    redacted: int = 0
    lost: list[str] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Found:
    """The entries of one attempt, as they come in the chain."""

    first_seq: int
    count: int = 0
    digest: EntriesDigest = field(default_factory=EntriesDigest)

    def add(self, entry: ChainEntry, number: int) -> bool:
        """Take the next entry; False where it is not the one that must follow."""
        follows = number == self.count and entry.seq == self.first_seq + self.count
        self.count += 1
        self.digest.add(entry)
        return follows


def settle(path: Path, attempts: Iterable[Attempt]) -> Settlement:
    """Open a ledger that nobody uses any more, verify it, and hold it against all journals of its workers."""
    settlement = Settlement()
    told = list(attempts)
    access = any(attempt.kind == "grant" for attempt in told)
    try:
        with open_soaked(path, access=access) as ledger:
            require_valid(ledger.verify(deep=True), "at rest")
            _compare(ledger, told, settlement)
            if access:
                _compare_access(ledger, told, settlement)
        with open_soaked(path, access=access, read_only=True) as ledger:
            require_valid(ledger.verify(deep=True), "at rest, read-only")
    except AlarmError as alarm:
        settlement.alarms.append((alarm.kind, str(alarm)))
    except NucleusError as error:
        settlement.alarms.append((f"at rest: {type(error).__name__}", str(error)))
    return settlement


def _compare(ledger: Ledger, told: list[Attempt], settlement: Settlement) -> None:
    alone = {a.facts["seq"]: (a.facts["hash"], a.name) for a in told if "hash" in a.facts}
    intended = {a.facts["target"] for a in told if "target" in a.facts}
    erased = {a.facts["target"] for a in told if "hash" in a.facts and "target" in a.facts}
    erased |= {a.facts["target"] for a in told if "scrub_held_up" in a.facts}
    found: dict[str, _Found] = {}
    others: Counter[str] = Counter()
    for page in ledger.pages(ADMINISTRATOR):
        for entry in page:
            settlement.entries += 1
            settlement.redacted += entry.redacted
            if entry.redacted and entry.hash not in intended:
                settlement.alarms.append(("an entry is erased that nobody erased", f"entry {entry.seq}"))
            if entry.hash in erased:
                erased.discard(entry.hash)
                if not entry.redacted:
                    settlement.lost.append(f"the redaction of entry {entry.seq}")
            if entry.record.stream == STREAM:
                name, number = entry.record.id.rsplit("/")
                if not found.setdefault(name, _Found(entry.seq)).add(entry, int(number)):
                    settlement.alarms.append(
                        ("an attempt's entries are not its own", f"{entry.seq}: {entry.record.id}")
                    )
            elif entry.seq not in alone:
                others[entry.record.stream] += 1
            elif alone.pop(entry.seq)[0] != entry.hash:
                settlement.lost.append(f"entry {entry.seq} is another one than was acknowledged")
    settlement.lost += [f"entry {seq} of {name}" for seq, (_, name) in alone.items()]
    settlement.lost += [f"the redacted entry {target}" for target in erased]
    _compare_appends(told, found, settlement)
    _compare_others(told, others, settlement)


def _compare_appends(told: list[Attempt], found: dict[str, _Found], settlement: Settlement) -> None:
    """All or nothing of each append, and all of what was acknowledged."""
    settlement.acknowledged = len({a.facts["seq"] for a in told if "hash" in a.facts})
    for attempt in told:
        there = found.pop(attempt.name, None)
        if "digest" in attempt.facts:
            acknowledged = tuple(attempt.facts[name] for name in ("first_seq", "count", "digest"))
            settlement.acknowledged += attempt.facts["count"]
            if there is None or (there.first_seq, there.count, there.digest.value()) != acknowledged:
                settlement.lost.append(
                    f"{attempt.name}: {acknowledged}, found {there and there.count} from {there and there.first_seq}"
                )
        elif there is not None and there.count != attempt.facts.get("tried", 1):
            settlement.alarms.append(("a part of a batch is in the chain", f"{attempt.name} at {there.first_seq}"))
        elif there is not None and attempt.state in {BUSY, ALARM} and attempt.facts["error"] != "CommitInDoubtError":
            kind = f"reported as failed and yet in the chain ({attempt.facts['error']})"
            settlement.alarms.append((kind, f"{attempt.name} at {there.first_seq}: {attempt.facts.get('message')}"))
    for name, there in found.items():
        settlement.alarms.append(("an entry that nobody wrote", f"{name} at {there.first_seq}"))


def _compare_others(told: list[Attempt], others: Counter[str], settlement: Settlement) -> None:
    """Entries of the ledger's own streams that nobody was told of: no more than attempts whose end is not known."""
    open_ended = Counter(
        {"redact": "redactions", "grant": "acl_grants", "revoke": "acl_grants"}.get(attempt.kind, "")
        for attempt in told
        if "hash" not in attempt.facts and (attempt.state in {BEGUN, ALARM} or "scrub_held_up" in attempt.facts)
    )
    for stream, count in others.items():
        if count > open_ended[stream]:
            message = f"{count} in {stream}, {open_ended[stream]} attempts"
            settlement.alarms.append(("entries that nobody tried to write", message))


def _compare_access(ledger: Ledger, told: list[Attempt], settlement: Settlement) -> None:
    """A grant that was acknowledged counts, and a revocation; one that was in flight may or may not."""
    steps: dict[str, dict[str, bool]] = {}
    for attempt in told:
        if attempt.kind in {"grant", "revoke"}:
            steps.setdefault(attempt.facts["resource"], {})[attempt.kind] = "hash" in attempt.facts
    for resource, step in steps.items():
        allowed = ledger.access.check(BOB.oid, "read", ResourcePredicate(STREAM, resource))
        expected = (
            {False} if step.get("revoke") else {True} if step["grant"] and "revoke" not in step else {True, False}
        )
        if allowed not in expected:
            settlement.lost.append(f"the last step of {resource}: {step}, and reading is {allowed}")
