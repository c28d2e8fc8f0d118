"""Attacks on JWTs, each by its name; beside them tokens that differ in the attack alone, and pass."""

import asyncio
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.auth.parsers import LaxParser, connect_parser
from tests.auth.tokens import (
    ALICE,
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    b64,
    claims,
    ec_key,
    ed_key,
    make,
    make_raw,
    pem,
    rsa_jwk,
    rsa_key,
    sign,
)

from nucleus import AuthenticationError, ConfigError
from nucleus.auth import StaticKeys, TokenParserRegistry


def refused(token: str, *, match: str | None = None, **changes: Any) -> None:
    """The token is refused by the parser, awaited or not, and by a registry that would accept anything else."""
    parser = connect_parser(**changes)
    with pytest.raises(AuthenticationError, match=match) as caught:
        parser.parse(token)
    assert token not in str(caught.value)
    with pytest.raises(AuthenticationError):
        asyncio.run(parser.parse_async(token))


def test_a_good_token_passes() -> None:
    context = connect_parser().parse(make(rsa_key(), claims()))
    assert (context.oid, context.source) == (ALICE, "connect")


def test_alg_none() -> None:
    for alg in ("none", "None", "NONE", "nOnE", ""):
        unsigned = f"{b64(json.dumps({'alg': alg, 'typ': 'JWT'}).encode())}.{b64(json.dumps(claims()).encode())}."
        refused(unsigned, match="algorithm")
        refused(make(b"", claims(), alg), match="algorithm")


def test_alg_none_cannot_be_configured() -> None:
    with pytest.raises(ConfigError):
        connect_parser(algorithms=["none"])
    with pytest.raises(ConfigError):
        connect_parser(algorithms=["RS256", "HS256"])
    with pytest.raises(ConfigError):
        connect_parser(algorithms=[])


def test_signature_left_out() -> None:
    refused(make(rsa_key(), claims()).rpartition(".")[0] + ".", match="signature")


def test_hs256_with_the_rsa_public_key() -> None:
    public = pem(rsa_key())
    for secret in (public, public.strip(), public.decode().replace("\n", "").encode()):
        refused(make(secret, claims(), "HS256"), match="algorithm")
        # Not even a parser that is told to accept both a public key and HS256.
        refused(make(secret, claims(), "HS256"), algorithms=["HS256"], match="key")


@pytest.mark.parametrize("secret", [pem(rsa_key()), b"ssh-rsa " + b"A" * 64, b"short", b""])
def test_public_key_or_short_text_as_shared_secret(secret: bytes) -> None:
    with pytest.raises(ConfigError):
        StaticKeys.from_secret(secret)


def test_rs256_token_for_a_parser_of_shared_secrets() -> None:
    keys = StaticKeys.from_secret(SECRET)
    assert connect_parser(keys=keys, algorithms=["HS256"]).parse(make(SECRET, claims(), "HS256")).oid == ALICE
    refused(make(rsa_key(), claims()), keys=keys, algorithms=["HS256"], match="algorithm")


def test_algorithm_outside_of_the_allow_list() -> None:
    token = make(rsa_key(), claims(), "PS256")
    assert connect_parser().parse(token).oid == ALICE
    refused(token, algorithms=["RS256"], match="algorithm")


def test_algorithm_of_another_key_type() -> None:
    refused(make(ec_key(), claims(), "ES256"), match="key")
    refused(make(ed_key(), claims(), "EdDSA"), match="key")


def test_algorithm_that_the_key_is_not_for() -> None:
    keys = StaticKeys.from_jwks({"keys": [rsa_jwk(rsa_key(), kid="a", alg="PS256")]})
    assert connect_parser(keys=keys).parse(make(rsa_key(), claims(), "PS256", kid="a")).oid == ALICE
    refused(make(rsa_key(), claims(), "RS256", kid="a"), keys=keys, match="key")


@pytest.mark.parametrize(
    "kid",
    [
        "../../dev/null",
        "/etc/passwd",
        "' OR 1=1 --",
        "http://evil.example/jwks",
        "a\x00",
        "A",
        "a ",
        "file:///dev/null",
    ],
)
def test_kid_injection(kid: str) -> None:
    keys = StaticKeys.from_jwks({"keys": [rsa_jwk(rsa_key(), kid="a")]})
    assert connect_parser(keys=keys).parse(make(rsa_key(), claims(), kid="a")).oid == ALICE
    refused(make(rsa_key(), claims(), kid=kid), keys=keys, match="key")
    refused(make(b"", claims(), "HS256", kid=kid), keys=keys)


@pytest.mark.parametrize("kid", [7, ["a"], {"a": 1}, "", "k" * 1025, True])
def test_kid_that_is_no_short_text(kid: Any) -> None:
    refused(make(rsa_key(), claims(), kid=kid), match="kid")


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_key_that_the_token_brings_along(name: str) -> None:
    mallory = rsa_key("mallory")
    values: dict[str, Any] = {
        "jwk": rsa_jwk(mallory),
        "jku": "https://evil.example",
        "x5u": "https://evil.example",
        "x5c": ["MIIB"],
    }
    refused(make(mallory, claims(), **{name: values[name]}), match="header")
    refused(make(rsa_key(), claims(), **{name: values[name]}), match="header")


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], ["unknown"], "exp", 1])
def test_unknown_crit(crit: Any) -> None:
    refused(make(rsa_key(), claims(), crit=crit, b64=True), match="critical")
    refused(make(rsa_key(), claims(), crit=crit), match="critical")


def test_unencoded_payload() -> None:
    refused(make(rsa_key(), claims(), b64=False), match="header")


def test_signature_of_another_key() -> None:
    refused(make(rsa_key("mallory"), claims()), match="signature")


def test_changed_claims() -> None:
    header, _, signature = make(rsa_key(), claims()).split(".")
    refused(f"{header}.{b64(json.dumps(claims(sub='oid:onoal:user:mallory')).encode())}.{signature}", match="signature")


def test_changed_header() -> None:
    _, body, signature = make(rsa_key(), claims()).split(".")
    refused(f"{b64(json.dumps({'alg': 'RS256', 'typ': 'JWT', 'x': 1}).encode())}.{body}.{signature}", match="signature")


def test_expired() -> None:
    refused(make(rsa_key(), claims(exp=NOW - 30)), match="expired")
    assert connect_parser().parse(make(rsa_key(), claims(exp=NOW - 5))).oid == ALICE  # within the leeway
    refused(make(rsa_key(), claims(exp=NOW)), leeway_s=0, match="expired")
    assert connect_parser(leeway_s=0).parse(make(rsa_key(), claims(exp=NOW + 1))).oid == ALICE


def test_not_yet_valid() -> None:
    refused(make(rsa_key(), claims(nbf=NOW + 31)), match="not valid yet")
    assert connect_parser().parse(make(rsa_key(), claims(nbf=NOW + 30))).oid == ALICE


def test_issued_in_the_future() -> None:
    refused(make(rsa_key(), claims(iat=NOW + 31)), match="future")
    assert connect_parser().parse(make(rsa_key(), claims(iat=NOW + 30))).oid == ALICE


@pytest.mark.parametrize("issuer", [ISSUER + "/", ISSUER.upper(), "https://evil.example", "", 7, [ISSUER]])
def test_wrong_issuer(issuer: Any) -> None:
    token = make(rsa_key(), claims(iss=issuer))
    assert not connect_parser().validate_format(token)
    refused(token, match="issuer")


@pytest.mark.parametrize(
    "audience", ["https://other.example", [], ["a", "b"], 7, {AUDIENCE: 1}, [AUDIENCE, 7], "", AUDIENCE + "/"]
)
def test_wrong_audience(audience: Any) -> None:
    refused(make(rsa_key(), claims(aud=audience)), match="audience")


def test_one_audience_of_several() -> None:
    assert connect_parser().parse(make(rsa_key(), claims(aud=["a", AUDIENCE]))).oid == ALICE
    assert connect_parser(audience=["a", "b"]).parse(make(rsa_key(), claims(aud="b"))).oid == ALICE


@pytest.mark.parametrize("name", ["exp", "iat", "iss", "aud", "sub"])
def test_missing_claims(name: str) -> None:
    refused(make(rsa_key(), claims(**{name: None})))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["1900000000", True, False, [], {}, -1, 1e300, 253_402_300_800, 2**53 - 1, -(2**53)])
def test_times_that_are_absurd_or_no_numbers(name: str, value: Any) -> None:
    refused(make(rsa_key(), claims(**{name: value})))


@pytest.mark.parametrize("text", ["1e400", "NaN", "Infinity", "9" * 5_000, "null", "0x7fffffff", "1_900_000_000"])
def test_times_that_are_no_json_numbers(text: str) -> None:
    body = json.dumps(claims(exp="HERE")).replace('"HERE"', text).encode()
    refused(make(rsa_key(), body))


def test_lifetime_that_is_too_long() -> None:
    refused(make(rsa_key(), claims(exp=NOW + 90_000)), match="lifetime")
    refused(make(rsa_key(), claims(iat=NOW + 10, exp=NOW + 10)), match="lifetime")
    assert connect_parser(max_lifetime_s=100_000).parse(make(rsa_key(), claims(exp=NOW + 90_000))).oid == ALICE


def test_duplicate_keys_in_the_claims() -> None:
    text = json.dumps(claims())
    refused(make(rsa_key(), (text[:-1] + ', "sub": "oid:onoal:user:mallory"}').encode()), match="strict")
    refused(make(rsa_key(), (text[:-1] + ', "s\\u0075b": "oid:onoal:user:mallory"}').encode()), match="strict")


def test_duplicate_keys_in_the_header() -> None:
    header = b'{"alg":"RS256","typ":"JWT","alg":"none"}'
    refused(make_raw(rsa_key(), "RS256", header, json.dumps(claims()).encode()), match="strict")


@pytest.mark.parametrize(
    "body", [b"[]", b'"text"', b"7", b"", b"{", b"\xff\xfe", b"[" * 10_000, b"\xef\xbb\xbf{}", b"{}{}"]
)
def test_claims_that_are_no_json_object(body: bytes) -> None:
    refused(make(rsa_key(), body))


def test_header_over_4_kib() -> None:
    refused(make(rsa_key(), claims(), padding="x" * 4_096), match="4096")
    assert connect_parser().parse(make(rsa_key(), claims(), padding="x" * 2_000)).oid == ALICE


def test_oversized_token() -> None:
    refused(make(rsa_key(), claims(padding="x" * 16_384)), match="16384")
    assert connect_parser().parse(make(rsa_key(), claims(padding="x" * 10_000))).oid == ALICE


def test_million_dot_token() -> None:
    for token in ("." * 1_000_000, "a." * 500_000, make(rsa_key(), claims()) + "." * 1_000_000):
        assert not connect_parser().validate_format(token)
        refused(token)
        with pytest.raises(AuthenticationError):
            TokenParserRegistry([connect_parser()]).parse(token)


@pytest.mark.parametrize(
    "change", ["{}=", "{}==", "{}\n", " {}", "{}.", ".{}", "{}.e30", "{}+", "{}/", "{}\u00e9", "{}\x00"]
)
def test_other_spellings_of_a_token(change: str) -> None:
    refused(change.format(make(rsa_key(), claims())))


def test_second_spelling_of_the_same_signature() -> None:
    """2,048 bits leave four bits unused in the last character of base64url: setting them must not make a new token."""
    token = make(rsa_key(), claims())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    refused(token[:-1] + alphabet[alphabet.index(token[-1]) + 1], match="canonical")


@pytest.mark.parametrize("kind", [None, "", "at", "JWE", "dpop+jwt", "id+jwt", 7, ["JWT"], "application/"])
def test_typ_of_another_kind(kind: Any) -> None:
    refused(make(rsa_key(), claims(), typ=kind), match="typ")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "application/JWT"])
def test_typ_that_is_accepted(kind: str) -> None:
    assert connect_parser().parse(make(rsa_key(), claims(), typ=kind)).oid == ALICE


def test_encrypted_token() -> None:
    refused(make(rsa_key(), claims()).replace(".", "..", 1) + ".e30", match="signed JWT")
    refused(make(rsa_key(), claims(), enc="A256GCM"), match="header")


def test_weak_rsa_keys_are_not_used() -> None:
    weak = rsa_key("weak", 1024)
    with pytest.raises(ConfigError, match="1024"):
        StaticKeys.from_pem(pem(weak))
    with pytest.raises(ConfigError, match="bits"):
        StaticKeys.from_jwks({"keys": [rsa_jwk(weak)]})


def test_private_key_is_not_taken_for_a_public_one() -> None:
    with pytest.raises(ConfigError, match="private"):
        StaticKeys.from_pem("-----BEGIN PRIVATE KEY-----\nMII=\n-----END PRIVATE KEY-----")


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": b64(SECRET)},
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        rsa_jwk(rsa_key(), use="enc"),
        rsa_jwk(rsa_key(), key_ops=["encrypt"]),
        rsa_jwk(rsa_key(), kid=7),
    ],
    ids=str,
)
def test_keys_that_are_none(jwk: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        StaticKeys.from_jwks({"keys": [jwk]})


def test_pem_that_is_no_public_key_for_signatures() -> None:
    exchange = X25519PrivateKey.generate().public_key()
    key_agreement = exchange.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for text in (key_agreement, "", "not PEM", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"):
        with pytest.raises(ConfigError, match="public key"):
            StaticKeys.from_pem(text)


def test_key_set_that_is_empty_or_huge() -> None:
    for keys in ([], [rsa_jwk(rsa_key())] * 101):
        with pytest.raises(ConfigError, match="1 to 100 keys"):
            StaticKeys.from_jwks({"keys": keys})


@pytest.mark.parametrize("oid", ["alice", "", "oid:a:b", "oid:A:b:c", 7, None, ["oid:a:b:c"], "oid:a:b:c\n"])
def test_bearer_that_is_no_oid(oid: Any) -> None:
    refused(make(rsa_key(), claims(sub=oid)), match="OID")
    # An `oid` that is there and malformed does not fall back to a good `sub`.
    body = json.dumps({**claims(), "oid": oid}).encode()
    refused(make(rsa_key(), body), match="OID")


@pytest.mark.parametrize("role", [7, ["admin"], {"admin": True}, True])
def test_role_that_is_no_text(role: Any) -> None:
    refused(make(rsa_key(), claims(role=role)), match="role")


def test_refused_token_does_not_fall_through() -> None:
    registry = TokenParserRegistry([connect_parser()])
    registry.add(LaxParser())
    for token in (
        make(rsa_key("mallory"), claims()),
        make(rsa_key(), claims(exp=NOW - 100)),
        make(b"", claims(), "none"),
    ):
        with pytest.raises(AuthenticationError):
            registry.parse(token)
        with pytest.raises(AuthenticationError):
            asyncio.run(registry.parse_async(token))


_PARTS = st.text(alphabet="abcXYZ012-_.=+/ é\n", max_size=60)


@given(st.one_of(st.text(max_size=200), st.lists(_PARTS, min_size=1, max_size=5).map(".".join)))
@settings(max_examples=300, deadline=None)
def test_anything_at_all_is_refused_with_the_same_kind_of_error(token: str) -> None:
    with pytest.raises(AuthenticationError):
        connect_parser().parse(token)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    token = make(rsa_key(), claims())
    position = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[position]))
    with pytest.raises(AuthenticationError):
        connect_parser().parse(token[:position] + other + token[position + 1 :])


def test_signing_by_hand_is_itself_checked() -> None:
    """The oracle of these tests, against a second one."""
    data = b"signed"
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    rsa_key().public_key().verify(sign(rsa_key(), "RS256", data), data, padding.PKCS1v15(), hashes.SHA256())
