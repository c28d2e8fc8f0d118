"""Exports: canonical JSON Lines that a stranger can check."""

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.facade.samples import ALICE, LEDGER_ID, note, notes, open_file
from tests.reference.canonical import canonicalize
from tests.reference.chain import verify_chain
from tests.reference.reading import parse

from nucleus import ConfigError, ConflictError, ExportHeader, InvalidRecordError, Ledger, SchemaVersionError


def _exported(ledger: Ledger) -> bytes:
    target = io.BytesIO()
    assert ledger.export(target, ALICE) == len(ledger)
    return target.getvalue()


@pytest.mark.parametrize("count", [0, 1, 1_000, 2_345])
def test_export_is_canonical_and_verifies_elsewhere(ledger: Ledger, count: int) -> None:
    ledger.append_batch(notes(count), ALICE)
    ledger.append(note(1, text="ü\u2028\x7f\x1b😀", number=1e20), ALICE)
    head = ledger.head()
    assert head is not None
    first, *rest = _exported(ledger).splitlines()
    header = parse(first)
    assert header == {
        "created_at": ledger.stats().created_at,
        "entries": count + 1,
        "format": 1,
        "head": head[1],
        "ledger_id": LEDGER_ID,
        "nucleus_export": 1,
    }
    assert canonicalize(header) == first
    entries = [parse(line, stored=True) for line in rest]
    assert [canonicalize(entry, max_depth=130) for entry in entries] == rest
    assert verify_chain(entries, LEDGER_ID, expected_head=head[1], expected_length=count + 1) == []
    assert entries[-1]["record"]["payload"]["text"] == "ü\u2028\x7f\x1b😀"


def test_export_of_an_empty_ledger(ledger: Ledger) -> None:
    (line,) = _exported(ledger).splitlines()
    assert json.loads(line)["entries"] == 0
    assert json.loads(line)["head"] is None


def test_export_to_a_file(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append_batch(notes(10), ALICE)
    target = tmp_path / "export.jsonl"
    umask = os.umask(0)
    try:
        assert ledger.export(target, context=ALICE) == 10
    finally:
        os.umask(umask)
    assert target.read_bytes() == _exported(ledger)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_export_overwrites_nothing(ledger: Ledger, tmp_path: Path) -> None:
    target = tmp_path / "export.jsonl"
    target.write_text("kept")
    with pytest.raises(ConfigError, match=r"export\.jsonl"):
        ledger.export(str(target), ALICE)
    assert target.read_text() == "kept"


class _FullDisk:
    """Takes the header and nothing after it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        if self.taken:
            raise OSError(28, "No space left on device")
        self.taken.append(data)
        return len(data)


def test_export_that_cannot_be_written(ledger: Ledger) -> None:
    ledger.append_batch(notes(10), ALICE)
    with pytest.raises(OSError, match="No space left"):
        ledger.export(_FullDisk(), ALICE)
    assert ledger.verify().valid


def test_appends_during_an_export_stay_outside(ledger: Ledger) -> None:
    ledger.append_batch(notes(2_500), ALICE)
    target = io.BytesIO()
    written = ledger.export(target, ALICE, progress=lambda done, total: ledger.append(note(done), ALICE))
    header, *entries = map(parse, target.getvalue().splitlines())
    assert written == header["entries"] == len(entries) == 2_500
    assert verify_chain(entries, LEDGER_ID, expected_head=header["head"]) == []


def _redact_after_first_page(ledger: Ledger, target: Any, seq: int) -> int:
    (entry, *_) = ledger.entries(ALICE, start_seq=seq)

    def redact(done: int, total: int) -> None:
        ledger.redact(entry.hash, "during the export", ALICE)

    return ledger.export(target, ALICE, progress=redact)


def test_redaction_during_an_export_of_what_is_still_to_come(ledger: Ledger, tmp_path: Path) -> None:
    """Its record would stand behind the exported head, so the export would not verify."""
    ledger.append_batch(notes(2_500), ALICE)
    target = tmp_path / "export.jsonl"
    with pytest.raises(ConflictError, match="again"):
        _redact_after_first_page(ledger, target, 2_400)
    assert not target.exists()
    ledger.export(target, ALICE)
    header, *entries = map(parse, target.read_bytes().splitlines())
    assert verify_chain(entries, LEDGER_ID, expected_head=header["head"]) == []


def test_redaction_during_an_export_of_what_is_written(ledger: Ledger) -> None:
    ledger.append_batch(notes(2_500), ALICE)
    target = io.BytesIO()
    assert _redact_after_first_page(ledger, target, 3) == 2_500
    _, *entries = map(parse, target.getvalue().splitlines())
    assert verify_chain(entries, LEDGER_ID) == []


def test_redacted_entries_are_exported_as_they_are(path: Path) -> None:
    with open_file(path) as ledger:
        entry = ledger.append(note(0, secret="hunter2"), ALICE)
        ledger.append_batch(notes(3), ALICE)
        ledger.redact(entry.hash, "reason", ALICE)
        exported = _exported(ledger)
    assert b"hunter2" not in exported
    _, *entries = map(parse, exported.splitlines())
    assert (entries[0]["redacted"], entries[0]["salt"], entries[0]["record"]["payload"]) == (True, None, None)
    assert verify_chain(entries, LEDGER_ID) == []


HEADER: dict[str, Any] = {"entries": 1, "format": 1, "head": "ab" * 32, "ledger_id": LEDGER_ID, "nucleus_export": 1}

# What no member of a header can be.
NO_MEMBER: list[Any] = [True, 1.5, [], {}]


@pytest.mark.parametrize("created_at", [None, 1_700_000_000_000])
@pytest.mark.parametrize(("entries", "head"), [(0, None), (5, "ab" * 32)])
def test_header_round_trip(created_at: int | None, entries: int, head: str | None) -> None:
    header = ExportHeader("ledger ü", entries, head, created_at)
    assert ExportHeader.from_json(header.to_json()) == header
    assert parse(header.to_json()) == {
        "entries": entries, "format": 1, "head": head, "ledger_id": "ledger ü", "nucleus_export": 1,
    } | ({} if created_at is None else {"created_at": created_at})  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"\xff",
        *(json.dumps({k: v for k, v in HEADER.items() if k != key}).encode() for key in HEADER),
        *(json.dumps(HEADER | {key: value}).encode() for key in HEADER for value in NO_MEMBER),
        *(json.dumps(HEADER | {key: "x"}).encode() for key in HEADER if key not in {"head", "ledger_id"}),
        *(json.dumps(HEADER | {key: None}).encode() for key in HEADER),
        json.dumps(HEADER | {"entries": -1}).encode(),
        json.dumps(HEADER | {"entries": 0}).encode(),
        json.dumps(HEADER | {"created_at": None}).encode(),
        json.dumps(HEADER | {"extra": 1}).encode(),
        json.dumps(HEADER).replace("}", ', "entries": 1}').encode(),
    ],
)
def test_what_is_no_header(line: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        ExportHeader.from_json(line)


def test_header_of_a_newer_version() -> None:
    with pytest.raises(SchemaVersionError) as caught:
        ExportHeader.from_json(json.dumps({"nucleus_export": 2, "something": "new"}).encode())
    assert (caught.value.found, caught.value.supported) == (2, 1)
