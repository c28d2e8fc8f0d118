"""Who asks."""

from nucleus.auth.context import RequestContext, TokenSource

__all__ = ["RequestContext", "TokenSource"]
