"""Many entries as one value, so that a journal need not name each of them."""

import hashlib

from nucleus import ChainEntry


class EntriesDigest:
    """A digest of the hashes and ids of entries, in chain order."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, entry: ChainEntry) -> None:
        """Take the next entry."""
        self._digest.update(f"{entry.hash} {entry.record.id}\n".encode())

    def value(self) -> str:
        """Return the digest so far."""
        return self._digest.hexdigest()
