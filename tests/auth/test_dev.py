"""Development tokens."""

import asyncio
from typing import Any

import pytest
from tests.auth.parsers import LaxParser
from tests.auth.tokens import ALICE

from nucleus import AuthenticationError
from nucleus.auth import DevTokenParser, TokenParserRegistry

TOKEN = f"dev:{ALICE}"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUCLEUS_ENV", raising=False)


def test_enabled() -> None:
    context = DevTokenParser(enabled=True, role="tester").parse(TOKEN)
    assert (context.oid, context.role, context.token, context.source) == (ALICE, "tester", TOKEN, "dev")
    assert asyncio.run(DevTokenParser(enabled=True).parse_async(TOKEN)).oid == ALICE


@pytest.mark.parametrize("enabled", [False, None, "yes", 1])
def test_off_unless_enabled_in_code(enabled: Any) -> None:
    """By the value True, not by a text from some configuration."""
    for parser in (DevTokenParser(), DevTokenParser(enabled=enabled)):
        with pytest.raises(AuthenticationError, match="switched off"):
            parser.parse(TOKEN)


@pytest.mark.parametrize("value", ["production", "Production", " production ", "PRODUCTION"])
def test_dev_token_in_production(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    parser = DevTokenParser(enabled=True)
    assert parser.parse(TOKEN).oid == ALICE
    monkeypatch.setenv("NUCLEUS_ENV", value)
    with pytest.raises(AuthenticationError, match="production"):
        parser.parse(TOKEN)
    with pytest.raises(AuthenticationError, match="production"):
        asyncio.run(parser.parse_async(TOKEN))


def test_refused_dev_token_does_not_fall_through(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = TokenParserRegistry([DevTokenParser(enabled=True)])
    registry.add(LaxParser())
    monkeypatch.setenv("NUCLEUS_ENV", "production")
    with pytest.raises(AuthenticationError, match="production"):
        registry.parse(TOKEN)


@pytest.mark.parametrize("token", ["dev:", "dev:alice", "dev:oid:a:b", "DEV:oid:a:b:c", "oid:a:b:c", "dev: oid:a:b:c"])
def test_malformed(token: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        DevTokenParser(enabled=True).parse(token)
    assert token not in str(caught.value)
