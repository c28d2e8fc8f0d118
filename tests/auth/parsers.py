"""Parsers as the tests use them, at a time that stands still."""

from typing import Any

from tests.auth.tokens import AUDIENCE, ISSUER, NOW, pem, rsa_key

from nucleus.auth import ConnectTokenParser, RequestContext, ServiceTokenParser, StaticKeys, TokenSource

HASH_KEY = b"k" * 32


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def connect_parser(**changes: Any) -> ConnectTokenParser:
    """A parser that accepts what ``tokens.claims()`` says, signed with ``rsa_key()``."""
    options: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "oids": ["oid:onoal:*"],
        "clock": Clock(),
    } | changes
    options.setdefault("keys", StaticKeys.from_pem(pem(rsa_key())))
    return ConnectTokenParser(**options)


def service_parser(**changes: Any) -> ServiceTokenParser:
    """A parser that accepts what ``tokens.service_claims()`` says, signed with ``rsa_key()``."""
    options: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "oids": ["oid:onoal:*"],
        "clock": Clock(),
    } | changes
    options.setdefault("keys", StaticKeys.from_pem(pem(rsa_key())))
    return ServiceTokenParser(**options)


class LaxParser:
    """Accepts anything: what a refused token must never fall through to."""

    source = TokenSource.DEV

    def validate_format(self, token: str) -> bool:
        return True

    def parse(self, token: str) -> RequestContext:
        return RequestContext("oid:onoal:user:mallory", None, token, {}, self.source)
