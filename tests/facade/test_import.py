"""Imports: the same ledger again, or nothing at all."""

import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.facade.samples import ALICE, BOB, LEDGER_ID, note, notes, open_file
from tests.reference import building
from tests.reference.reading import parse

from nucleus import (
    ConfigError,
    IntegrityError,
    InvalidRecordError,
    Ledger,
    NucleusError,
    SchemaVersionError,
    create_ledger,
    import_ledger,
    sqlite_storage,
)

Lines = list[bytes]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The export of a ledger with more entries than one batch, some of them erased, far from what records it."""
    with open_file(tmp_path_factory.mktemp("exported") / "ledger.db") as ledger:
        entries = ledger.append_batch(notes(2_345), ALICE)
        for seq in (0, 999, 1_000, 2_344):
            ledger.redact(entries[seq].hash, "reason", BOB)
        ledger.append(note(1, text="ü\u2028\x7f😀", number=1e20, minus=-0.0), BOB)
        target = io.BytesIO()
        ledger.export(target, ALICE)
    return target.getvalue()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the new ledger goes, in a directory of its own."""
    directory = tmp_path / "imported"
    directory.mkdir()
    return directory / "ledger.db"


def _export(ledger: Ledger) -> bytes:
    buffer = io.BytesIO()
    ledger.export(buffer, ALICE)
    return buffer.getvalue()


def test_round_trip(exported: bytes, target: Path) -> None:
    seen: list[tuple[int, int]] = []
    header = import_ledger(io.BytesIO(exported), target, ALICE, progress=lambda *place: seen.append(place))
    assert (header.ledger_id, header.entries) == (LEDGER_ID, 2_350)
    assert seen[-1] == (2_350, 2_350)
    assert sorted(file.name for file in target.parent.iterdir()) == ["ledger.db", "ledger.db.anchor"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.stat().st_nlink == 1
    with open_file(target) as ledger:
        assert ledger.head() == (2_349, header.head)
        assert ledger.verify(deep=True).valid
        assert _export(ledger).splitlines()[1:] == exported.splitlines()[1:]
        ledger.append(note(1), ALICE)
        assert ledger.verify().valid


def test_import_from_a_file_by_its_name(exported: bytes, target: Path, tmp_path: Path) -> None:
    source = tmp_path / "export.jsonl"
    source.write_bytes(exported)
    import_ledger(source, str(target), context=ALICE)
    with open_file(target) as ledger:
        assert len(ledger) == 2_350


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines, b""],
        lambda lines: [line + b"\r" for line in lines],
        lambda lines: [b"", *lines],
        lambda lines: [json.dumps(json.loads(lines[0])).encode(), *lines[1:]],
    ],
    ids=["empty line", "carriage returns", "empty first line", "spaces in the header"],
)
def test_form_of_the_lines_does_not_matter(exported: bytes, target: Path, change: Callable[[Lines], Lines]) -> None:
    assert import_ledger(io.BytesIO(b"\n".join(change(exported.splitlines()))), target, ALICE).entries == 2_350


def test_empty_ledger(target: Path, ledger: Ledger) -> None:
    import_ledger(io.BytesIO(_export(ledger)), target, ALICE)
    with open_file(target) as imported:
        assert imported.head() is None
        assert imported.id == LEDGER_ID


def _header(**members: Any) -> Callable[[Lines], Lines]:
    return lambda lines: [json.dumps(json.loads(lines[0]) | members).encode(), *lines[1:]]


def _entry(seq: int, /, **members: Any) -> Callable[[Lines], Lines]:
    return lambda lines: [
        *lines[: seq + 1],
        building.line(parse(lines[seq + 1], stored=True) | members).encode(),
        *lines[seq + 2 :],
    ]


def _payload(lines: Lines) -> Lines:
    return [*lines[:6], lines[6].replace(b'"n":5', b'"n":6'), *lines[7:]]


BROKEN: dict[str, tuple[Callable[[Lines], Lines], type[NucleusError]]] = {
    "nothing": (lambda lines: [], InvalidRecordError),
    "no header": (lambda lines: lines[1:], InvalidRecordError),
    "header twice": (lambda lines: [lines[0], *lines], InvalidRecordError),
    "newer export": (_header(nucleus_export=2), SchemaVersionError),
    "other ledger id": (_header(ledger_id="another"), IntegrityError),
    "other head": (_header(head="ab" * 32), IntegrityError),
    "malformed head": (_header(head="ab"), ConfigError),
    "more entries promised": (_header(entries=2_351), IntegrityError),
    "fewer entries promised": (_header(entries=2_349), IntegrityError),
    "last entry missing": (lambda lines: lines[:-1], IntegrityError),
    "all entries missing": (lambda lines: lines[:1], IntegrityError),
    "first entry missing": (lambda lines: [lines[0], *lines[2:]], IntegrityError),
    "entry missing in the second batch": (lambda lines: [*lines[:1_500], *lines[1_501:]], IntegrityError),
    "entry twice": (lambda lines: [*lines[:5], *lines[4:]], IntegrityError),
    "two entries swapped": (lambda lines: [*lines[:7], lines[8], lines[7], *lines[9:]], IntegrityError),
    "payload changed": (_payload, IntegrityError),
    "hash changed": (_entry(1_700, hash="ab" * 32), IntegrityError),
    "salt changed": (_entry(5, salt="ab" * 16), IntegrityError),
    "link changed": (_entry(5, prev_hash="ab" * 32), IntegrityError),
    "seq changed": (_entry(5, seq=6), IntegrityError),
    "later format": (_entry(5, format=2), NucleusError),
    "line cut": (lambda lines: [*lines[:-1], lines[-1][:100]], InvalidRecordError),
    "line that is no entry": (lambda lines: [*lines[:100], b'{"id":"r"}', *lines[100:]], InvalidRecordError),
    "line that is no JSON": (lambda lines: [*lines[:100], b"junk", *lines[100:]], InvalidRecordError),
    "invalid UTF-8": (lambda lines: [*lines[:100], b"\xff", *lines[100:]], InvalidRecordError),
    "record of a redaction missing": (lambda lines: lines[:2_346], IntegrityError),
}


@pytest.mark.parametrize(("change", "error"), BROKEN.values(), ids=list(BROKEN))
def test_broken_export_leaves_nothing(
    exported: bytes, target: Path, change: Callable[[Lines], Lines], error: type[NucleusError]
) -> None:
    changed = b"\n".join(change(exported.splitlines()))
    assert changed != exported.strip()
    with pytest.raises(error):
        import_ledger(io.BytesIO(changed), target, ALICE)
    assert list(target.parent.iterdir()) == []


def test_erasure_without_its_record(target: Path, tmp_path: Path) -> None:
    """The header fits, every hash and link is right: the missing record is all that is wrong."""
    with open_file(tmp_path / "source.db") as ledger:
        entries = ledger.append_batch(notes(3), ALICE)
        ledger.redact(entries[1].hash, "reason", ALICE)
        lines = _export(ledger).splitlines()
    cut = _header(entries=3, head=entries[2].hash)(lines[:4])
    with pytest.raises(IntegrityError, match="unrecorded_redaction") as caught:
        import_ledger(io.BytesIO(b"\n".join(cut)), target, ALICE)
    assert caught.value.report is not None
    assert [(error.kind, error.seq) for error in caught.value.report.errors] == [("unrecorded_redaction", 1)]
    assert list(target.parent.iterdir()) == []


def test_bad_line_is_named(exported: bytes, target: Path) -> None:
    lines = exported.splitlines()
    with pytest.raises(InvalidRecordError, match=r"line 101\b"):
        import_ledger(io.BytesIO(b"\n".join([*lines[:100], b"junk", *lines[100:]])), target, ALICE)
    with pytest.raises(InvalidRecordError, match=r"line 1\b"):
        import_ledger(io.BytesIO(b"junk\n"), target, ALICE)


def test_line_without_end(target: Path) -> None:
    """A file that is one long line is refused before it fills the memory."""

    class Endless:
        read_bytes = 0

        def readline(self, size: int, /) -> bytes:
            self.read_bytes += size
            return b"x" * size

    source = Endless()
    with pytest.raises(InvalidRecordError, match="line 1 is longer"):
        import_ledger(source, target, ALICE, max_record_bytes=1_000)
    assert source.read_bytes < 100_000
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".anchor"])
def test_nothing_is_overwritten(exported: bytes, target: Path, suffix: str) -> None:
    taken = target.with_name(target.name + suffix)
    taken.write_bytes(b"kept")
    with pytest.raises(ConfigError, match="overwrites nothing"):
        import_ledger(io.BytesIO(exported), target, ALICE)
    assert [file.read_bytes() for file in target.parent.iterdir()] == [b"kept"]


def test_dangling_link_is_not_followed(exported: bytes, target: Path, tmp_path: Path) -> None:
    target.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(ConfigError):
        import_ledger(io.BytesIO(exported), target, ALICE)
    assert not (tmp_path / "elsewhere.db").exists()


def test_file_that_appears_meanwhile_is_not_replaced(exported: bytes, target: Path) -> None:
    def appear(done: int, total: int) -> None:
        target.write_bytes(b"kept")

    with pytest.raises(ConfigError, match="overwrites nothing"):
        import_ledger(io.BytesIO(exported), target, ALICE, progress=appear)
    assert [file.read_bytes() for file in target.parent.iterdir()] == [b"kept"]


def test_missing_directory(exported: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no directory"):
        import_ledger(io.BytesIO(exported), tmp_path / "missing" / "ledger.db", ALICE)
    assert list(tmp_path.iterdir()) == []


def test_missing_source(target: Path) -> None:
    with pytest.raises(FileNotFoundError):
        import_ledger(target.with_name("missing.jsonl"), target, ALICE)
    assert list(target.parent.iterdir()) == []


def test_interrupted_import_leaves_nothing(exported: bytes, target: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert len(list(target.parent.iterdir())) > 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_ledger(io.BytesIO(exported), target, ALICE, progress=interrupt)
    assert list(target.parent.iterdir()) == []


def test_longest_file_name(exported: bytes, target: Path) -> None:
    path = target.with_name("n" * (255 - len(".anchor")))
    import_ledger(io.BytesIO(exported), path, ALICE)
    with open_file(path) as ledger:
        assert len(ledger) == 2_350


def test_large_records(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    storage = sqlite_storage(source)
    with create_ledger(LEDGER_ID, storage=storage, max_record_bytes=40_000_000) as ledger:
        ledger.append(note(1, filler="é" * 10_000_000), ALICE)
        ledger.append_batch([note(n, filler="\x01" * 1_000_000) for n in range(4)], ALICE)
        exported = _export(ledger)
    with pytest.raises(InvalidRecordError):
        import_ledger(io.BytesIO(exported), target, ALICE, max_record_bytes=1_000_000)
    assert list(target.parent.iterdir()) == []
    import_ledger(io.BytesIO(exported), target, ALICE, max_record_bytes=40_000_000)
    with open_file(target) as ledger:
        assert _export(ledger).splitlines()[1:] == exported.splitlines()[1:]


def test_import_entries_continues_a_chain(ledger: Ledger) -> None:
    """An export can also be taken over in parts, each part whole or not at all."""
    entries = ledger.append_batch(notes(20), ALICE)
    with create_ledger(LEDGER_ID) as other:
        assert other.import_entries(entries[:10], ALICE) == 10
        for wrong in (entries[:10], entries[11:], [entries[10], entries[12]], [*entries[10:], entries[5]]):
            with pytest.raises(IntegrityError):
                other.import_entries(wrong, ALICE)
            assert len(other) == 10
        assert other.import_entries(iter(entries[10:]), context=ALICE) == 20
        assert list(other.entries(ALICE)) == entries
        assert other.import_entries([], ALICE) == 20
    with create_ledger("another") as other:
        with pytest.raises(IntegrityError):
            other.import_entries(entries, ALICE)
        assert len(other) == 0


def test_relative_paths(exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import_ledger(io.BytesIO(exported), "ledger.db", ALICE)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ledger.db", "ledger.db.anchor"]
