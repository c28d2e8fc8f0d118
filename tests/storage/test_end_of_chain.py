"""Nothing in a chain shows where it ends: what else shows it is named, and its absence is not passed over."""

import json
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.storage.ledgers import anchor_of, files_of, open_ledger
from tests.storage.samples import LENGTH
from tests.storage.stranger import Stranger

import nucleus
from nucleus import IntegrityError
from nucleus.cli import main


def _cut_unseen(path: Path, stranger: Stranger) -> None:
    """Take the end away and the anchor with it: what is left adds up."""
    stranger.edit(path, f"DELETE FROM entries WHERE seq >= {LENGTH - 2}")
    anchor_of(path).unlink()


@pytest.mark.parametrize("read_only", [False, True])
def test_ledger_without_its_anchor_is_not_opened_unasked(sample: Path, *, read_only: bool) -> None:
    anchor_of(sample).unlink()
    before = sample.read_bytes()
    with pytest.raises(IntegrityError, match="nothing shows where the ledger ends") as caught:
        open_ledger(sample, read_only=read_only).close()
    assert str(anchor_of(sample)) in str(caught.value)
    assert files_of(sample) == [sample]
    assert sample.read_bytes() == before
    with pytest.raises(IntegrityError):
        open_ledger(sample, read_only=read_only, verify_on_open=False).close()


def test_three_ways_to_open_it_all_the_same(sample: Path) -> None:
    with open_ledger(sample) as ledger:
        head = ledger.head()
    assert head is not None
    for options in ({"expected_head": head[1]}, {"expected_length": LENGTH}, {"accept_rollback": True}):
        anchor_of(sample).unlink()
        with open_ledger(sample, **options) as ledger:
            assert ledger.head() == head
        with open_ledger(sample) as ledger:
            assert ledger.verify().end_checked_by == "anchor"


def test_report_says_by_what_the_end_was_checked(sample: Path) -> None:
    with open_ledger(sample) as ledger:
        head = ledger.head()
        assert head is not None
        assert ledger.verify().end_checked_by == "anchor"
        assert ledger.verify(expected_length=LENGTH).end_checked_by == "expected_length"
        report = ledger.verify(expected_head=head[1], expected_length=LENGTH)
        assert report.end_checked_by == "expected_head"
        assert report.to_dict()["end_checked_by"] == "expected_head"
        assert pickle.loads(pickle.dumps(report)) == report
    anchor_of(sample).unlink()
    with open_ledger(sample, read_only=True, accept_rollback=True) as ledger:
        report = ledger.verify()
    assert report.valid
    assert report.end_checked_by is None
    with nucleus.create_ledger("memory") as ledger:
        assert ledger.verify().end_checked_by is None


def test_command_says_it_and_ends_with_a_code_of_its_own(sample: Path, stranger: Stranger) -> None:
    runner = CliRunner()
    sound = runner.invoke(main, ["verify", str(sample)])
    assert sound.exit_code == 0
    assert sound.stdout.startswith("valid: ")
    assert "its end agrees with the anchor file" in sound.stdout
    _cut_unseen(sample, stranger)
    cut = runner.invoke(main, ["verify", str(sample)])
    assert cut.exit_code == 4
    assert cut.stdout.startswith("every entry is intact; nothing shows where the ledger ends")
    told = runner.invoke(main, ["verify", str(sample), "--json"])
    assert told.exit_code == 4
    assert json.loads(told.stdout)["end_checked_by"] is None
    named = runner.invoke(main, ["verify", str(sample), "--expected-length", str(LENGTH)])
    assert named.exit_code == 1
    assert "head_mismatch" in named.stdout


def test_new_ledger_has_a_durable_anchor_from_the_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        assert json.loads(anchor_of(path).read_bytes())["seq"] is None
        assert ledger.verify().end_checked_by == "anchor"
        assert {file.name for file in tmp_path.iterdir()} >= {"ledger.db", "ledger.db.anchor"}
    assert {file.name for file in tmp_path.iterdir()} == {"ledger.db", "ledger.db.anchor"}


def test_anchor_of_a_creation_that_was_cut_short_stands_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    open_ledger(path).close()
    path.unlink()
    with open_ledger(path) as ledger:
        assert len(ledger) == 0
    with open_ledger(path):
        pass


def test_log_without_its_database_is_no_new_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.with_name("ledger.db-wal").write_bytes(b"\x37\x7f\x06\x82" + bytes(5_000))
    with pytest.raises(IntegrityError, match="gone or empty"):
        open_ledger(path).close()
    assert not path.exists()
