"""The account of what writers were told, held against what is in the file."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.storage.ledgers import ALICE, open_ledger, read_all
from tests.storage.writers import READY

from nucleus import Ledger


@dataclass
class Account:
    """Every acknowledgement ever given about one ledger: seq to (hash, record id)."""

    entries: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, lines: list[str]) -> int:
        """Take a writer's lines; no seq may be acknowledged twice. Returns how many there were."""
        acknowledged = [line for line in lines if line != READY]
        for line in acknowledged:
            seq, digest, record_id = line.split()
            assert int(seq) not in self.entries, f"seq {seq} was acknowledged twice"
            self.entries[int(seq)] = (digest, record_id)
        return len(acknowledged)

    def lines(self) -> list[str]:
        """Return all acknowledgements as lines."""
        return [f"{seq} {digest} {record_id}" for seq, (digest, record_id) in self.entries.items()]

    def check_recent(self, ledger: Ledger, lines: list[str]) -> None:
        """Check that what these lines say is in the ledger."""
        for line in lines:
            seq, digest, record_id = line.split()
            entry = ledger.get(digest, context=ALICE)
            assert entry is not None, f"acknowledged and lost: {line}"
            assert (entry.seq, entry.hash, entry.record.id) == (int(seq), digest, record_id)

    def check_all(self, path: Path, *, nothing_else: bool = False) -> None:
        """Check that everything acknowledged is in the file, which is opened and verified for it."""
        with open_ledger(path) as ledger:
            assert ledger.verify(deep=True).valid
            stored = {entry.seq: (entry.hash, entry.record.id) for entry in read_all(ledger)}
        lost = {seq: told for seq, told in self.entries.items() if stored.get(seq) != told}
        assert not lost
        if nothing_else:
            assert stored == self.entries
