"""Which parser a token belongs to, and that its word is final."""

import asyncio
import io
import logging
import traceback

import pytest
from tests.auth.parsers import HASH_KEY, LaxParser, connect_parser, service_parser
from tests.auth.tokens import ALICE, SERVICE, claims, make, rsa_key, service_claims

from nucleus import AuthenticationError, ConfigError, DatabaseError, RequestContext
from nucleus.auth import (
    ApiKeyManager,
    ApiKeyParser,
    DevTokenParser,
    InMemoryApiKeyStore,
    InMemorySessionStore,
    SessionManager,
    SessionTokenParser,
    TokenParser,
    TokenParserRegistry,
    TokenSource,
)

SERVICE_ISSUER = "https://services.example"


class Everything:
    """One parser of every kind, with a token for each."""

    def __init__(self) -> None:
        keys, sessions = InMemoryApiKeyStore(), InMemorySessionStore()
        self.parsers: list[TokenParser] = [
            service_parser(issuer=SERVICE_ISSUER),
            DevTokenParser(enabled=True),
            connect_parser(),
            SessionTokenParser(sessions),
            ApiKeyParser(keys, HASH_KEY),
        ]
        self.tokens = {
            "api_key": ApiKeyManager(keys, HASH_KEY).create(ALICE)[0],
            "session": SessionManager(sessions).create(ALICE),
            "dev": f"dev:{ALICE}",
            "connect": make(rsa_key(), claims()),
            "service": make(rsa_key(), service_claims(iss=SERVICE_ISSUER)),
        }


def test_order_is_fixed() -> None:
    everything = Everything()
    for parsers in (everything.parsers, everything.parsers[::-1]):
        sources = [parser.source for parser in TokenParserRegistry(parsers).parsers]
        assert sources == ["api_key", "session", "dev", "connect", "service"]


def test_every_token_is_claimed_by_exactly_one_parser() -> None:
    everything = Everything()
    for source, token in everything.tokens.items():
        assert [parser.source for parser in everything.parsers if parser.validate_format(token)] == [source]
        context = TokenParserRegistry(everything.parsers).parse(token)
        assert context.source == source
        assert context.oid == (SERVICE if source == "service" else ALICE)


def test_issuer_decides_between_the_kinds_of_jwt() -> None:
    registry = TokenParserRegistry(Everything().parsers)
    for token in (
        make(rsa_key(), service_claims()),  # a service's claims from the identity service
        make(rsa_key(), claims(iss=SERVICE_ISSUER)),  # a person's claims from the issuer of services
        make(rsa_key(), claims(iss="https://third.example")),
    ):
        with pytest.raises(AuthenticationError):
            registry.parse(token)


@pytest.mark.parametrize("prefix", ["nk_", "ns_", "dev:"])
def test_failure_is_final(prefix: str) -> None:
    registry = TokenParserRegistry(Everything().parsers)
    registry.add(LaxParser())
    for token in (prefix, f"{prefix}x", f"{prefix}{'a' * 16}_{'a' * 60}"):
        with pytest.raises(AuthenticationError):
            registry.parse(token)
        with pytest.raises(AuthenticationError):
            asyncio.run(registry.parse_async(token))


def test_parser_of_ones_own() -> None:
    registry = TokenParserRegistry([DevTokenParser(enabled=True)])
    with pytest.raises(AuthenticationError, match="no kind"):
        registry.parse("anything")
    registry.add(LaxParser())
    assert registry.parse("anything").oid == "oid:onoal:user:mallory"
    assert asyncio.run(registry.parse_async("anything")).oid == "oid:onoal:user:mallory"
    assert registry.parse(f"dev:{ALICE}").oid == ALICE  # added behind the others
    with pytest.raises(AuthenticationError):
        TokenParserRegistry().parse("anything")  # registries share nothing


def test_parsers_that_would_claim_the_same_tokens() -> None:
    with pytest.raises(ConfigError, match="DevTokenParser"):
        TokenParserRegistry([DevTokenParser(), DevTokenParser()])
    with pytest.raises(ConfigError, match=r"identity\.example"):
        TokenParserRegistry([connect_parser(), connect_parser()])
    with pytest.raises(ConfigError, match=r"identity\.example"):
        TokenParserRegistry([connect_parser(), service_parser()])
    TokenParserRegistry([connect_parser(), connect_parser(issuer="https://other.example")])


def test_no_parser() -> None:
    with pytest.raises(ConfigError, match="validate_format"):
        TokenParserRegistry().add(object())  # type: ignore[arg-type]


@pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "é", "a\x00", 'a"b', "a,b", "x" * 16_385, "\ud800"])
def test_what_no_parser_gets_to_see(token: str) -> None:
    registry = TokenParserRegistry()
    registry.add(LaxParser())
    assert registry.parse("x" * 16_384).oid
    with pytest.raises(AuthenticationError):
        registry.parse(token)


class Talkative:
    """Puts the token wherever it can."""

    source = TokenSource.DEV

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def validate_format(self, token: str) -> bool:
        return True

    def parse(self, token: str) -> RequestContext:
        try:
            raise ValueError(f"cannot parse {token}")
        except ValueError as cause:
            raise self._error(f"bad token {token}") from cause


@pytest.mark.parametrize("error", [AuthenticationError, ValueError, KeyError, RuntimeError])
def test_token_is_in_no_error_traceback_or_log(error: type[Exception]) -> None:
    token = "".join(("a-very-", "secret-token"))  # in pieces, as a traceback shows source lines
    registry = TokenParserRegistry()
    registry.add(Talkative(error))
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        for caught in (_failure(registry, token), _failure_async(registry, token)):
            shown = "".join(traceback.TracebackException.from_exception(caught, capture_locals=True).format())
            # The frames of this test hold the token, as it made it; those of the package do not.
            packages = shown.rpartition("frames.py")[2]
            assert "forgetting" in packages
            assert token not in str(caught) + repr(caught) + packages
            assert caught.__cause__ is None
            logging.getLogger("test").error("failed", exc_info=caught)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert token not in output.getvalue()
    assert "failed" in output.getvalue()


def test_token_is_in_no_cause() -> None:
    class Chained(Talkative):
        def parse(self, token: str) -> RequestContext:
            try:
                return super().parse(token)
            except AuthenticationError as cause:
                raise AuthenticationError("a message without it") from cause

    token = "".join(("a-very-", "secret-token"))
    registry = TokenParserRegistry()
    registry.add(Chained(AuthenticationError))
    for caught in (_failure(registry, token), _failure_async(registry, token)):
        assert str(caught) == "a message without it"
        assert token not in "".join(traceback.format_exception(caught))


def _failure(registry: TokenParserRegistry, token: str) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        registry.parse(token)
    return caught.value


def _failure_async(registry: TokenParserRegistry, token: str) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        asyncio.run(registry.parse_async(token))
    return caught.value


def test_broken_store_is_no_refusal() -> None:
    """A database that fails is an error of the service, not of the client."""

    class Broken(InMemoryApiKeyStore):
        def get(self, id: str) -> None:
            raise DatabaseError("disk I/O error")

    text, _ = ApiKeyManager(InMemoryApiKeyStore(), HASH_KEY).create(ALICE)
    with pytest.raises(DatabaseError):
        TokenParserRegistry([ApiKeyParser(Broken(), HASH_KEY)]).parse(text)
