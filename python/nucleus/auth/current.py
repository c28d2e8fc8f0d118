"""The context of the request that is being served, for code that has no request object at hand.

The middleware sets it for the duration of one request. It follows the request into coroutines, tasks and the threads
that asyncio and AnyIO start for it, and nowhere else.
"""

from __future__ import annotations

from contextvars import ContextVar

from nucleus.auth.context import RequestContext
from nucleus.errors import AuthenticationError, ContextRequiredError

current: ContextVar[RequestContext | None] = ContextVar("nucleus_request_context")
"""The requester; None while a public path is served. Set by the middleware alone."""


def get_request_context() -> RequestContext:
    """Return the context of the request being served; as a FastAPI dependency: ``Depends(get_request_context)``.

    Raises:
        AuthenticationError: the path is public, so that nobody was asked who they are; answered with 401.
        ContextRequiredError: no request is being served, or not behind the authentication middleware.
    """
    try:
        context = current.get()
    except LookupError:
        raise ContextRequiredError(
            "no request is being served here: wrap the application in AsgiAuthMiddleware or WsgiAuthMiddleware, "
            "or pass RequestContext.local(oid)"
        ) from None
    if context is None:
        raise AuthenticationError("this needs a requester, and a public path asks for none")
    return context
