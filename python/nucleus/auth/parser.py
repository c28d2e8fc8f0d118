"""What a token parser is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from nucleus.auth.context import RequestContext, TokenSource


@runtime_checkable
class TokenParser(Protocol):
    """Turns one kind of token into the context of its bearer."""

    @property
    def source(self) -> TokenSource:
        """The source that its contexts carry."""

    def validate_format(self, token: str) -> bool:
        """Whether the token is of this parser's kind: a look at its form, not at its validity.

        True claims the token: no other parser sees it, whatever :meth:`parse` says then.
        """

    def parse(self, token: str) -> RequestContext:
        """Verify the token and return the context of its bearer. May block.

        Raises:
            AuthenticationError: the token is not valid; the message never holds it.
        """


@runtime_checkable
class AsyncTokenParser(TokenParser, Protocol):
    """A parser that can also be awaited. One that cannot is run in a thread by the ASGI middleware."""

    async def parse_async(self, token: str) -> RequestContext:
        """Do as :meth:`parse` does, without ever blocking the event loop."""
