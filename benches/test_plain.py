"""The baseline of the appends does the whole job: its chain is one that verifies."""

from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from benches import plain
from benches.records import ID_KINDS, IdKind, records
from benches.scan import python_loop
from tests.reference.chain import commit, verify_chain

LEDGER_ID = "plain-tests"


@pytest.mark.parametrize("ids", ID_KINDS)
def test_its_rows_are_entries_of_a_ledger(tmp_path: Path, ids: IdKind) -> None:
    path = tmp_path / "plain.db"
    with closing(plain.connect(path)) as connection:
        plain.create(connection, "indexed")
    for first in (0, 50):
        with plain.PlainLedger(path, ledger_id=LEDGER_ID, requester_oid="oid:onoal:user:alice") as ledger:
            ledger.append_batch(records(ids, first, 50))
    with closing(plain.connect_read_only(path)) as connection:
        rows = connection.execute(f"SELECT {plain.COLUMNS} FROM entries ORDER BY seq").fetchall()

    assert verify_chain([_entry(row) for row in rows], LEDGER_ID, expected_length=100) == []
    assert python_loop(path) == 100


def test_the_loop_finds_a_broken_link(tmp_path: Path) -> None:
    path = tmp_path / "plain.db"
    with closing(plain.connect(path)) as connection:
        plain.create(connection, "lean")
        with plain.PlainLedger(path, ledger_id=LEDGER_ID, requester_oid="oid:onoal:user:alice") as ledger:
            ledger.append_batch(records("random", 0, 10))
        connection.execute("UPDATE entries SET prev_hash = zeroblob(32) WHERE seq = 7")
        connection.commit()
    with pytest.raises(ValueError, match="entry 7"):
        python_loop(path)


@pytest.mark.parametrize("ids", ID_KINDS)
def test_payloads_have_about_200_bytes(ids: IdKind) -> None:
    sizes = [len(orjson.dumps(record["payload"])) for seq in (0, 999_000) for record in records(ids, seq, 1_000)]
    assert 190 <= sum(sizes) / len(sizes) <= 250


def _entry(row: plain.Row) -> dict[str, Any]:
    seq, entry_format, entry_hash, prev_hash, record_id, stream, timestamp, payload, salt, _, meta = row
    record = {"id": record_id, "stream": stream, "timestamp": timestamp}
    entry = {
        "format": entry_format,
        "hash": entry_hash.hex(),
        "prev_hash": prev_hash.hex() if prev_hash else None,
        "record": record | {"payload": orjson.loads(payload), "meta": orjson.loads(meta)},
        "redacted": False,
        "salt": salt.hex(),
        "seq": seq,
    }
    return entry | {"payload_hash": commit(entry)}
