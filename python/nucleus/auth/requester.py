"""Questions that an application asks about a request context."""

from __future__ import annotations

from nucleus.auth.context import RequestContext, TokenSource
from nucleus.errors import ContextRequiredError


def get_requester_oid(context: RequestContext | None) -> str:
    """Return the OID of the one who asks.

    Raises:
        ContextRequiredError: there is no context.
    """
    if not isinstance(context, RequestContext):
        raise ContextRequiredError("nobody is named as the requester; pass the RequestContext of the request")
    return context.oid


def has_role(context: RequestContext | None, *roles: str) -> bool:
    """Whether the requester has one of ``roles``, compared byte for byte; nobody has none."""
    return context is not None and context.role is not None and context.role in roles


def is_from_source(context: RequestContext | None, *sources: TokenSource | str) -> bool:
    """Whether the requester was established by one of ``sources``, e.g. ``"api_key"``."""
    return context is not None and context.source in sources
