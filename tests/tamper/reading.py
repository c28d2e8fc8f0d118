"""Questions to any ledger: its chain, its entries one by one, its ids, its pages."""

from dataclasses import replace
from typing import Final, Literal

from tests.tamper.bases import ADMIN
from tests.tamper.inquiry import Inquiry

from nucleus import ChainEntry, QueryFilters

_LARGE: Final = 2_000
"""Of more entries than this, not all are read at once."""
_MOST_PAGES: Final = 8


def ask(inquiry: Inquiry) -> None:
    """Ask everything that changes nothing."""
    ledger, truth = inquiry.ledger, inquiry.truth
    inquiry.expect("len", len(truth.entries), len, ledger)
    inquiry.expect("head", truth.stats()["head"], ledger.head)
    inquiry.expect("stats", truth.stats(), _stats, inquiry)
    chain(inquiry, truth.entries)
    for seq in inquiry.seqs:
        inquiry.expect(f"get, entry {seq}", truth.entries[seq], ledger.get, truth.entries[seq].hash, ADMIN)
    inquiry.expect("get, no entry", None, ledger.get, "0" * 64, ADMIN)
    _ids(inquiry)
    _pages(inquiry)


def chain(inquiry: Inquiry, entries: list[ChainEntry]) -> None:
    """Read the chain, or parts of a large one."""
    if len(entries) <= _LARGE:
        inquiry.expect("entries", entries, lambda: list(inquiry.ledger.entries(ADMIN)))
        return
    for start in inquiry.chance.sample(range(len(entries)), _MOST_PAGES):
        _part(inquiry, start, entries[start : start + 50])


def _part(inquiry: Inquiry, start: int, part: list[ChainEntry]) -> None:
    inquiry.expect(
        f"entries from {start}",
        part,
        lambda: list(inquiry.ledger.entries(ADMIN, start_seq=start, end_seq=start + len(part))),
    )


def _stats(inquiry: Inquiry) -> dict[str, object]:
    stats = inquiry.ledger.stats()
    return {name: getattr(stats, name) for name in inquiry.truth.stats()}


def _ids(inquiry: Inquiry) -> None:
    ledger, truth = inquiry.ledger, inquiry.truth
    near = {truth.entries[seq].record.id for seq in inquiry.near}
    for named in sorted({*near, *inquiry.some(truth.versions)}):
        versions = truth.versions[named]
        stream = inquiry.chance.choice(versions).record.stream
        inside = [entry for entry in versions if entry.record.stream == stream]
        inquiry.expect(f"history of {named}", versions, ledger.history, named, ADMIN)
        inquiry.expect(f"history of {named} in {stream}", inside, ledger.history, named, ADMIN, stream=stream)
        inquiry.expect(f"get_by_id of {named}", versions[-1], ledger.get_by_id, named, ADMIN)
        inquiry.expect(f"get_by_id of {named} in {stream}", inside[-1], ledger.get_by_id, named, ADMIN, stream=stream)
    inquiry.expect("get_by_id, no such id", None, ledger.get_by_id, "nothing", ADMIN)


def _pages(inquiry: Inquiry) -> None:
    chance, streams = inquiry.chance, sorted(inquiry.truth.streams)
    for stream in streams:
        _walk(inquiry, QueryFilters(stream=stream, order=_order(inquiry), limit=10_000, with_total=True))
    for seq in chance.sample(sorted(inquiry.near), min(3, len(inquiry.near))):
        _members(inquiry, inquiry.truth.entries[seq])
    for _ in range(2 if len(inquiry.truth.entries) > _LARGE else 5):
        _walk(inquiry, replace(_filters(inquiry), limit=chance.choice([37, 200, 10_000]), with_total=True))


def _members(inquiry: Inquiry, entry: ChainEntry) -> None:
    """Look for what a payload says, one member at a time, where an index over it would be used."""
    payload = inquiry.truth.payloads[entry.seq]
    for name in payload if isinstance(payload, dict) else ():
        filters = QueryFilters(stream=entry.record.stream, payload={name: payload[name]}, limit=1_000, with_total=True)
        _walk(inquiry, filters)


def _filters(inquiry: Inquiry) -> QueryFilters:
    chance, truth = inquiry.chance, inquiry.truth
    seqs = sorted(inquiry.near) if inquiry.near and chance.random() < 0.5 else range(len(truth.entries))
    entry = truth.entries[chance.choice(seqs)]
    filters = QueryFilters(order=_order(inquiry), latest_only=chance.random() < 0.3)
    if chance.random() < 0.6:
        filters = replace(filters, stream=entry.record.stream)
    if chance.random() < 0.5 or len(truth.entries) > _LARGE:
        since = entry.record.timestamp - chance.randrange(20_000)
        filters = replace(filters, since=since, until=since + chance.choice([40, 4_000, 40_000]))
    payload = truth.payloads[entry.seq]
    if isinstance(payload, dict) and payload and chance.random() < 0.5:
        name = chance.choice(sorted(payload))
        filters = replace(filters, payload={name: payload[name]})
    return replace(filters, id=entry.record.id) if chance.random() < 0.2 else filters


def _order(inquiry: Inquiry) -> Literal["asc", "desc"]:
    return inquiry.chance.choice(["asc", "desc"])


def _walk(inquiry: Inquiry, filters: QueryFilters) -> None:
    """Read pages from the first on."""
    expected = inquiry.truth.matching(filters)
    for number in range(_MOST_PAGES):
        page = inquiry.answer(f"{filters}", inquiry.ledger.query, filters, ADMIN)
        start, end = number * filters.limit, (number + 1) * filters.limit
        right = expected[start:end], len(expected) > end, len(expected)
        inquiry.expect(f"{filters}", right, tuple, (page.entries, page.has_more, page.total))
        if page.next_cursor is None:
            return
        filters = replace(filters, cursor=page.next_cursor)
