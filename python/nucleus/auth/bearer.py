"""Making a context out of what a verified token says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nucleus.auth.context import RequestContext, TokenSource
from nucleus.errors import AuthenticationError, ContextRequiredError


def bearer_context(
    source: TokenSource, token: str, oid: object, role: object = None, claims: Mapping[str, Any] | None = None
) -> RequestContext:
    """Return the context of a token's bearer.

    Raises:
        AuthenticationError: the token names its bearer by something that is no OID, or a role that is no text.
    """
    if not isinstance(oid, str):
        raise AuthenticationError("the token does not name its bearer by an OID")
    if role is not None and not isinstance(role, str):
        raise AuthenticationError("the token's role is not a text")
    try:
        return RequestContext(oid, role, token, claims or {}, source)
    except ContextRequiredError:
        # Its message quotes the OID, and the OID of a dev token is the token.
        raise AuthenticationError("the token does not name its bearer by an OID, oid:<namespace>:<type>:<id>") from None
