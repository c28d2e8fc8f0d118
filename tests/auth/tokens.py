"""JWTs made by hand from raw cryptography, so that nothing here shares code with what is tested."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | bytes

NOW = 1_800_000_000
ISSUER = "https://identity.example"
AUDIENCE = "https://ledger.example"
ALICE = "oid:onoal:user:alice"
SERVICE = "oid:onoal:service:billing"
SECRET = b"0123456789abcdef0123456789abcdef"


@cache
def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key for each name, made once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str = "first") -> ec.EllipticCurvePrivateKey:
    """A P-256 key for each name."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(name: str = "first") -> ed25519.Ed25519PrivateKey:
    """An Ed25519 key for each name."""
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> bytes:
    """The public half in PEM."""
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def rsa_jwk(key: rsa.RSAPrivateKey, **members: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": _b64_int(numbers.n), "e": _b64_int(numbers.e), **members}


def ec_jwk(key: ec.EllipticCurvePrivateKey, **members: Any) -> dict[str, Any]:
    """The public half as a JWK."""
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32)), **members}


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that are accepted at ``NOW``; a change to None takes a claim out."""
    accepted = {"iss": ISSUER, "aud": AUDIENCE, "sub": ALICE, "iat": NOW - 10, "exp": NOW + 100}
    return {name: value for name, value in (accepted | changes).items() if value is not None}


def service_claims(**changes: Any) -> dict[str, Any]:
    """Claims of a service token that are accepted at ``NOW``."""
    return claims(**({"sub": None, "service_oid": SERVICE, "jti": "jti-1"} | changes))


def make(key: PrivateKey, body: Mapping[str, Any] | bytes, alg: str = "RS256", **header: Any) -> str:
    """A signed token; header members that are None are left out."""
    head = {name: value for name, value in ({"alg": alg, "typ": "JWT"} | header).items() if value is not None}
    return make_raw(key, alg, json.dumps(head).encode(), body if isinstance(body, bytes) else json.dumps(body).encode())


def make_raw(key: PrivateKey, alg: str, header: bytes, body: bytes) -> str:
    """A signed token of exactly these bytes."""
    signed = f"{b64(header)}.{b64(body)}"
    return f"{signed}.{b64(sign(key, alg, signed.encode()))}"


def sign(key: PrivateKey, alg: str, data: bytes) -> bytes:
    """A signature by RFC 7518."""
    if isinstance(key, bytes):
        return hmac.new(key, data, hashlib.sha256).digest() if alg.startswith("HS") else b""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)
    if alg == "PS256":
        return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _b64_int(number: int) -> str:
    return b64(number.to_bytes((number.bit_length() + 7) // 8))
