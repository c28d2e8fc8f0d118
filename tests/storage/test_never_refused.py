"""A sound ledger is never called unsound: not beside writers, not after a cut, not with an old log beside it."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.storage.children import Child
from tests.storage.ledgers import ALICE, anchor_of, files_of, note, open_ledger, read_all, snapshot, wal_of
from tests.storage.samples import LENGTH
from tests.storage.writers import append_and_die

import nucleus
from nucleus import ConfigError, IntegrityError, StorageError

RUN = 65_536


def _batches(count: int, first: int = 0) -> list[list[nucleus.Record]]:
    return [
        [note(n) for n in range(start, min(start + 8_000, first + count))]
        for start in range(first, first + count, 8_000)
    ]


def test_redaction_in_the_middle_of_a_verification(tmp_path: Path) -> None:
    """The erased payload is read by the verification, the entry that records it is not, or the other way round."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        entries = [entry for batch in _batches(40_000) for entry in ledger.append_batch(batch, context=ALICE)]
        doomed = [entries[seq].hash for seq in (39_999, 20_000, 5)]

        def redact_meanwhile(done: int, total: int) -> None:
            if doomed:
                ledger.redact(doomed.pop(), reason="meanwhile", context=ALICE)

        report = ledger.verify(progress=redact_meanwhile)
        assert not doomed
        assert report.valid, report.errors
        assert ledger.verify(deep=True).valid


def test_index_run_in_the_middle_of_a_verification(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for batch in _batches(RUN - 10):
            ledger.append_batch(batch, context=ALICE)
        pending = [note(number) for number in range(RUN, RUN + 20)]

        def write_the_run(done: int, total: int) -> None:
            if pending:
                ledger.append_batch(pending, context=ALICE)
                pending.clear()

        report = ledger.verify(progress=write_the_run)
        assert not pending
        assert report.valid, report.errors


def test_backup_beside_a_writer_ends_and_is_of_one_moment(tmp_path: Path) -> None:
    """Each step of the copy meets another process's commit, with which the copy would begin anew."""
    path, copy = tmp_path / "ledger.db", tmp_path / "copy.db"
    with open_ledger(path) as ledger, open_ledger(path, verify_on_open=False) as writer:
        for batch in _batches(30_000):
            ledger.append_batch(batch, context=ALICE)
        steps = []

        def append_meanwhile(done: int, total: int) -> None:
            steps.append(done)
            assert len(steps) < 1_000, "the copy begins anew with each commit"
            writer.append(note(len(steps)), context=ALICE)

        head = ledger.backup(copy, progress=append_meanwhile)
        assert head is not None
        assert 29_999 <= head[0] < len(ledger) - 1
    with open_ledger(copy) as copied:
        assert copied.head() == head
        assert copied.verify(deep=True).valid


def test_unfinished_backup_has_no_name(tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise EnoughError

    with open_ledger(tmp_path / "ledger.db") as ledger:
        ledger.append(note(0), context=ALICE)
        before = set(tmp_path.iterdir())
        with pytest.raises(EnoughError):
            ledger.backup(tmp_path / "copy.db", progress=stop)
        assert set(tmp_path.iterdir()) == before


def test_normal_durability_anchors_only_what_is_durable(tmp_path: Path) -> None:
    """What an un-synced log may lose, the anchor must not name, whichever of the two reaches the disk first."""
    path, cut = tmp_path / "ledger.db", tmp_path / "cut.db"
    ledger = open_ledger(path, durability="normal")
    ledger.append(note(0), context=ALICE)
    for file in (path, wal_of(path)):
        shutil.copy(file, cut.with_name(cut.name + file.name.removeprefix(path.name)))
    ledger.append(note(1), context=ALICE)
    shutil.copy(anchor_of(path), anchor_of(cut))
    with open_ledger(cut, durability="normal") as survived:
        assert len(survived) == 1
    ledger.close()
    shutil.copy(anchor_of(path), anchor_of(cut))
    with pytest.raises(IntegrityError):
        open_ledger(cut, durability="normal").close()


def test_anchor_changes_within_one_sector(tmp_path: Path) -> None:
    """A disk writes 512 bytes whole or not at all: no cut may leave half an anchor, however long the ledger's id is."""
    for ledger_id in ("short", "n" * 255, '"' * 255, "\N{EURO SIGN}" * 85):
        path = tmp_path / f"{len(ledger_id.encode())}-{ledger_id[:1]!a}.db".replace("\\", "_")
        anchors = []
        with open_ledger(path, id=ledger_id) as ledger:
            for number in range(12):
                anchors.append(anchor_of(path).read_bytes())
                ledger.append(note(number), context=ALICE)
        assert len({anchor[:512] for anchor in anchors}) == len(anchors)
        assert len({anchor[512:] for anchor in anchors}) == 1
        with open_ledger(path, id=ledger_id) as ledger:
            assert len(ledger) == 12


@pytest.fixture
def overwritten(tmp_path: Path) -> tuple[Path, Path]:
    """A killed ledger over whose file a backup was copied, as an operator in a hurry does; and the backup."""
    path, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    with open_ledger(path) as ledger:
        for batch in _batches(2_000):
            ledger.append_batch(batch, context=ALICE)
        ledger.backup(backup)
        for batch in _batches(2_000, 2_000):
            ledger.append_batch(batch, context=ALICE)
    Child(append_and_die, path, 30).exit_code()
    shutil.copy(backup, path)
    return path, backup


def test_backup_beside_an_old_log_is_found_before_anything_is_replayed(overwritten: tuple[Path, Path]) -> None:
    path, _ = overwritten
    kept = {file: file.read_bytes() for file in files_of(path) if not file.name.endswith("-shm")}
    for options in ({}, {"accept_rollback": True}, {"verify_on_open": False}, {"read_only": True}):
        with pytest.raises(StorageError, match=r"nucleus restore"):
            open_ledger(path, **options).close()  # type: ignore[arg-type]
        assert {file: file.read_bytes() for file in kept} == kept


def test_restore_replaces_database_log_and_anchor(overwritten: tuple[Path, Path]) -> None:
    path, backup = overwritten
    before = snapshot(path)
    with pytest.raises(ConfigError, match="replace"):
        nucleus.restore(backup, path)
    assert snapshot(path) == before
    restored = nucleus.restore(backup, path, replace=True)
    assert restored.head is not None
    assert restored.head[0] == 1_999
    assert restored.replaced is not None
    # What was there before is whole, beside it.
    for suffix in ("", "-wal", ".anchor"):
        aside = restored.replaced.with_name(restored.replaced.name + suffix)
        assert aside.read_bytes() == before[path.with_name(path.name + suffix)]
    with open_ledger(path) as ledger, open_ledger(backup) as original:
        assert read_all(ledger) == read_all(original)
        assert ledger.verify(deep=True).end_checked_by == "anchor"
        ledger.append(note(1), context=ALICE)


def test_restore_where_there_is_nothing(sample: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "ledger.db"
    target.parent.mkdir()
    assert nucleus.restore(sample, target).replaced is None
    with open_ledger(target) as ledger:
        assert len(ledger) == LENGTH


def test_restore_is_refused_while_somebody_has_the_ledger_open(sample: Path, tmp_path: Path) -> None:
    target = tmp_path / "ledger.db"
    with open_ledger(target) as ledger:
        with pytest.raises(ConfigError, match="open"):
            nucleus.restore(sample, target, replace=True)
        ledger.append(note(0), context=ALICE)
    with open_ledger(target) as ledger:
        assert len(ledger) == 1


def test_restore_takes_no_damaged_backup(sample: Path, tmp_path: Path) -> None:
    target = tmp_path / "ledger.db"
    with open_ledger(target) as ledger:
        ledger.append(note(0), context=ALICE)
    content = bytearray(sample.read_bytes())
    position = content.index(b'"n":1')
    content[position + 4 : position + 5] = b"7"
    sample.write_bytes(content)
    before = snapshot(target)
    with pytest.raises(IntegrityError):
        nucleus.restore(sample, target, replace=True)
    assert snapshot(target) == before


def test_redaction_waits_for_no_reader(tmp_path: Path) -> None:
    """A reader of another program keeps the log: appends go on, and the scrub is made up for once it has gone."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        secret = ledger.append(note(0, secret="to-be-erased"), context=ALICE)
        program = (
            "import sqlite3, sys\n"
            f"reader = sqlite3.connect({str(path)!r}, isolation_level=None)\n"
            "reader.execute('BEGIN')\n"
            "reader.execute('SELECT count(*) FROM entries').fetchone()\n"
            "print('reading', flush=True)\n"
            "sys.stdin.read()\n"
        )
        reader = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        recorded = ledger.redact(secret.hash, reason="asked for", context=ALICE)
        assert ledger.stats().scrub_pending is True
        ledger.append(note(1), context=ALICE)
        found = ledger.get(secret.hash, context=ALICE)
        assert found is not None
        assert found.redacted
        reader.communicate()
        ledger.append(note(2), context=ALICE)
        assert ledger.stats().scrub_pending is False
        assert all(b"to-be-erased" not in file.read_bytes() for file in files_of(path))
        assert ledger.redact(secret.hash, reason="asked for", context=ALICE) == recorded


def test_legacy_creation_that_was_cut_short_is_taken_up(tmp_path: Path) -> None:
    """A database without any content, as an opener of version 0.1.0 left it that died while it created a ledger."""
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
    with open_ledger(path) as ledger:
        assert len(ledger) == 1
