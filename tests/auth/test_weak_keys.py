"""Keys that verify anything or little: refused where they are configured, passed over where they are published."""

import json
import math
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.auth.parsers import connect_parser
from tests.auth.tokens import ALICE, SECRET, b64, claims, ec_jwk, ec_key, make, pem, rsa_jwk, rsa_key

from nucleus import ConfigError
from nucleus.auth import JwksKeys, StaticKeys

GOOD = rsa_jwk(rsa_key(), kid="good")
TOKEN = make(rsa_key(), claims(), kid="good")


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8 or 1))


def okp(encoded: bytes, **members: Any) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(encoded), **members}


def rsa_of(modulus: int, exponent: int = 65_537) -> dict[str, Any]:
    return {"kty": "RSA", "n": number(modulus), "e": number(exponent)}


def refused(jwk: Any) -> None:
    """Refused alone, and passed over beside a good key."""
    with pytest.raises(ConfigError):
        StaticKeys.from_jwks({"keys": [jwk]})
    passed_over(json.dumps(jwk).encode())


def passed_over(member: bytes) -> None:
    document = b'{"keys": [' + member + b", " + json.dumps(GOOD).encode() + b"]}"
    keys = JwksKeys("https://identity.example/jwks", fetch=lambda *_: document)
    assert connect_parser(keys=keys).parse(TOKEN).oid == ALICE
    assert [key.kid for key in keys.find(None, "RS256")] == ["good"]
    for algorithm in ("EdDSA", "ES256"):
        with pytest.raises(Exception, match="not known"):
            keys.find(None, algorithm)


# The points of small order as libsodium lists them, canonical encodings and others.
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("encoded", SMALL_ORDER)
def test_ed25519_points_of_small_order(encoded: str, sign: int) -> None:
    point = bytes.fromhex(encoded)
    refused(okp(point[:31] + bytes([point[31] | sign])))


@pytest.mark.parametrize(
    "encoded", [b"\xff" * 32, b"\x02" + bytes(31), b"\xf0" + b"\xff" * 30 + b"\x7f", b"", b"x" * 33]
)
def test_ed25519_bytes_that_are_no_point(encoded: bytes) -> None:
    refused(okp(encoded))


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=100, deadline=None)
def test_every_ed25519_key_that_is_made_passes(seed: bytes) -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    StaticKeys.from_pem(pem(key))
    StaticKeys.from_jwks({"keys": [okp(key.public_key().public_bytes_raw(), alg="EdDSA")]})


def primes(name: str, bits: int = 2048) -> tuple[int, int]:
    numbers = rsa_key(name, bits).private_numbers()
    return numbers.p, numbers.q


P, Q = primes("factors")


def test_rsa_moduli_that_can_be_factored() -> None:
    StaticKeys.from_jwks({"keys": [rsa_of(P * Q)]})
    refused(rsa_of(2**2047))
    refused(rsa_of(P * Q + 1))
    large, _ = primes("large", 4096)
    for factor in (3, 7, 257, 65_521):
        refused(rsa_of(factor * large))
    refused(rsa_of(P * P))
    refused(rsa_of(large))
    refused(rsa_of(math.prod(primes("small", 1024))))
    refused(rsa_of(P**9))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 17, 65_535, 65_536, 2**256, 2**256 + 1, 2**2000 + 1])
def test_rsa_exponents(exponent: int) -> None:
    refused(rsa_of(P * Q, exponent))


@pytest.mark.parametrize("exponent", [65_537, 65_539, 2**256 - 1])
def test_rsa_exponents_that_are_fine(exponent: int) -> None:
    StaticKeys.from_jwks({"keys": [rsa_of(P * Q, exponent)]})


def roca_prime(seed: int) -> int:
    """A prime as the broken generator made them: k*M + 65537^a mod M, M the product of the first 126 primes."""
    primes = [n for n in range(2, 702) if all(n % d for d in range(2, n))]
    assert len(primes) == 126
    product, source = math.prod(primes), random.Random(seed)
    while True:
        a, k = (
            source.getrandbits(250),
            source.getrandbits(1024 - product.bit_length()) | 1 << (1023 - product.bit_length()),
        )
        candidate = k * product + pow(65_537, a, product)
        if candidate.bit_length() == 1024 and pow(2, candidate - 1, candidate) == 1:
            return candidate


def test_roca() -> None:
    modulus = next(
        modulus for seed in range(2, 50) if (modulus := roca_prime(1) * roca_prime(seed)).bit_length() == 2_048
    )
    refused(rsa_of(modulus))
    with pytest.raises(ConfigError, match="ROCA"):
        StaticKeys.from_jwks({"keys": [rsa_of(modulus)]})


PUBLISHED = {
    "RFC 7517, A.1, RSA": {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
            "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
            "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
            "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    },
    "RFC 7515, A.3": {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "use": "sig",
        "key_ops": ["verify"],
    },
    "RFC 8037, A.2": {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "alg": "Ed25519",
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_keys_pass(name: str) -> None:
    StaticKeys.from_jwks({"keys": [PUBLISHED[name]]})


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_keys_that_are_made_pass(bits: int) -> None:
    StaticKeys.from_pem(pem(rsa_key(f"fine {bits}", bits)))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_ec_keys_that_are_made_pass(curve: ec.EllipticCurve) -> None:
    StaticKeys.from_pem(pem(ec.generate_private_key(curve)))


@pytest.mark.parametrize("curve", [ec.BrainpoolP256R1(), ec.SECP256K1(), ec.SECP224R1()])
def test_other_curves(curve: ec.EllipticCurve) -> None:
    with pytest.raises(ConfigError, match="P-256"):
        StaticKeys.from_pem(pem(ec.generate_private_key(curve)))


def test_keys_of_other_kinds_in_pem() -> None:
    for key in (ed448.Ed448PrivateKey.generate(), x25519.X25519PrivateKey.generate()):
        with pytest.raises(ConfigError):
            StaticKeys.from_pem(pem(key))


@pytest.mark.parametrize(
    "changes",
    [
        {"x": b64(bytes(32)), "y": b64(bytes(32))},
        {"x": b64(b"\x01" * 32)},
        {"y": b64(b"\xff" * 32)},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"x": None},
        {"x": "*"},
        {"x": "é"},
        {"x": ""},
        {"x": "A" * 5_000},
        {"use": "enc"},
        {"use": ["sig"]},
        {"use": None},
        {"key_ops": None},
        {"key_ops": 5},
        {"key_ops": "verify"},
        {"key_ops": ["sign"]},
        {"key_ops": [["verify"]]},
        {"key_ops": {}},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": "ECDH-ES"},
        {"alg": "HS256"},
        {"alg": 7},
        {"kid": {}},
        {"kty": ["EC"]},
        {"kty": {}},
        {"kty": "oct"},
        {"kty": "RSA"},
        {"kty": "OKP"},
        {"kty": None},
    ],
    ids=str,
)
def test_malformed_keys(changes: dict[str, Any]) -> None:
    refused(ec_jwk(ec_key()) | changes)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["RSA", "EC", "OKP", "oct", "verify"]),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, "crv", "x", "y", "use", "alg"]), inner),
        max_leaves=10,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_json_is_passed_over(member: Any) -> None:
    refused(member)


@pytest.mark.parametrize(
    "member",
    [
        b'{"kty": "EC", "kty": "RSA"}',
        b'{"kty": "\\ud800"}',
        b'{"kid": ' + b"9" * 10_000 + b"}",
        b'{"kid": 1e999999, "x": -0, "y": NaN}',
        b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"x": ' + b'{"a":' * 20_000 + b'"\\"]}"' + b"}" * 20_000 + b"}",
        b'"' + b"[" * 1_000 + b'\\""',
    ],
    ids=lambda member: member[:20].decode(),
)
def test_json_that_strict_readers_refuse_is_passed_over(member: bytes) -> None:
    passed_over(member)


@pytest.mark.parametrize("keys", [None, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": ["x"]}, {}, [], "x", 7])
def test_what_is_no_key_set(keys: Any) -> None:
    with pytest.raises(ConfigError):
        StaticKeys.from_jwks(keys)


@pytest.mark.parametrize("value", [None, 7, b"", "", "-----BEGIN PUBLIC KEY-----", [b"x"], {}])
def test_what_is_no_pem_and_no_secret(value: Any) -> None:
    with pytest.raises(ConfigError):
        StaticKeys.from_pem(value)
    with pytest.raises(ConfigError):
        StaticKeys.from_secret(value)


@pytest.mark.parametrize("secret", [bytes(32), bytes(64), b"a" * 64, b"ab" * 32, b"password" * 4, b"0" * 63 + b"1"])
def test_secrets_that_are_not_random(secret: bytes) -> None:
    with pytest.raises(ConfigError, match="different bytes"):
        StaticKeys.from_secret(secret)


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_length_of_secrets(algorithm: str, size: int) -> None:
    secret = bytes(range(size))
    connect_parser(keys=StaticKeys.from_secret(secret), algorithms=[algorithm])
    with pytest.raises(ConfigError):
        connect_parser(keys=StaticKeys.from_secret(secret[:-1]), algorithms=[algorithm])


def test_short_secret_beside_an_algorithm_that_it_fits() -> None:
    with pytest.raises(ConfigError, match="HS512"):
        connect_parser(keys=StaticKeys.from_secret(SECRET), algorithms=["HS256", "HS512"])
