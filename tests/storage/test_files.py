"""Where the files of a ledger are, who may read them, and what may not be written stays unwritten."""

import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from blake3 import blake3
from tests.storage import writers
from tests.storage.acknowledged import Account
from tests.storage.children import Child, run, say
from tests.storage.expectations import refused
from tests.storage.ledgers import (
    ALICE,
    LEDGER_ID,
    anchor_of,
    copy_ledger,
    files_of,
    kept,
    note,
    open_ledger,
    read_all,
    wal_of,
)
from tests.storage.samples import LENGTH
from tests.storage.stranger import Stranger

from nucleus import NucleusError

# Of <linux/capability.h>.
_CAPABILITY_VERSION_3 = 0x20080522


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_parent_directories_are_created_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
    assert _mode(tmp_path / "a") == _mode(tmp_path / "a" / "b") == 0o700


def create_under_umask(path: Path, umask: int, pipe: Connection) -> None:
    """Create a ledger under a umask; tell the modes of its files while it is open."""
    os.umask(umask)
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
        for file in files_of(path):
            say(pipe, f"{file.name} {_mode(file):o}")
    for file in files_of(path):
        say(pipe, f"{file.name} {_mode(file):o}")


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_new_files_are_for_the_owner_alone(tmp_path: Path, umask: int) -> None:
    lines = run(create_under_umask, tmp_path / "ledger.db", umask)
    names = {line.split()[0] for line in lines}
    assert names == {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.anchor"}
    assert {line.split()[1] for line in lines} == {"600"}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o644])
def test_mode_of_an_existing_file_is_kept_and_used_for_all(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
    path.chmod(mode)
    anchor_of(path).unlink()
    with open_ledger(path, accept_rollback=True) as ledger:
        ledger.append(note(1), context=ALICE)
        assert {file.name: _mode(file) for file in files_of(path)} == dict.fromkeys(
            ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.anchor"], mode
        )
    assert {_mode(file) for file in files_of(path)} == {mode}


def test_mode_of_an_empty_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    path.chmod(0o640)
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
        assert {_mode(file) for file in files_of(path)} == {0o640}


def test_closed_ledger_is_two_files(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
    assert files_of(path) == [path, anchor_of(path)]


NAMES = [
    "with space.db",
    "q?mode=memory",
    "100%.db",
    "%41.db",
    "#fragment.db",
    "a&b=c.db",
    "file:ledger.db",
    "file:ledger.db?immutable=1",
    ":memory:",
    "-rf",
    "ünï-😀.db",
    "e\u0301.db",
    "'quoted\".db",
    "back\\slash.db",
    "new\nline.db",
    "no suffix",
    ".hidden",
    "ledger.db-wal",
    "n" * 200,
]


@pytest.mark.parametrize("name", NAMES)
def test_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / "directory" / name
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
    assert {file.name for file in path.parent.iterdir()} == {name, f"{name}.anchor"}
    for read_only in (True, False):
        with open_ledger(path, read_only=read_only) as ledger:
            assert len(ledger) == 1


@pytest.mark.parametrize("name", NAMES)
def test_names_on_a_medium_that_cannot_be_written(unwritable: Path, name: str) -> None:
    _make_writable(unwritable)
    path = unwritable / name
    with open_ledger(path) as ledger:
        ledger.append(note(0), context=ALICE)
    _make_unwritable(unwritable)
    assert run(read_without_override, path) == ["1"]


def use_relative_path(directory: Path, pipe: Connection) -> None:
    """Open by a relative path, change the directory, go on."""
    os.chdir(directory / "first")
    with open_ledger("ledger.db") as ledger:
        ledger.append(note(0), context=ALICE)
        os.chdir(directory / "second")
        for number in range(1, 5):
            ledger.append(note(number), context=ALICE)
        assert len(read_all(ledger)) == 5
        assert ledger.verify(deep=True).valid
    say(pipe, "done")


def test_relative_path_means_where_it_was_opened(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    assert run(use_relative_path, tmp_path) == ["done"]
    assert list((tmp_path / "second").iterdir()) == []
    with open_ledger(tmp_path / "first" / "ledger.db") as ledger:
        assert len(ledger) == 5


def test_symbolic_link_is_the_same_ledger(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "ledger.db", tmp_path / "link.db"
    open_ledger(real).close()
    link.symlink_to(real)
    children = [Child(writers.append_count, path, path.parent.name, 1, 100) for path in (real, link)]
    account = Account()
    for child in children:
        account.add(child.finish())
    account.check_all(real, nothing_else=True)
    account.check_all(link, nothing_else=True)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("link")] == ["link.db"]


def test_symbolic_link_has_the_same_anchor(tmp_path: Path, stranger: Stranger) -> None:
    real, link = tmp_path / "real" / "ledger.db", tmp_path / "link.db"
    with open_ledger(real) as ledger:
        ledger.append_batch([note(number) for number in range(5)], context=ALICE)
    link.symlink_to(real)
    with open_ledger(link) as ledger:
        ledger.append(note(5), context=ALICE)
    stranger.edit(real, "DELETE FROM entries WHERE seq = 5")
    for path in (link, real):
        assert {kind for kind, _ in refused(path)} == {"head_mismatch"}


def test_symbolic_link_on_a_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with open_ledger(tmp_path / "link" / "ledger.db") as ledger:
        ledger.append(note(0), context=ALICE)
    with open_ledger(tmp_path / "real" / "ledger.db") as ledger:
        assert len(ledger) == 1


def test_read_only_writes_nothing(sample: Path) -> None:
    before = kept(sample)
    times = {file.name: file.stat().st_mtime_ns for file in (sample, anchor_of(sample))}
    with open_ledger(sample, read_only=True) as ledger:
        entries = read_all(ledger)
        assert ledger.verify(deep=True).valid
        for write in (
            lambda: ledger.append(note(0), context=ALICE),
            lambda: ledger.append_batch([note(0)], context=ALICE),
            lambda: ledger.redact(entries[0].hash, reason="x", context=ALICE),
        ):
            with pytest.raises(NucleusError, match="read-only"):
                write()
    assert kept(sample) == before
    assert {file.name: file.stat().st_mtime_ns for file in (sample, anchor_of(sample))} == times


def test_read_only_beside_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    writer = Child(writers.append_singles, path, "w")
    assert writer.wait_for_line() == writers.READY
    first = writer.wait_for_line()
    account = Account()
    with open_ledger(path, read_only=True) as ledger:
        account.add([first])
        account.check_recent(ledger, [first])
        for _ in range(20):
            line = writer.wait_for_line()
            account.add([line])
            account.check_recent(ledger, [line])
        # Closing a reader must not take anything from the writer.
    for _ in range(20):
        account.add([writer.wait_for_line()])
    writer.kill()
    account.add(writer.lines())
    assert writer.exit_code() == -9
    account.check_all(path)


def _make_unwritable(directory: Path) -> None:
    for file in directory.iterdir():
        file.chmod(0o444)
    directory.chmod(0o555)


def _make_writable(directory: Path) -> None:
    directory.chmod(0o755)
    for file in directory.iterdir():
        file.chmod(0o644)


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    """A directory that cannot be written to without the right to pass over its mode."""
    directory = tmp_path / "unwritable"
    directory.mkdir(mode=0o555)
    yield directory
    _make_writable(directory)


def _give_up_override() -> None:
    """Give up root's right to pass over file modes (capabilities 1 and 2); nobody else has it anyway."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    for index in range(3):
        # Effective, permitted, inheritable.
        sets[index] &= ~0b110
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


def read_without_override(path: Path, pipe: Connection) -> None:
    """Read and verify a ledger without the right to write anything; tell its length or what went wrong."""
    _give_up_override()
    try:
        path.with_name("probe").touch()
    except PermissionError:
        pass
    else:
        raise AssertionError("the directory can be written to: this would test nothing")
    try:
        with open_ledger(path, id=LEDGER_ID, read_only=True) as ledger:
            assert ledger.verify(deep=True).valid
            entries = read_all(ledger)
            assert all(ledger.get(entry.hash, context=ALICE) == entry for entry in entries)
            say(pipe, str(len(entries)))
    except NucleusError as error:
        say(pipe, f"{type(error).__name__} {error}")


def test_medium_that_cannot_be_written(sample_template: Path, unwritable: Path) -> None:
    _make_writable(unwritable)
    path = copy_ledger(sample_template, unwritable)
    before = kept(path)
    _make_unwritable(unwritable)
    assert run(read_without_override, path) == [str(LENGTH)]
    assert kept(path) == before
    assert files_of(path) == [path, anchor_of(path)]


def test_tampering_on_a_medium_that_cannot_be_written(
    sample_template: Path, unwritable: Path, stranger: Stranger
) -> None:
    _make_writable(unwritable)
    path = copy_ledger(sample_template, unwritable)
    stranger.edit(path, "DELETE FROM entries WHERE seq = 11")
    _make_unwritable(unwritable)
    (line,) = run(read_without_override, path)
    assert line.startswith("IntegrityError")


def write_without_override(path: Path, pipe: Connection) -> None:
    """Open for writing without the right to."""
    _give_up_override()
    try:
        open_ledger(path).close()
    except NucleusError as error:
        say(pipe, f"{type(error).__name__} {error}")


def test_writing_where_nothing_can_be_written_is_a_clear_error(sample_template: Path, unwritable: Path) -> None:
    _make_writable(unwritable)
    path = copy_ledger(sample_template, unwritable)
    before = kept(path)
    _make_unwritable(unwritable)
    for target in (path, unwritable / "new.db", unwritable / "sub" / "new.db"):
        (line,) = run(write_without_override, target)
        assert str(target) in line
    assert kept(path) == before
    assert files_of(path) == [path, anchor_of(path)]


@pytest.mark.parametrize("with_shm", [True, False])
def test_log_on_a_medium_that_cannot_be_written(tmp_path: Path, unwritable: Path, with_shm: bool) -> None:
    """The log holds entries: all of them are read, or the ledger is refused with a message that says why."""
    killed = tmp_path / "ledger.db"
    child = Child(writers.append_and_die, killed, 12)
    child.lines()
    assert child.exit_code() == -9
    _make_writable(unwritable)
    path = copy_ledger(killed, unwritable)
    if not with_shm:
        path.with_name(path.name + "-shm").unlink()
    assert wal_of(path).stat().st_size > 0
    _make_unwritable(unwritable)
    (line,) = run(read_without_override, path)
    assert line == "12" or (line.startswith("DatabaseError") and str(path) in line and "write-ahead log" in line)


def test_unreadable_file_is_a_clear_error(sample_template: Path, unwritable: Path) -> None:
    _make_writable(unwritable)
    path = copy_ledger(sample_template, unwritable)
    _make_unwritable(unwritable)
    path.chmod(0o000)
    (line,) = run(read_without_override, path)
    assert line.startswith("DatabaseError")
    assert str(path) in line


def test_backup_is_for_the_owner_alone_and_never_over_a_file(sample: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    with open_ledger(sample) as ledger:
        assert ledger.backup(target) == ledger.head()
        with pytest.raises(NucleusError, match=r"backup\.db"):
            ledger.backup(target)
        entries = read_all(ledger)
    assert _mode(target) == 0o600
    with open_ledger(target) as ledger:
        assert read_all(ledger) == entries


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db.anchor"])
@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_names_of_unfinished_files_lead_nowhere(tmp_path: Path, name: str, plant: Callable[[Path, Path], None]) -> None:
    """Where others may write to the directory, they could make a name that is known beforehand lead to another file."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"content")
    plant(tmp_path / f".nucleus-{blake3(name.encode()).hexdigest()[:16]}.unfinished", victim)
    with pytest.raises(NucleusError):
        open_ledger(tmp_path / "ledger.db").close()
    assert victim.read_bytes() == b"content"
    assert not (tmp_path / "ledger.db").exists()
