"""Queries: what they answer, held against a plain list of the same entries."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.facade.samples import ALICE, LEDGER_ID, notes

from nucleus import ChainEntry, ConfigError, Ledger, QueryFilters, Record, create_ledger

STREAMS = ["a", "b", "c"]
VALUES: list[Any] = [True, 1, 1.5, "1", None, [], {"x": 1}, False, 0, "ü"]


@pytest.fixture(scope="module")
def filled() -> Iterator[Ledger]:
    """A ledger with 300 entries of few streams, ids, times and values."""
    with create_ledger(LEDGER_ID) as ledger:
        records = [
            Record(
                id=f"r-{n % 7}",
                stream=STREAMS[n % 3],
                timestamp=1_000 + (n * 37) % 50,
                payload={"value": VALUES[n % len(VALUES)], "n": n} if n % 5 else [n],
            )
            for n in range(300)
        ]
        ledger.append_batch(records, ALICE)
        yield ledger


def _matches(entry: ChainEntry, filters: QueryFilters) -> bool:
    record = entry.record
    members = record.payload if isinstance(record.payload, dict) else {}
    return (
        filters.stream in {None, record.stream}
        and filters.id in {None, record.id}
        and (filters.since is None or record.timestamp >= filters.since)
        and (filters.until is None or record.timestamp < filters.until)
        and all(
            name in members and type(members[name]) is type(value) and members[name] == value
            for name, value in (filters.payload or {}).items()
        )
    )


FILTERS = st.builds(
    QueryFilters,
    stream=st.sampled_from([None, *STREAMS, "d"]),
    id=st.sampled_from([None, "r-0", "r-3", "r-9"]),
    since=st.none() | st.integers(990, 1_060),
    until=st.none() | st.integers(990, 1_060),
    payload=st.none() | st.sampled_from(VALUES).map(lambda value: {"value": value}) | st.just({"n": 7, "value": "ü"}),
    limit=st.integers(1, 400),
    offset=st.integers(0, 20),
    order=st.sampled_from(["asc", "desc"]),
    with_total=st.booleans(),
)


@given(filters=FILTERS)
def test_query_against_a_list(filled: Ledger, filters: QueryFilters) -> None:
    matching = [entry for entry in filled.entries(ALICE) if _matches(entry, filters)]
    ordered = matching if filters.order == "asc" else matching[::-1]
    expected = ordered[filters.offset :]
    page = filled.query(filters, ALICE)
    assert page.entries == expected[: filters.limit]
    assert page.has_more == (len(expected) > filters.limit) == (page.next_cursor is not None)
    assert page.total == (len(matching) if filters.with_total else None)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 7, 50, 99, 100, 101])
def test_pages_by_cursor(filled: Ledger, order: Any, limit: int) -> None:
    filters = QueryFilters(stream="a", limit=limit, order=order)
    expected = [entry for entry in filled.entries(ALICE) if entry.record.stream == "a"]
    found: list[ChainEntry] = []
    while True:
        page = filled.query(filters, ALICE)
        assert len(page.entries) <= limit
        found += page.entries
        if page.next_cursor is None:
            break
        filters = dataclasses.replace(filters, cursor=page.next_cursor)
    assert found == (expected if order == "asc" else expected[::-1])


def test_cursor_holds_while_entries_are_appended(ledger: Ledger) -> None:
    ledger.append_batch(notes(10), ALICE)
    page = ledger.query(QueryFilters(limit=4, order="desc"), ALICE)
    ledger.append_batch(notes(5), ALICE)
    rest = ledger.query(QueryFilters(limit=10, order="desc", cursor=page.next_cursor), ALICE)
    assert [entry.seq for entry in page.entries + rest.entries] == list(range(9, -1, -1))


def test_defaults() -> None:
    assert QueryFilters() == QueryFilters(
        stream=None, id=None, since=None, until=None, payload=None, limit=100, offset=0, cursor=None, order="asc",
        with_total=False,
    )  # fmt: skip
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        QueryFilters().limit = 5  # type: ignore[misc]


@pytest.mark.parametrize("bounds", [{"limit": 0}, {"limit": -1}, {"limit": 10_001}, {"offset": -1}])
def test_bounds(bounds: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bounds))):
        QueryFilters(**bounds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "a", "a-1", "a1.5", "x5", "a9223372036854775807", "d9223372036854775807"]
)
def test_foreign_cursor(filled: Ledger, cursor: str) -> None:
    with pytest.raises(ConfigError, match="cursor"):
        filled.query(QueryFilters(cursor=cursor), ALICE)


def test_cursor_of_the_other_order(filled: Ledger) -> None:
    cursor = filled.query(QueryFilters(limit=1), ALICE).next_cursor
    with pytest.raises(ConfigError, match="cursor"):
        filled.query(QueryFilters(cursor=cursor, order="desc"), ALICE)
