"""Which parser a token belongs to."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable

from nucleus.auth.context import RequestContext, TokenSource
from nucleus.auth.frames import forgets_token
from nucleus.auth.parser import AsyncTokenParser, TokenParser
from nucleus.errors import AuthenticationError, ConfigError

MAX_TOKEN_BYTES = 16_384
"""Longest token that any parser gets to see."""

_ORDER = [
    TokenSource.API_KEY,
    TokenSource.SESSION,
    TokenSource.DEV,
    TokenSource.CONNECT,
    TokenSource.SERVICE,
    TokenSource.LOCAL,
]
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:@-]+")


class TokenParserRegistry:
    """The parsers of one application.

    They are asked in a fixed order, whatever the order they are given in: API keys, sessions, development tokens, JWTs
    of the identity service, JWTs of services; then the ones that were added, in the order of adding. The first that
    claims a token's form is the only one that sees it, and its failure is final.

    Args:
        parsers: the parsers; several for JWTs, each with an issuer of its own, and at most one of every other kind.

    Raises:
        ConfigError: two parsers would claim the same tokens.
    """

    def __init__(self, parsers: Iterable[TokenParser] = ()) -> None:
        self._parsers: tuple[TokenParser, ...] = ()
        for parser in sorted(parsers, key=lambda parser: _ORDER.index(parser.source)):
            self.add(parser)

    def add(self, parser: TokenParser) -> None:
        """Add a parser behind the others: it sees only tokens that none of them claims.

        Raises:
            ConfigError: it is no parser, or claims the same tokens as another.
        """
        if not isinstance(parser, TokenParser):
            raise ConfigError("a token parser has source, validate_format(token) and parse(token)")
        parsers = (*self._parsers, parser)
        kinds = Counter((type(each), getattr(each, "issuer", None)) for each in parsers)
        (kind, issuer), most = kinds.most_common(1)[0]
        issuers = Counter(issuer for each in parsers if (issuer := getattr(each, "issuer", None)) is not None)
        if most > 1:
            of_issuer = "" if issuer is None else f" of issuer {issuer!r}"
            raise ConfigError(f"two parsers {kind.__name__} claim the same tokens{of_issuer}: keep one")
        if issuers and issuers.most_common(1)[0][1] > 1:
            raise ConfigError(f"two parsers claim the tokens of issuer {issuers.most_common(1)[0][0]!r}: keep one")
        self._parsers = parsers

    @property
    def parsers(self) -> tuple[TokenParser, ...]:
        """The parsers in the order in which they are asked."""
        return self._parsers

    @forgets_token
    def parse(self, token: str) -> RequestContext:
        """Return the context of the token's bearer. May block.

        Raises:
            AuthenticationError: no parser claims the token, or the one that does refuses it.
        """
        return self._claimant(token).parse(token)

    @forgets_token
    async def parse_async(self, token: str) -> RequestContext:
        """Do as :meth:`parse` does, without blocking the event loop."""
        parser = self._claimant(token)
        if isinstance(parser, AsyncTokenParser):
            return await parser.parse_async(token)
        return await asyncio.to_thread(parser.parse, token)

    def claimed_source(self, token: str) -> TokenSource | None:
        """Return the source of the parser that claims a token's form, valid or not; None where none does."""
        try:
            return self._claimant(token).source
        except Exception:
            return None

    def _claimant(self, token: str) -> TokenParser:
        if len(token) > MAX_TOKEN_BYTES:
            raise AuthenticationError(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        if not _TOKEN.fullmatch(token):
            raise AuthenticationError("the token has characters that no token has")
        for parser in self._parsers:
            if parser.validate_format(token):
                return parser
        raise AuthenticationError("the token is of no kind that is accepted here")
