"""Random sequences of operations on a ledger file, against a plain list."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from tests.storage.ledgers import ALICE, LEDGER_ID, open_ledger, read_all, restore, snapshot

from nucleus import ChainEntry, ConflictError, InvalidRecordError, Ledger, QueryFilters, Record, verify_chain

IDS = st.sampled_from(["a", "b", "c", "é", "x" * 300])
STREAMS = st.sampled_from(["notes", "lists", "s p a c e"])
PAYLOADS = st.one_of(
    st.fixed_dictionaries({"n": st.integers(-5, 5)}, optional={"t": st.text(max_size=8), "b": st.booleans()}),
    st.lists(st.one_of(st.none(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(max_size=4)), max_size=3),
)
TIMESTAMPS = st.integers(1, 50)
BAD_RECORDS: list[dict[str, Any]] = [
    {"id": "", "stream": "notes", "payload": {}},
    {"id": "a", "stream": "notes", "payload": {"n": float("nan")}},
    {"id": "a", "stream": "notes", "payload": {"n": 2**53}},
    {"id": "a", "stream": "redactions", "payload": {}},
    {"id": "a", "stream": "notes", "payload": {}, "meta": {"requester_oid": "oid:onoal:user:eve"}},
]


@dataclass(frozen=True)
class Row:
    """What the model knows of one entry."""

    entry: ChainEntry
    id: str
    stream: str
    timestamp: int
    payload: Any

    @property
    def redacted(self) -> bool:
        """Whether the payload has been erased."""
        return self.payload is None


def build_record(id: str, stream: str, payload: Any, timestamp: int) -> Record:
    return Record(id=id, stream=stream, payload=payload, timestamp=timestamp)


RECORDS = st.builds(build_record, IDS, STREAMS, PAYLOADS, TIMESTAMPS)


class LedgerMachine(RuleBasedStateMachine):
    """A ledger in a file, and beside it the list it must be equal to."""

    hashes: Bundle[str] = Bundle("hashes")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="nucleus-model-"))
        self.path = self.directory / "ledger.db"
        self.rows: list[Row] = []
        self.ledger: Ledger

    @initialize()
    def create(self) -> None:
        self.ledger = open_ledger(self.path, durability="normal")

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
        shutil.rmtree(self.directory)

    def _accept(self, entry: ChainEntry, record: Record) -> str:
        assert entry.seq == len(self.rows)
        assert entry.prev_hash == (self.rows[-1].entry.hash if self.rows else None)
        assert entry.record.to_dict() == record.to_dict() | {"meta": entry.record.meta}
        self.rows.append(Row(entry, record.id, record.stream, record.timestamp, record.payload))
        return entry.hash

    @rule(target=hashes, record=RECORDS)
    def append(self, record: Record) -> str:
        return self._accept(self.ledger.append(record, context=ALICE), record)

    @rule(records=st.lists(RECORDS, max_size=6))
    def append_batch(self, records: list[Record]) -> None:
        entries = self.ledger.append_batch(records, context=ALICE)
        assert len(entries) == len(records)
        for entry, record in zip(entries, records, strict=True):
            self._accept(entry, record)

    @rule(records=st.lists(RECORDS, max_size=4), bad=st.sampled_from(BAD_RECORDS), at=st.integers(0, 4))
    def append_failing_batch(self, records: list[Record], bad: dict[str, Any], at: int) -> None:
        batch: list[Any] = [*records[:at], bad, *records[at:]]
        with pytest.raises(InvalidRecordError):
            self.ledger.append_batch(batch, context=ALICE)

    @rule(record=RECORDS)
    def append_unique(self, record: Record) -> None:
        versions = [row for row in self.rows if row.id == record.id]
        if not versions:
            self._accept(self.ledger.append(record, context=ALICE, unique=True), record)
            return
        latest = versions[-1]
        same = (latest.stream, latest.timestamp, latest.payload) == (record.stream, record.timestamp, record.payload)
        if same and not latest.redacted:
            assert self.ledger.append(record, context=ALICE, unique=True) == latest.entry
            return
        with pytest.raises(ConflictError):
            self.ledger.append(record, context=ALICE, unique=True)

    @rule(target=hashes, record=RECORDS)
    def append_at_expected_head(self, record: Record) -> str:
        head = self.rows[-1].entry.hash if self.rows else None
        return self._accept(self.ledger.append(record, context=ALICE, expected_head=head), record)

    @rule(record=RECORDS, hash=hashes)
    def append_at_another_head(self, record: Record, hash: str) -> None:
        other = "00" * 32 if hash == self.rows[-1].entry.hash else hash
        with pytest.raises(ConflictError):
            self.ledger.append(record, context=ALICE, expected_head=other)

    @rule(hash=hashes)
    def redact(self, hash: str) -> None:
        (index,) = (n for n, row in enumerate(self.rows) if row.entry.hash == hash)
        row = self.rows[index]
        recording = self.ledger.redact(hash, reason="model", context=ALICE)
        payload = {"hash": hash, "reason": "model", "seq": index}
        if row.redacted:
            (recorded,) = (other for other in self.rows if other.payload == payload)
            assert recording == recorded.entry
            return
        record = recording.record
        assert (record.id, record.stream, record.payload) == (f"redaction:{hash}", "redactions", payload)
        self._accept(recording, record)
        erased = self.ledger.get(hash, context=ALICE)
        assert erased is not None
        assert erased.redacted
        assert (erased.hash, erased.payload_hash) == (hash, row.entry.payload_hash)
        self.rows[index] = replace(row, entry=erased, payload=None)

    @rule(read_only_first=st.booleans())
    def close_and_reopen(self, read_only_first: bool) -> None:
        self.ledger.close()
        if read_only_first:
            with open_ledger(self.path, read_only=True) as ledger:
                assert read_all(ledger) == [row.entry for row in self.rows]
        head = self.rows[-1].entry.hash if self.rows else None
        self.ledger = open_ledger(self.path, durability="normal", expected_head=head, expected_length=len(self.rows))

    @rule()
    def lose_the_process(self) -> None:
        """What a kill leaves behind: the files as they are now, opened by somebody else."""
        files = snapshot(self.path)
        self.ledger.close()
        restore(self.path, files)
        self.ledger = open_ledger(self.path, durability="normal")

    @rule()
    def open_a_second_time(self) -> None:
        with open_ledger(self.path, id=None, durability="normal") as second:
            record = build_record("second", "notes", {"n": 0}, 7)
            self._accept(second.append(record, context=ALICE), record)
            assert second.head() == self.ledger.head()

    @rule(
        stream=st.none() | STREAMS | st.just("redactions"),
        id=st.none() | IDS,
        since=st.none() | TIMESTAMPS,
        until=st.none() | TIMESTAMPS,
        payload=st.none() | st.fixed_dictionaries({"n": st.integers(-5, 5)}, optional={"b": st.booleans()}),
        limit=st.integers(1, 7),
        offset=st.integers(0, 3),
        order=st.sampled_from(["asc", "desc"]),
    )
    def query(
        self, *, stream: Any, id: Any, since: Any, until: Any, payload: Any, limit: int, offset: int, order: Any
    ) -> None:
        matching = [
            row.entry
            for row in self.rows
            if (stream is None or row.stream == stream)
            and (id is None or row.id == id)
            and (since is None or row.timestamp >= since)
            and (until is None or row.timestamp < until)
            and (payload is None or _has_members(row.payload, payload))
        ]
        if order == "desc":
            matching.reverse()
        found: list[ChainEntry] = []
        cursor = None
        while True:
            filters = QueryFilters(
                stream=stream,
                id=id,
                since=since,
                until=until,
                payload=payload,
                limit=limit,
                offset=0 if cursor else offset,
                cursor=cursor,
                order=order,
                with_total=True,
            )
            page = self.ledger.query(filters, context=ALICE)
            assert page.total == len(matching)
            assert len(page.entries) <= limit
            assert page.has_more == (page.next_cursor is not None)
            found += page.entries
            if not page.has_more:
                break
            assert len(page.entries) == limit, "a page that is not the last is full"
            cursor = page.next_cursor
        assert found == matching[offset:]

    @rule(id=IDS)
    def history(self, id: str) -> None:
        versions = [row.entry for row in self.rows if row.id == id]
        assert self.ledger.history(id, context=ALICE) == versions
        assert self.ledger.get_by_id(id, context=ALICE) == (versions[-1] if versions else None)

    @rule(hash=hashes)
    def get(self, hash: str) -> None:
        (row,) = (row for row in self.rows if row.entry.hash == hash)
        assert self.ledger.get(hash, context=ALICE) == row.entry

    @rule(deep=st.booleans())
    def verify(self, deep: bool) -> None:
        report = self.ledger.verify(deep=deep)
        assert report.valid
        assert report.entries_checked == len(self.rows)
        times = [row.timestamp for row in self.rows]
        assert report.timestamp_regressions == sum(b < a for a, b in pairwise(times))
        assert verify_chain([row.entry for row in self.rows], ledger_id=LEDGER_ID).valid

    @invariant()
    def ends_where_the_model_ends(self) -> None:
        if hasattr(self, "ledger"):
            assert len(self.ledger) == len(self.rows)
            head = (len(self.rows) - 1, self.rows[-1].entry.hash) if self.rows else None
            assert self.ledger.head() == head


def _has_members(payload: Any, wanted: dict[str, Any]) -> bool:
    if not isinstance(payload, dict):
        return False
    return all(name in payload and _is_same(payload[name], value) for name, value in wanted.items())


def _is_same(a: object, b: object) -> bool:
    """Equality of JSON values: True is not 1."""
    return type(a) is type(b) and a == b


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
