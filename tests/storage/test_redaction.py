"""An erased payload is gone from every file, and the chain stands."""

import random
import secrets
import sqlite3
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from tests.storage import writers
from tests.storage.chains import stored_entries
from tests.storage.children import Child, say
from tests.storage.expectations import refused
from tests.storage.ledgers import ALICE, LEDGER_ID, files_of, note, open_ledger, read_all
from tests.storage.stranger import Stranger

from nucleus import InvalidRecordError, Ledger, NucleusError, Record, verify_chain

REASON = "GDPR Art. 17 request 42"


class Secret:
    """A payload of a given size in which a random marker is never further than a few bytes away."""

    def __init__(self, size: int) -> None:
        self.marker = secrets.token_hex(6)
        self.payload = {"secret": (self.marker * (size // len(self.marker) + 1))[: max(size, len(self.marker))]}

    def traces(self, path: Path, salt: bytes | None = None) -> list[str]:
        """Return the names of the ledger's files in which a trace of the payload, or the salt, is left."""
        wanted = [self.marker.encode(), *([salt] if salt else [])]
        contents = {file.name: file.read_bytes() for file in files_of(path)}
        return [name for name, content in contents.items() if any(trace in content for trace in wanted)]


SIZES = [12, 100, 900, 3_000, 4_096, 10_000, 100_000, 1_000_000]


def _filler(n: int, chance: random.Random) -> Record:
    return Record(id=f"f-{n}", stream="notes", payload={"x": "y" * chance.choice([10, 300, 1_500, 6_000])})


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", ["first", "middle", "last", "only"])
def test_no_byte_is_left(tmp_path: Path, size: int, place: str) -> None:
    path = tmp_path / "ledger.db"
    secret = Secret(size)
    chance = random.Random(size)
    before = {"first": 0, "middle": 40, "last": 40, "only": 0}[place]
    after = {"first": 40, "middle": 40, "last": 0, "only": 0}[place]
    with open_ledger(path) as ledger:
        for n in range(before):
            ledger.append(_filler(n, chance), context=ALICE)
        entry = ledger.append(Record(id="s", stream="notes", payload=secret.payload), context=ALICE)
        for n in range(before, before + after):
            ledger.append(_filler(n, chance), context=ALICE)
        assert secret.traces(path, entry.salt), "the payload was never there: this would test nothing"

        ledger.redact(entry.hash, reason=REASON, context=ALICE)

        assert secret.traces(path, entry.salt) == []
        ledger.append(note(999), context=ALICE)
        assert secret.traces(path, entry.salt) == []
        assert ledger.verify(deep=True).valid
    assert secret.traces(path, entry.salt) == []
    with open_ledger(path) as ledger:
        assert ledger.verify(deep=True).valid
    assert secret.traces(path, entry.salt) == []


def test_no_byte_is_left_after_page_splits_and_many_openings(tmp_path: Path) -> None:
    """Rows move between pages while a tree grows: no stale copy may stay behind anywhere."""
    path = tmp_path / "ledger.db"
    chance = random.Random(11)
    kept_secrets: list[tuple[str, Secret, bytes | None]] = []
    for opening in range(6):
        with open_ledger(path) as ledger:
            for n in range(60):
                secret = Secret(chance.choice(SIZES[:6]))
                entry = ledger.append(Record(id=f"s-{opening}-{n}", stream="s", payload=secret.payload), context=ALICE)
                kept_secrets.append((entry.hash, secret, entry.salt))
                ledger.append_batch([_filler(n, chance) for _ in range(3)], context=ALICE)
    chance.shuffle(kept_secrets)
    erased, left = kept_secrets[:40], kept_secrets[40:]
    with open_ledger(path) as ledger:
        for digest, secret, salt in erased:
            ledger.redact(digest, reason=REASON, context=ALICE)
            assert secret.traces(path, salt) == []
        assert all(secret.traces(path) for _, secret, _ in left[:20])
        assert ledger.verify(deep=True).valid
    with open_ledger(path) as ledger:
        assert sum(entry.redacted for entry in read_all(ledger)) == 40
    assert [secret.traces(path, salt) for _, secret, salt in erased] == [[]] * 40


def test_entry_and_its_record(tmp_path: Path, stranger: Stranger) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        before = [ledger.append(note(n), context=ALICE) for n in range(3)]
        recording = ledger.redact(before[1].hash, reason=REASON, context=ALICE)
        entry = ledger.get(before[1].hash, context=ALICE)
        assert entry is not None
        assert (entry.redacted, entry.record.payload, entry.salt) == (True, None, None)
        assert (entry.seq, entry.hash, entry.prev_hash) == (1, before[1].hash, before[0].hash)
        assert entry.payload_hash == before[1].payload_hash
        assert entry.record.meta == before[1].record.meta
        assert ledger.get_by_id("r-1", context=ALICE) == entry
        assert (recording.seq, recording.record.stream) == (3, "redactions")
        assert recording.record.id == f"redaction:{entry.hash}"
        assert recording.record.payload == {"hash": entry.hash, "reason": REASON, "seq": 1}
        assert (recording.record.meta or {})["requester_oid"] == ALICE.oid
        assert ledger.head() == (3, recording.hash)
        chain = read_all(ledger)
        assert chain == [before[0], entry, before[2], recording]
        assert verify_chain(chain, LEDGER_ID).valid
    stored = stored_entries(stranger, path)
    assert [row["hash"] for row in stored] == [e.hash for e in chain]
    assert stored[1]["payload_hash"] == entry.payload_hash


def test_redacting_again_answers_the_recorded_entry(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        entry = ledger.append(note(0), context=ALICE)
        recording = ledger.redact(entry.hash, reason=REASON, context=ALICE)
        ledger.append(note(1), context=ALICE)
        assert ledger.redact(entry.hash, reason="another reason", context=ALICE) == recording
        assert len(ledger) == 3
    with open_ledger(path) as ledger:
        assert ledger.redact(entry.hash, reason=REASON, context=ALICE) == recording
        assert len(ledger) == 3


def test_threads_redact_one_entry_once(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        entry = ledger.append(note(0), context=ALICE)
        recordings: list[Any] = []
        barrier = threading.Barrier(6)

        def redact() -> None:
            barrier.wait()
            recordings.append(ledger.redact(entry.hash, reason=REASON, context=ALICE))

        writers.run_threads([redact] * 6)
        assert len(recordings) == 6
        assert len(set(recordings)) == 1
        assert len(ledger) == 2
        assert ledger.verify().valid


def test_versions_are_erased_one_by_one(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        versions = [ledger.append(note(0, version=n), context=ALICE) for n in range(3)]
        ledger.redact(versions[1].hash, reason=REASON, context=ALICE)
        history = ledger.history("r-0", context=ALICE)
        assert [entry.redacted for entry in history] == [False, True, False]
        assert history[2] == ledger.get_by_id("r-0", context=ALICE) == versions[2]


def test_unknown_hash_is_refused(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.append(note(0), context=ALICE)
        for unknown in ("ab" * 32, "not a hash", ""):
            with pytest.raises(NucleusError):
                ledger.redact(unknown, reason=REASON, context=ALICE)
        assert len(ledger) == 1


def test_record_of_a_redaction_is_not_erased(tmp_path: Path) -> None:
    """Without it the erasure it records would be one that nobody recorded."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        entry = ledger.append(note(0), context=ALICE)
        recording = ledger.redact(entry.hash, reason=REASON, context=ALICE)
        with pytest.raises(NucleusError):
            ledger.redact(recording.hash, reason=REASON, context=ALICE)
    with open_ledger(path) as ledger:
        assert read_all(ledger)[-1] == recording


@pytest.mark.parametrize("stream", ["redactions", "acl_grants"])
def test_streams_of_the_engine_are_refused_for_callers(tmp_path: Path, stream: str) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        entry = ledger.append(note(0), context=ALICE)
        payload = {"hash": entry.hash, "reason": REASON, "seq": 0}
        forged = Record(id=f"redaction:{entry.hash}", stream=stream, payload=payload)
        with pytest.raises(InvalidRecordError, match=stream):
            ledger.append(forged, context=ALICE)
        with pytest.raises(InvalidRecordError, match=stream):
            ledger.append_batch([note(1), forged], context=ALICE)
        with pytest.raises(InvalidRecordError, match=stream):
            ledger.append(forged, context=ALICE, unique=True)
        assert len(ledger) == 1


def read_for_a_while(path: Path, seconds: float, pipe: Connection) -> None:
    """Hold a read transaction with another library, as a report or a backup does."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM entries").fetchone()
    say(pipe, writers.READY)
    time.sleep(seconds)
    connection.execute("COMMIT")
    connection.close()


def test_reader_in_another_process_does_not_keep_the_payload_alive(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    secret = Secret(5_000)
    with open_ledger(path) as ledger:
        entry = ledger.append(Record(id="s", stream="notes", payload=secret.payload), context=ALICE)
        ledger.append(note(1), context=ALICE)
        reader = Child(read_for_a_while, path, 1.0)
        assert reader.wait_for_line() == writers.READY
        ledger.redact(entry.hash, reason=REASON, context=ALICE)
        reader.finish()
        # Nobody waited for the reader: the next commit empties the log.
        ledger.append(note(2), context=ALICE)
        assert ledger.stats().scrub_pending is False
        assert secret.traces(path, entry.salt) == []


def test_own_reads_and_other_ledgers_do_not_keep_the_payload_alive(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    secret = Secret(50_000)
    with open_ledger(path) as ledger, open_ledger(path) as second, open_ledger(path, read_only=True) as reader:
        entry = ledger.append(Record(id="s", stream="notes", payload=secret.payload), context=ALICE)
        for other in (ledger, second, reader):
            assert other.get(entry.hash, context=ALICE) == entry
        stop = threading.Event()

        def keep_reading(own: Ledger) -> None:
            while not stop.is_set():
                read_all(own)

        threads = [threading.Thread(target=keep_reading, args=(own,)) for own in (ledger, second, reader)]
        for thread in threads:
            thread.start()
        try:
            ledger.redact(entry.hash, reason=REASON, context=ALICE)
            assert secret.traces(path, entry.salt) == []
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for other in (ledger, second, reader):
            found = other.get(entry.hash, context=ALICE)
            assert found is not None
            assert found.redacted


def redact_until_killed(path: Path, hash: str, pipe: Connection) -> None:
    """Redact one entry, and tell before and after."""
    with open_ledger(path) as ledger:
        say(pipe, writers.READY)
        ledger.redact(hash, reason=REASON, context=ALICE)
        say(pipe, "redacted")
        ledger.append(note(1_000), context=ALICE)
        threading.Event().wait()


def test_kill_during_a_redaction(tmp_path: Path) -> None:
    """The payload is there or recorded as erased; once erased, the next opening leaves no byte of it, unasked."""
    chance = random.Random(12)
    outcomes = set()
    delay_s = 0.002
    for number in range(60):
        path = tmp_path / str(number) / "ledger.db"
        secret = Secret(60_000)
        with open_ledger(path, durability="normal") as ledger:
            ledger.append_batch([_filler(n, chance) for n in range(30)], context=ALICE)
            entry = ledger.append(Record(id="s", stream="notes", payload=secret.payload), context=ALICE)
            ledger.append_batch([_filler(n, chance) for n in range(30)], context=ALICE)
        child = Child(redact_until_killed, path, entry.hash)
        assert child.wait_for_line() == writers.READY
        # Every third at once: before the redaction has begun.
        time.sleep(delay_s if number % 3 else 0)
        child.kill()
        acknowledged = "redacted" in child.lines()
        assert child.exit_code() == -9
        # Around the moment of the acknowledgement all stages of a redaction are met, however fast the machine is.
        if number % 3:
            delay_s *= chance.uniform(0.5, 1) if acknowledged else chance.uniform(1, 2)
        assert not acknowledged or secret.traces(path, entry.salt) == []
        with open_ledger(path) as ledger:
            found = ledger.get(entry.hash, context=ALICE)
            assert ledger.verify(deep=True).valid
        assert found is not None
        assert found == entry or found.redacted
        assert found.redacted == (secret.traces(path, entry.salt) == [])
        assert found.redacted or not acknowledged
        outcomes.add((acknowledged, found.redacted))
    assert {(True, True), (False, False)} <= outcomes


def test_backup_after_a_redaction_has_no_byte_of_it(tmp_path: Path) -> None:
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    secret = Secret(20_000)
    with open_ledger(path) as ledger:
        entry = ledger.append(Record(id="s", stream="notes", payload=secret.payload), context=ALICE)
        ledger.redact(entry.hash, reason=REASON, context=ALICE)
        ledger.backup(copy)
    assert secret.traces(copy, entry.salt) == []
    with open_ledger(copy) as ledger:
        assert ledger.verify(deep=True).valid


def test_rolled_back_redaction_is_found(tmp_path: Path) -> None:
    """An older copy of the file brings the payload back; the anchor tells."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        entry = ledger.append(note(0), context=ALICE)
    older = path.read_bytes()
    with open_ledger(path) as ledger:
        ledger.redact(entry.hash, reason=REASON, context=ALICE)
    path.write_bytes(older)
    assert {kind for kind, _ in refused(path)} == {"head_mismatch"}
