"""Grants, the time they held, and what follows from them."""

from dataclasses import dataclass
from typing import Literal

Scope = Literal["read", "write", "full"]
"""What a grant allows; ``full`` implies both others, which imply only themselves."""

Source = Literal["grant", "creator", "owner", "issuer", "subject", "app"]
"""What a grant follows from: an entry of the stream ``acl_grants``, or what another entry implies."""


@dataclass(frozen=True, slots=True)
class AclGrant:
    """A grant: to be made or revoked, or as the ledger holds it.

    Attributes:
        resource_kind: the resource kind of the module that rules the stream, else the stream's own name.
        resource_id: the record id, or ``*`` for every resource of the kind.
        principal_oid: to whom.
        scope: ``read``, ``write`` or ``full``.
        granted_by: who grants it: always the one who asks. It may be left out of what is to be granted.
        exp: it counts for nothing from this second on, since the Unix epoch; None: it does not expire.
        source: what it follows from; of no meaning in what is to be granted.
        created_at: when it was granted, in milliseconds since the Unix epoch; None in what is to be granted.
        seq: seq of the entry that it comes from; None in what is to be granted.
    """

    resource_kind: str
    resource_id: str
    principal_oid: str
    scope: Scope
    granted_by: str | None = None
    exp: int | None = None
    source: Source = "grant"
    created_at: int | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class AccessPeriod:
    """A grant and its time, as the chain tells them.

    Attributes:
        grant: the grant; its ``seq`` and ``created_at`` are those of the entry that it comes from.
        hash: hash of that entry, 64 hexadecimal digits.
        until_seq: seq of the entry that ended it; None where nothing but its ``exp`` did.
        until_hash: hash of that entry.
        ended_at: when, in milliseconds since the Unix epoch.
        ended_by: who ended it.
    """

    grant: AclGrant
    hash: str
    until_seq: int | None = None
    until_hash: str | None = None
    ended_at: int | None = None
    ended_by: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why somebody may do something, or may not.

    Attributes:
        allowed: whether they may.
        reason: why, in words.
        period: the grant that it follows from; where they may not, the one that came nearest to it.
    """

    allowed: bool
    reason: str
    period: AccessPeriod | None = None

    @property
    def grant(self) -> AclGrant | None:
        """The grant of :attr:`period`."""
        return None if self.period is None else self.period.grant
