"""Who asks: the request context that every call on records names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nucleus._core import check_oid
from nucleus.errors import ContextRequiredError, InvalidRecordError


class TokenSource(StrEnum):
    """How the requester was established."""

    LOCAL = "local"
    """By the embedding program itself, without a token."""
    CONNECT = "connect"
    SESSION = "session"
    SERVICE = "service"
    DEV = "dev"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The requester of one call.

    Attributes:
        oid: who asks, ``oid:<namespace>:<type>:<id>``.
        role: the requester's role, where the token names one.
        token: the token as it came; it never shows in a repr.
        claims: what the token says besides.
        source: how the requester was established.

    Raises:
        ContextRequiredError: ``oid`` is missing or malformed.
    """

    oid: str
    role: str | None = None
    token: str | None = field(default=None, repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: TokenSource = TokenSource.LOCAL

    def __post_init__(self) -> None:
        if not isinstance(self.oid, str) or not self.oid:
            raise ContextRequiredError("a request context needs the requester's OID, e.g. oid:onoal:user:alice")
        try:
            check_oid(self.oid)
        except InvalidRecordError as error:
            raise ContextRequiredError(f"the requester is not named by an OID: {error}") from error

    @classmethod
    def local(cls, oid: str) -> RequestContext:
        """The context of a program that embeds the ledger and vouches for the requester itself."""
        return cls(oid)
