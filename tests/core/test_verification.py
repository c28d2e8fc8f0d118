"""Chain verification: the golden ledger, every tampering with it, and the report."""

import copy
import json
import pickle
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.reference import chain as reference
from tests.reference import golden_inputs, strategies
from tests.reference.building import append, line
from tests.reference.tampering import Tampering, tamperings
from tests.reference.vectors import load

from nucleus._core import ChainEntry, VerificationReport, verify_chain
from nucleus.errors import ConfigError, InvalidRecordError

_LEDGER = load("ledger.json")
_TAMPERED = load("tampered.json")

Faults = set[tuple[str, int | None]]


def _entries(lines: list[str]) -> list[ChainEntry]:
    return [ChainEntry.from_json(text) for text in lines]


def _faults(report: VerificationReport) -> Faults:
    return {(error.kind, error.seq) for error in report.errors}


def _check(lines: list[str], expected: Faults, ledger_id: str, head: str | None, length: int | None) -> None:
    """Check that a chain is reported with these faults; a malformed line may be refused when it is read."""
    try:
        entries = _entries(lines)
    except InvalidRecordError:
        assert "malformed_entry" in {kind for kind, _ in expected}
        return
    report = verify_chain(entries, ledger_id, expected_head=head, expected_length=length)
    assert _faults(report) == expected
    assert report.valid is (not expected)
    assert set(report.counts) == {kind for kind, _ in expected}
    assert sum(report.counts.values()) == len(report.errors)
    assert report.entries_checked == len(lines)


def test_golden_ledger_is_valid() -> None:
    entries = _entries([row["line"] for row in _LEDGER["entries"]])
    report = verify_chain(entries, _LEDGER["ledger_id"], expected_head=_LEDGER["head"], expected_length=len(entries))
    assert report.errors == []
    assert report.counts == {}
    assert report.valid is True
    assert report.entries_checked == len(entries)
    assert report.head_hash == _LEDGER["head"]
    assert report.timestamp_regressions == _LEDGER["timestamp_regressions"]


@pytest.mark.parametrize("case", _TAMPERED["cases"], ids=lambda case: str(case["name"]))
def test_tampered_chains(case: dict[str, Any]) -> None:
    lines = [_TAMPERED["lines"][index] for index in case["chain"]]
    expected = {(kind, seq) for kind, seq in case["faults"]}
    _check(lines, expected, case["ledger_id"], case["expected_head"], case["expected_length"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(strategies.chains("property", max_records=4))
def test_any_tampering_with_any_chain_is_reported_as_the_reference_reports_it(entries: list[reference.Entry]) -> None:
    untouched = Tampering("untouched", entries, "property", entries[-1]["hash"], len(entries))
    for case in (untouched, *tamperings(entries, "property")):
        lines = [line(entry) for entry in case.entries]
        expected = {(fault.kind, fault.seq) for fault in case.faults()}
        _check(lines, expected, case.ledger_id, case.expected_head, case.expected_length)


def _small_chain() -> list[reference.Entry]:
    return golden_inputs.build(golden_inputs.SMALL_LEDGER_ID, golden_inputs.small_entries())


def _verify(entries: list[reference.Entry], **expectations: Any) -> VerificationReport:
    return verify_chain(_entries([line(entry) for entry in entries]), golden_inputs.SMALL_LEDGER_ID, **expectations)


def test_empty_chain_is_valid() -> None:
    report = verify_chain([], "any")
    assert (report.valid, report.entries_checked, report.head_hash) == (True, 0, None)
    assert (report.errors, report.counts, report.timestamp_regressions) == ([], {}, 0)
    assert verify_chain([], "any", expected_length=0).valid


def test_any_sequence_of_entries_is_accepted() -> None:
    entries = _entries([row["line"] for row in _LEDGER["entries"]])
    assert verify_chain(tuple(entries), _LEDGER["ledger_id"]).valid


def test_a_truncated_chain_is_valid_until_its_length_or_head_is_known() -> None:
    entries = _small_chain()
    assert _verify(entries[:2]).valid
    assert _faults(_verify(entries[:2], expected_length=5)) == {("head_mismatch", 1)}
    assert _faults(_verify(entries[:2], expected_head=entries[-1]["hash"])) == {("head_mismatch", 1)}
    assert _verify(entries[:2], expected_length=2, expected_head=entries[1]["hash"]).valid


def test_errors_say_what_was_expected_and_what_was_found() -> None:
    entries = _small_chain()
    changed = "0" * 64
    report = _verify([entries[0], entries[1] | {"hash": changed}, *entries[2:]])
    found = [(error.kind, error.seq, error.record_id, error.expected, error.actual) for error in report.errors]
    assert found == [
        ("hash_mismatch", 1, "r-2", entries[1]["hash"], changed),
        ("chain_link_broken", 2, "r-3", changed, entries[1]["hash"]),
    ]


def test_a_gap_says_which_seq_was_expected() -> None:
    entries = _small_chain()
    report = _verify(entries[:1] + entries[3:])
    gap = next(error for error in report.errors if error.kind == "sequence_gap")
    assert (gap.seq, gap.record_id) == (3, "r-1")
    assert [re.findall(r"\d+", text or "") for text in (gap.expected, gap.actual)] == [["1"], ["3"]]


def test_errors_come_in_chain_order() -> None:
    entries = [entry | {"payload_hash": "0" * 64} for entry in _small_chain()]
    report = _verify(entries)
    assert [error.seq for error in report.errors if error.kind == "hash_mismatch"] == list(range(len(entries)))


def test_timestamps_that_run_backwards_are_counted_and_no_fault() -> None:
    entries: list[reference.Entry] = []
    for timestamp in (5, 4, 4, 9, 3, 10):
        record: reference.Record = {"id": "r", "stream": "s", "timestamp": timestamp, "payload": {}}
        append(entries, golden_inputs.SMALL_LEDGER_ID, record, bytes(16))
    report = _verify(entries)
    assert (report.valid, report.timestamp_regressions) == (True, 2)


def test_at_most_a_thousand_errors_are_kept_and_all_are_counted() -> None:
    entries: list[reference.Entry] = []
    record: reference.Record = {"id": "r", "stream": "s", "timestamp": 1, "payload": {}}
    for _ in range(1_500):
        append(entries, golden_inputs.SMALL_LEDGER_ID, record, bytes(16))
    report = _verify([entry | {"salt": "11" * 16} for entry in entries])
    assert not report.valid
    assert report.counts == {"hash_mismatch": 1_500}
    assert [error.seq for error in report.errors] == list(range(1_000))
    assert report.entries_checked == 1_500


def test_a_long_valid_chain_verifies() -> None:
    entries: list[reference.Entry] = []
    for number in range(2_000):
        record = {"id": f"r-{number}", "stream": "s", "timestamp": number + 1, "payload": {"n": number}}
        append(entries, golden_inputs.SMALL_LEDGER_ID, record, number.to_bytes(16, "big"))
    assert _verify(entries, expected_head=entries[-1]["hash"], expected_length=2_000).valid
    expected = {("sequence_gap", 1_235), ("chain_link_broken", 1_235)}
    assert _faults(_verify(entries[:1_234] + entries[1_235:])) == expected


@pytest.mark.parametrize("head", ["", "0", "0" * 63, "0" * 65, "g" * 64, "0" * 63 + "\n"])
def test_a_malformed_expected_head_is_refused(head: str) -> None:
    with pytest.raises(ConfigError):
        verify_chain([], "any", expected_head=head)


@pytest.mark.parametrize("ledger_id", ["", "i" * 256, "line\nfeed", "nul\0"])
def test_a_malformed_ledger_id_is_refused(ledger_id: str) -> None:
    with pytest.raises(ConfigError):
        verify_chain([], ledger_id)


def test_only_entries_are_verified() -> None:
    with pytest.raises(TypeError):
        verify_chain([line(_small_chain()[0])], golden_inputs.SMALL_LEDGER_ID)  # type: ignore[list-item]


def _faulty_report() -> VerificationReport:
    entries = _small_chain()
    return _verify([*entries[:1], *entries[2:]], expected_head="0" * 64)


def test_reports_are_written_as_json() -> None:
    report = _faulty_report()
    written = report.to_dict()
    assert json.loads(json.dumps(written)) == written
    assert written["valid"] is False
    assert written["entries_checked"] == report.entries_checked == 4
    assert written["head_hash"] == report.head_hash
    assert written["counts"] == report.counts == {"sequence_gap": 1, "chain_link_broken": 1, "head_mismatch": 1}
    assert written["errors"] == [error.to_dict() for error in report.errors]
    for error in report.errors:
        assert error.to_dict() == {
            "kind": error.kind,
            "seq": error.seq,
            "record_id": error.record_id,
            "expected": error.expected,
            "actual": error.actual,
        }


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_reports_are_pickled(protocol: int) -> None:
    report = _faulty_report()
    again = pickle.loads(pickle.dumps(report, protocol))
    assert type(again) is VerificationReport
    assert again.to_dict() == report.to_dict()
    assert copy.deepcopy(report).to_dict() == report.to_dict()


def test_reports_are_immutable() -> None:
    report = _faulty_report()
    before = report.to_dict()
    for field in ("valid", "entries_checked", "head_hash", "errors", "counts", "timestamp_regressions"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(report, field, None)
    for field in ("kind", "seq", "record_id", "expected", "actual"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(report.errors[0], field, None)
    report.errors.clear()
    report.counts.clear()
    assert report.to_dict() == before


def test_repr_says_what_was_found() -> None:
    assert repr(_faulty_report()).startswith("VerificationReport(")
    assert "sequence_gap" in repr(_faulty_report().errors[0]) + repr(_faulty_report())
