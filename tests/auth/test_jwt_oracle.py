"""Tokens made by another library (PyJWT) are accepted, for every algorithm; and what it refuses is refused."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.auth.parsers import connect_parser
from tests.auth.tokens import ALICE, AUDIENCE, ISSUER, NOW, SECRET, claims, ec_key, ed_key, pem, rsa_key

from nucleus import AuthenticationError
from nucleus.auth import StaticKeys

KEYS: dict[str, Any] = {
    "RS256": rsa_key(),
    "RS384": rsa_key(),
    "RS512": rsa_key(),
    "PS256": rsa_key(),
    "PS384": rsa_key(),
    "PS512": rsa_key(),
    "ES256": ec_key(),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed_key(),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_public_key_algorithms(algorithm: str) -> None:
    token = jwt.encode(claims(oid=ALICE, role="admin"), KEYS[algorithm], algorithm)
    parser = connect_parser(keys=StaticKeys.from_pem(pem(KEYS[algorithm])), algorithms=[algorithm])
    context = parser.parse(token)
    assert (context.oid, context.role, context.token, context.source) == (ALICE, "admin", token, "connect")
    assert context.claims == jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_shared_secret_algorithms(algorithm: str) -> None:
    secret = SECRET * 2
    parser = connect_parser(keys=StaticKeys.from_secret(secret), algorithms=[algorithm])
    assert parser.parse(jwt.encode(claims(), secret, algorithm)).oid == ALICE
    with pytest.raises(AuthenticationError):
        parser.parse(jwt.encode(claims(), secret[::-1], algorithm))


def test_oid_comes_before_sub() -> None:
    token = jwt.encode(claims(oid=ALICE, sub="auth0|12345"), rsa_key(), "RS256")
    assert connect_parser().parse(token).oid == ALICE


TIMES = st.integers(NOW - 200, NOW + 200)


@given(exp=TIMES, iat=TIMES, nbf=st.none() | TIMES, audience=st.sampled_from([AUDIENCE, "b", [AUDIENCE, "b"], ["b"]]))
@settings(max_examples=200, deadline=None)
def test_same_answer_as_another_library(exp: int, iat: int, nbf: int | None, audience: Any) -> None:
    """PyJWT reads its own clock, so the times are judged by RFC 7519 here and the rest by PyJWT."""
    body = claims(exp=exp, iat=iat, nbf=nbf, aud=audience)
    token = jwt.encode(body, rsa_key(), "RS256")
    in_time = exp > NOW - 30 and iat <= NOW + 30 and (nbf is None or nbf <= NOW + 30) and exp > iat
    try:
        off = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        jwt.decode(token, pem(rsa_key()), ["RS256"], options=off, audience=AUDIENCE, issuer=ISSUER)  # type: ignore[arg-type]
        expected = in_time
    except jwt.InvalidTokenError:
        expected = False
    try:
        connect_parser().parse(token)
        accepted = True
    except AuthenticationError:
        accepted = False
    assert accepted == expected
