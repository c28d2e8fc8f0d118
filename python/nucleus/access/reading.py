"""What the chain says of the resources of a ledger: their newest entries, and pages of them."""

from dataclasses import replace

from nucleus._core import ChainEntry
from nucleus.access.naming import members
from nucleus.access.resources import Resource, ResourceFilters, ResourcePredicate
from nucleus.backend import AccessBackend, LedgerBackend
from nucleus.cursors import Place
from nucleus.query import QueryFilters


class ResourceReader:
    """Reads resources, of which the entries may stand in several streams. It holds no state."""

    __slots__ = ("_access", "_backend")

    def __init__(self, backend: LedgerBackend, access: AccessBackend) -> None:
        self._backend = backend
        self._access = access

    def newest(self, kind: str, id: str) -> ChainEntry | None:
        """Return the newest entry of a resource, whoever may read it; None where there is none."""
        administrator = self._access.administrator
        streams = self._access.streams_of_kind(kind)
        versions = (self._backend.get_by_id(id, administrator, stream=stream) for stream in streams)
        return max((entry for entry in versions if entry is not None), key=lambda entry: entry.seq, default=None)

    def says(self, resource: ResourcePredicate) -> bool:
        """Tell whether the newest entry of a resource says what it must."""
        payload = members(resource)
        if not payload and resource.status is None:
            return True
        filters = QueryFilters(
            id=resource.id, payload=payload or None, status=resource.status, latest_only=True, limit=1
        )
        pages = (
            self._backend.query(replace(filters, stream=stream), self._access.administrator)
            for stream in self._access.streams_of_kind(resource.kind)
        )
        return any(self._is_newest(resource.kind, entry) for page in pages for entry in page.entries)

    def page(
        self, principal_oid: str, filters: ResourceFilters, streams: list[str], place: Place, limit: int
    ) -> tuple[list[Resource], Place | None]:
        """Return resources of one stream, at most ``limit``, and the place behind them; None at the end of all."""
        page = self._backend.query(
            QueryFilters(
                stream=streams[place.position],
                payload=members(filters) or None,
                status=filters.status,
                latest_only=True,
                limit=limit,
                cursor=place.cursor,
            ),
            principal_oid,
        )
        # A resource with entries in several streams is listed where its newest one is.
        entries = page.entries
        if len(streams) > 1:
            entries = [each for each in entries if self._is_newest(filters.kind, each)]
        items = [Resource(filters.kind, entry.record.id, entry) for entry in entries]
        if page.next_cursor is not None:
            return items, Place(place.position, page.next_cursor)
        return items, Place(place.position + 1, None) if place.position + 1 < len(streams) else None

    def any_behind(self, principal_oid: str, filters: ResourceFilters, streams: list[str], place: Place | None) -> bool:
        """Return whether a next page has anything on it."""
        if len(streams) == 1:
            return place is not None
        while place is not None:
            found, place = self.page(principal_oid, filters, streams, place, 1)
            if found:
                return True
        return False

    def _is_newest(self, kind: str, entry: ChainEntry) -> bool:
        newest = self.newest(kind, entry.record.id)
        return newest is not None and newest.seq == entry.seq
