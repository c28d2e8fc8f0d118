"""Telling an application of failed attempts at authentication: what it throttles by."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from nucleus.auth.context import TokenSource


class FailureReason(StrEnum):
    """Why a request was not let in."""

    MISSING = "missing"
    """It brought no bearer token."""
    MALFORMED = "malformed"
    """Its header is not one that a client sends, or its credentials are no bearer token."""
    UNKNOWN = "unknown"
    """No parser claims its token."""
    REFUSED = "refused"
    """The parser that claims its token refuses it."""
    UNAVAILABLE = "unavailable"
    """The token could not be checked: keys or a store cannot be had. No fault of the client's."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One request that was not let in; never its token.

    Attributes:
        reason: why.
        source: the kind of token that it claimed to bring; None where it brought none that is known.
        client: address of the peer, as the server tells it: behind a proxy that is the proxy's, unless the server is
            told to believe what the proxy says.
        at: when, seconds since the epoch.
    """

    reason: FailureReason
    source: TokenSource | None
    client: str | None
    at: float


OnFailure = Callable[[FailedAttempt], object]
"""Called for each failed attempt, in the thread or the event loop of the request: it must not block."""

_log = logging.getLogger("nucleus.auth")


def tell(on_failure: OnFailure | None, attempt: FailedAttempt) -> None:
    """Call the hook; what it raises is logged by its type and changes no answer."""
    if on_failure is None:
        return
    try:
        on_failure(attempt)
    except Exception as error:
        _log.error("the hook for failed attempts failed with %s", type(error).__name__)
