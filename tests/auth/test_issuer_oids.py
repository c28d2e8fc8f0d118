"""Whom an issuer may speak for: nobody but those that its parser names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.auth.parsers import HASH_KEY, connect_parser, service_parser
from tests.auth.tokens import ALICE, AUDIENCE, ISSUER, SERVICE, claims, make, pem, rsa_key, service_claims

from nucleus import AuthenticationError, ConfigError
from nucleus.auth import (
    ANY_OID,
    ApiKeyManager,
    ApiKeyParser,
    ConnectTokenParser,
    DevTokenParser,
    InMemoryApiKeyStore,
    InMemorySessionStore,
    ServiceTokenParser,
    SessionManager,
    SessionTokenParser,
    StaticKeys,
    TokenParserRegistry,
)
from nucleus.auth.oid_scope import OidScope

ADMIN = "oid:onoal:org:festival"


def test_partner_names_nobody_but_its_own() -> None:
    partner = connect_parser(oids=["oid:partner:user:*"])
    assert partner.parse(make(rsa_key(), claims(sub="oid:partner:user:bob"))).oid == "oid:partner:user:bob"
    for oid in (ADMIN, ALICE, "oid:partner:org:x", "oid:partner-user:user:x"):
        with pytest.raises(AuthenticationError, match="may not speak for"):
            partner.parse(make(rsa_key(), claims(sub=oid)))


def test_service_names_no_person() -> None:
    parser = service_parser(oids=["oid:onoal:service:*"])
    assert parser.parse(make(rsa_key(), service_claims())).oid == SERVICE
    token = make(rsa_key(), service_claims(service_oid=ALICE, jti="jti-2"))
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="may not speak for"):
            parser.parse(token)  # refused before it is remembered as used


@pytest.mark.parametrize(
    "more",
    [
        {"sub": ADMIN},
        {"service_oid": ADMIN},
        {"act": {"sub": ADMIN}},
        {"act": {"sub": "x", "act": {"oid": ADMIN}}},
        {"acting_for": ADMIN},
        {"on_behalf_of": ADMIN},
    ],
    ids=str,
)
def test_every_oid_that_a_token_leads_to(more: dict[str, Any]) -> None:
    for parser, body in ((connect_parser, claims(oid=ALICE)), (service_parser, service_claims(service_oid=ALICE))):
        with pytest.raises(AuthenticationError, match="may not speak for"):
            parser(oids=["oid:onoal:user:*"]).parse(make(rsa_key(), body | more))
        accepted = parser(oids=["oid:onoal:user:*", ADMIN]).parse(make(rsa_key(), body | more))
        assert accepted.oid in (ALICE, ADMIN)


def test_subject_that_is_no_oid_names_nobody() -> None:
    token = make(rsa_key(), claims(oid=ALICE, sub="248289761001", act={"sub": "x"}))
    assert connect_parser(oids=["oid:onoal:user:*"]).parse(token).oid == ALICE


def test_chain_of_actors_is_bounded() -> None:
    chain: dict[str, Any] = {}
    for _ in range(50):
        chain = {"sub": ALICE, "act": chain}
    with pytest.raises(AuthenticationError, match="actors"):
        connect_parser().parse(make(rsa_key(), claims(act=chain)))


def test_anybody_is_said_by_name() -> None:
    assert connect_parser(oids=[ANY_OID]).parse(make(rsa_key(), claims(sub=ADMIN))).oid == ADMIN


@pytest.mark.parametrize("parser", [ConnectTokenParser, ServiceTokenParser])
def test_parser_without_oids(parser: Any) -> None:
    options = {"issuer": ISSUER, "audience": AUDIENCE, "keys": StaticKeys.from_pem(pem(rsa_key()))}
    with pytest.raises(TypeError, match="oids"):
        parser(**options)
    nothing: Any
    for nothing in ([], (), "", None):
        with pytest.raises(ConfigError, match=r"oid:onoal:user:\*"):
            parser(oids=nothing, **options)


@pytest.mark.parametrize(
    "pattern",
    [
        *["*", "oid", "oid:", "oid:onoal:us*", "oid:onoal:*:alice", "oid:onoal:user", "user:*", "oid:*:*", "oid::*"],
        *["OID:*", "oid:onoal:user:", "oid:onoal:user:**", "oid:onoal:user:* ", "oid:Onoal:*", 7, None],
    ],
    ids=str,
)
def test_patterns_that_are_none(pattern: Any) -> None:
    with pytest.raises(ConfigError, match="oids"):
        OidScope([pattern])


_PART = st.sampled_from(["onoal", "ono", "user", "use", "alice", "a", "b"])
_OIDS = st.sampled_from([3, 5]).flatmap(lambda size: st.lists(_PART, min_size=size, max_size=size))


@given(_OIDS, _OIDS, st.integers(0, 5))
def test_prefixes_end_with_a_part(parts: list[str], of: list[str], length: int) -> None:
    """By the parts, as a list is compared."""
    prefix = of[:length]
    scope = OidScope([":".join(["oid", *prefix, "*"])])
    assert scope.allows(":".join(["oid", *parts])) == (parts[: len(prefix)] == prefix and len(parts) > len(prefix))


def test_other_parsers_may_be_bound_too() -> None:
    keys, sessions = InMemoryApiKeyStore(), InMemorySessionStore()
    tokens = [ApiKeyManager(keys, HASH_KEY).create(ADMIN)[0], SessionManager(sessions).create(ADMIN), f"dev:{ADMIN}"]
    for oids, accepted in ([ANY_OID], True), (["oid:onoal:user:*"], False), ([ADMIN], True):
        registry = TokenParserRegistry(
            [
                ApiKeyParser(keys, HASH_KEY, oids=oids),
                SessionTokenParser(sessions, oids=oids),
                DevTokenParser(enabled=True, oids=oids),
            ]
        )
        for token in tokens:
            if accepted:
                assert registry.parse(token).oid == ADMIN
            else:
                with pytest.raises(AuthenticationError, match="may not speak for"):
                    registry.parse(token)
