"""Tokens of other services."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.auth.parsers import Clock, service_parser
from tests.auth.tokens import AUDIENCE, ISSUER, NOW, SERVICE, make, rsa_key, service_claims

from nucleus import AuthenticationError
from nucleus.auth import InMemoryReplayCache, ReplayCache, SqliteReplayCache


@pytest.fixture(params=["memory", "file"])
def replays(request: pytest.FixtureRequest, tmp_path: Path) -> ReplayCache:
    return InMemoryReplayCache() if request.param == "memory" else SqliteReplayCache(tmp_path / "auth.db")


def test_service_token(replays: ReplayCache) -> None:
    context = service_parser(replays=replays).parse(make(rsa_key(), service_claims(role="admin")))
    assert (context.oid, context.role, context.source) == (SERVICE, "service", "service")


def test_replay(replays: ReplayCache) -> None:
    parser, token = service_parser(replays=replays), make(rsa_key(), service_claims())
    parser.parse(token)
    with pytest.raises(AuthenticationError, match="used before"):
        parser.parse(token)
    with pytest.raises(AuthenticationError, match="used before"):
        asyncio.run(parser.parse_async(token))
    # Another token with the same id is a copy as well; another id is not.
    with pytest.raises(AuthenticationError, match="used before"):
        parser.parse(make(rsa_key(), service_claims(exp=NOW + 50)))
    assert asyncio.run(parser.parse_async(make(rsa_key(), service_claims(jti="jti-2")))).oid == SERVICE


def test_replay_within_the_leeway(replays: ReplayCache) -> None:
    """A token is remembered for as long as it is accepted, not until its `exp`."""
    clock = Clock()
    parser, token = service_parser(replays=replays, clock=clock), make(rsa_key(), service_claims(exp=NOW + 10))
    parser.parse(token)
    for clock.now in (NOW + 9, NOW + 10, NOW + 39):
        with pytest.raises(AuthenticationError, match="used before"):
            parser.parse(token)
    clock.now = NOW + 40
    with pytest.raises(AuthenticationError, match="expired"):
        parser.parse(token)


def test_refused_token_is_not_used_up(replays: ReplayCache) -> None:
    parser = service_parser(replays=replays)
    with pytest.raises(AuthenticationError):
        parser.parse(make(rsa_key("mallory"), service_claims()))
    with pytest.raises(AuthenticationError):
        parser.parse(make(rsa_key(), service_claims(service_oid="nobody")))
    parser.parse(make(rsa_key(), service_claims()))


def test_same_id_of_another_issuer(replays: ReplayCache) -> None:
    service_parser(replays=replays).parse(make(rsa_key(), service_claims()))
    other = service_parser(replays=replays, issuer="https://other.example")
    assert other.parse(make(rsa_key(), service_claims(iss="https://other.example"))).oid == SERVICE


@pytest.mark.parametrize(
    "changes", [{"jti": None}, {"jti": ""}, {"jti": 7}, {"jti": "j" * 1025}, {"service_oid": None}]
)
def test_missing_claims(changes: dict[str, Any]) -> None:
    with pytest.raises(AuthenticationError):
        service_parser().parse(make(rsa_key(), service_claims(**changes)))


def test_sub_does_not_stand_in_for_service_oid() -> None:
    with pytest.raises(AuthenticationError):
        service_parser().parse(make(rsa_key(), service_claims(service_oid=None, sub=SERVICE)))


def test_wrong_audience() -> None:
    with pytest.raises(AuthenticationError, match="audience"):
        service_parser().parse(make(rsa_key(), service_claims(aud="https://other.example")))


def test_lifetime_is_short() -> None:
    with pytest.raises(AuthenticationError, match="lifetime"):
        service_parser().parse(make(rsa_key(), service_claims(iat=NOW, exp=NOW + 301)))


def test_one_of_many_threads_uses_a_token(replays: ReplayCache) -> None:
    parser, token = service_parser(replays=replays), make(rsa_key(), service_claims())
    outcomes: list[bool] = []

    def use() -> None:
        try:
            parser.parse(token)
            outcomes.append(True)
        except AuthenticationError:
            outcomes.append(False)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_replays_are_known_to_another_process(tmp_path: Path) -> None:
    token = make(rsa_key(), service_claims())
    service_parser(replays=SqliteReplayCache(tmp_path / "auth.db")).parse(token)
    with pytest.raises(AuthenticationError, match="used before"):
        service_parser(replays=SqliteReplayCache(tmp_path / "auth.db")).parse(token)


def test_full_memory_refuses_rather_than_forgets() -> None:
    clock = Clock()
    parser = service_parser(replays=InMemoryReplayCache(max_tokens=2), clock=clock)
    first = make(rsa_key(), service_claims(jti="1"))
    parser.parse(first)
    parser.parse(make(rsa_key(), service_claims(jti="2")))
    with pytest.raises(AuthenticationError, match="too many"):
        parser.parse(make(rsa_key(), service_claims(jti="3")))
    with pytest.raises(AuthenticationError, match="used before"):
        parser.parse(first)
    clock.now = NOW + 200
    parser.parse(make(rsa_key(), service_claims(jti="4", iat=NOW + 200, exp=NOW + 300)))


def test_audience_and_issuer_are_compared_byte_for_byte() -> None:
    for changes in ({"aud": AUDIENCE.upper()}, {"iss": ISSUER + "/"}):
        with pytest.raises(AuthenticationError):
            service_parser().parse(make(rsa_key(), service_claims(**changes)))
