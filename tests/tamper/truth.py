"""What is so: naive answers from a list of entries, which no index has a part in."""

from collections import Counter, defaultdict
from typing import Any

from tests.tamper.bases import Base

from nucleus import ChainEntry, QueryFilters


class Truth:
    """A chain, and answers from walking over it."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.entries = base.entries
        self.versions: dict[str, list[ChainEntry]] = defaultdict(list)
        self.in_stream: dict[str | None, list[ChainEntry]] = defaultdict(list)
        self.newest: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            self.versions[entry.record.id].append(entry)
            self.in_stream[entry.record.stream].append(entry)
            self.newest[entry.record.stream, entry.record.id] = entry.seq
        self.streams = {stream: len(of) for stream, of in self.in_stream.items() if stream is not None}
        self.in_stream[None] = self.entries
        self.latest = set(self.newest.values())
        self.payloads = [entry.record.payload for entry in self.entries]
        self.timestamps = [entry.record.timestamp for entry in self.entries]

    def stats(self) -> dict[str, object]:
        """Return the figures of ``Ledger.stats`` that the entries tell."""
        return {
            "entries": len(self.entries),
            "redacted": sum(entry.redacted for entry in self.entries),
            "head": (self.entries[-1].seq, self.entries[-1].hash),
            "streams": self.streams,
            "first_timestamp": min(self.timestamps),
            "last_timestamp": max(self.timestamps),
        }

    def matching(self, filters: QueryFilters) -> list[ChainEntry]:
        """Return the entries that match, in the order asked for."""
        candidates = self.in_stream[filters.stream] if filters.id is None else self.versions[filters.id]
        found = [entry for entry in candidates if self._matches(entry, filters)]
        return found if filters.order == "asc" else found[::-1]

    def _matches(self, entry: ChainEntry, filters: QueryFilters) -> bool:
        seq = entry.seq
        return (
            (filters.since is None or self.timestamps[seq] >= filters.since)
            and (filters.until is None or self.timestamps[seq] < filters.until)
            and (filters.payload is None or _contains(self.payloads[seq], filters.payload))
            and (filters.id is None or filters.stream in (None, entry.record.stream))
            and (not filters.latest_only or seq in self.latest)
        )

    def newest_in(self, stream: str, **members: str) -> list[str]:
        """Return the ids of records whose newest payload has these members, in the order of the newest entries."""
        filters = QueryFilters(stream=stream, payload=members or None, latest_only=True)
        return [entry.record.id for entry in self.matching(filters)]

    def balances(self, symbol: str) -> Counter[str]:
        """Return what each account holds of a token, summed up from its operations."""
        sums: Counter[str] = Counter()
        for payload in (self.payloads[entry.seq] for entry in self.in_stream["tokens"]):
            if payload["symbol"] == symbol and "amount" in payload:
                for side, sign in (("from_oid", -1), ("to_oid", 1)):
                    if side in payload:
                        sums[payload[side]] += sign * int(payload["amount"])
        return sums


def _contains(payload: Any, members: Any) -> bool:
    return isinstance(payload, dict) and all(
        name in payload and payload[name] == value and type(payload[name]) is type(value)
        for name, value in members.items()
    )
