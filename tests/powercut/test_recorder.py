"""The recorder sees every operation in its order, and the model leads to the files that are there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.powercut.disk import Disk
from tests.powercut.log import Kind, Operation, read_log
from tests.powercut.recording import compile_recorder

PROGRAM = """
import ctypes, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
elsewhere = folder.parent / "elsewhere"
elsewhere.write_bytes(b"not recorded")
file = os.open(folder / "a", os.O_RDWR | os.O_CREAT)
os.write(file, b"one")
os.pwrite(file, b"two", 10)
os.writev(file, [b"th", b"ree"])
os.pwritev(file, [b"fo", b"ur"], 20)
os.posix_fallocate(file, 0, 64)
os.ftruncate(file, 40)
os.fsync(os.dup(file))
os.fdatasync(file)
ctypes.CDLL(None).recorder_mark(b"done", ctypes.c_size_t(4))
with open(folder / "a", "ab") as appending:
    appending.write(b"behind")
os.chdir(folder)
os.link("a", "b")
os.rename("b", "c")
os.replace(folder / "c", folder / "d")
(folder / "d").write_bytes(b"again")
os.unlink("a")
folder_file = os.open(folder, os.O_RDONLY)
os.fsync(folder_file)
os.close(os.open("e", os.O_WRONLY | os.O_CREAT, dir_fd=folder_file))
os.remove(folder / "e")
try:
    os.open(folder / "missing" / "f", os.O_CREAT)
except OSError:
    pass
"""

EXPECTED = [
    (Kind.CREATE, "a", ""),
    *[(Kind.WRITE, "", "")] * 6,
    *[(Kind.RESIZE, "", "")] * 2,
    *[(Kind.SYNC, "", "")] * 2,
    (Kind.MARK, "", ""),
    (Kind.WRITE, "", ""),
    (Kind.LINK, "a", "b"),
    (Kind.RENAME, "b", "c"),
    (Kind.RENAME, "c", "d"),
    (Kind.RESIZE, "", ""),
    (Kind.WRITE, "", ""),
    (Kind.UNLINK, "a", ""),
    (Kind.SYNC_DIRECTORY, "", ""),
    (Kind.CREATE, "e", ""),
    (Kind.UNLINK, "e", ""),
]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_recorder(tmp_path_factory.mktemp("recorder"))


def _recorded(program: str, tmp_path: Path, recorder: Path) -> tuple[list[Operation], Path]:
    folder = tmp_path / "folder"
    folder.mkdir()
    log = tmp_path / "log"
    environment = os.environ | {"LD_PRELOAD": str(recorder), "RECORDER_FOLDER": str(folder), "RECORDER_LOG": str(log)}
    subprocess.run([sys.executable, "-c", program, str(folder)], env=environment, check=True)
    return list(read_log(log.read_bytes())), folder


def test_every_operation_is_seen(tmp_path: Path, recorder: Path) -> None:
    operations, folder = _recorded(PROGRAM, tmp_path.resolve(), recorder)
    assert [(operation.kind, operation.path, operation.other) for operation in operations] == EXPECTED
    assert [operation.data for operation in operations if operation.kind is Kind.MARK] == [b"done"]
    disk = Disk({})
    for operation in operations:
        disk.apply(operation)
    assert disk.current() == {file.name: file.read_bytes() for file in folder.iterdir()}


TWO_WRITERS = """
import os, sys
path = os.path.join(sys.argv[1], "a")
os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
child = os.fork()
file = os.open(path, os.O_WRONLY)
for number in range(500):
    os.pwrite(file, bytes([number % 250 + (0 if child else 1)]) * 600, 0)
if child:
    os.waitpid(child, 0)
"""


def test_the_order_of_two_processes_is_the_order_of_the_log(tmp_path: Path, recorder: Path) -> None:
    operations, folder = _recorded(TWO_WRITERS, tmp_path.resolve(), recorder)
    assert len(operations) == 1_001
    disk = Disk({})
    for operation in operations:
        disk.apply(operation)
    assert disk.current() == {"a": (folder / "a").read_bytes()}
