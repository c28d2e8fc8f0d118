"""The only place that touches joserfc: keys come in, signatures are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from nucleus.auth.algorithms import KEY_TYPES
from nucleus.auth.compact import MAX_HEADER_BYTES, MAX_JWT_BYTES, MAX_SIGNATURE_BYTES
from nucleus.auth.weak_keys import MIN_RSA_BITS, MIN_SECRET_BYTES, ed25519_weakness, rsa_weakness, secret_weakness
from nucleus.errors import ConfigError

_MAX_NUMBER_CHARS = 2_048
"""Longest number of a JWK that is decoded: 12,288 bits."""
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_CLASSES: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key that signatures are checked with.

    Attributes:
        kid: its name; None for a key that goes with any.
        alg: the one algorithm it is for; None for any of its type.
        key_type: JWK ``kty``.
        curve: JWK ``crv``; None where there is none.
        secret_bytes: length of a shared secret; 0 for a public key.
    """

    kid: str | None
    alg: str | None
    key_type: str
    curve: str | None
    _key: Key = field(repr=False)
    secret_bytes: int = 0

    def fits(self, algorithm: str) -> bool:
        """Whether the key may be used with this algorithm: what keeps a public key from serving as a secret."""
        key_type, curve = KEY_TYPES[algorithm]
        if key_type == "oct" and self.secret_bytes < MIN_SECRET_BYTES[algorithm]:
            return False
        return self.key_type == key_type and self.curve == curve and self.alg in (None, algorithm)

    def verifies(self, token: str, algorithm: str) -> bool:
        """Whether the token's signature holds under this key and exactly this algorithm."""
        if not self.fits(algorithm):
            return False
        try:
            jws.deserialize_compact(token, self._key, registry=_OneAlgorithm(algorithm))
        except (JoseError, ValueError, TypeError):
            return False
        return True


class _OneAlgorithm(JWSRegistry):
    """Knows a single algorithm, and leaves the header to :mod:`nucleus.auth.verifier`, which is stricter."""

    max_header_length = MAX_HEADER_BYTES
    max_payload_length = MAX_JWT_BYTES
    max_signature_length = MAX_SIGNATURE_BYTES

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)
        self._algorithm = algorithm

    def get_alg(self, name: str) -> Any:
        """Return the one algorithm that is allowed here, and refuse every other name."""
        # Not super().get_alg: it warns at every token that EdDSA is now called Ed25519.
        if name != self._algorithm:
            raise UnsupportedAlgorithmError("the header names another algorithm")
        return self.algorithms[name]


def key_from_secret(secret: bytes, kid: str | None) -> VerificationKey:
    """Take a shared secret.

    Raises:
        ConfigError: it is short, or not random, or is a public key, which is no secret.
    """
    weakness = secret_weakness(secret)
    if weakness is not None:
        raise ConfigError(weakness)
    if b"-----BEGIN" in secret or secret.lstrip().startswith((b"ssh-", b"ecdsa-", b"{")):
        raise ConfigError("a public key is no shared secret: use StaticKeys.from_pem or from_jwks")
    try:
        return VerificationKey(kid, None, "oct", None, OctKey.import_key(secret), len(secret))
    except (JoseError, ValueError):
        raise ConfigError("the shared secret cannot be used as one") from None


def key_from_pem(pem: bytes, kid: str | None) -> VerificationKey:
    """Take a public key in PEM (SubjectPublicKeyInfo).

    Raises:
        ConfigError: it is no such key, or a weak one, or of a type that no algorithm takes.
    """
    if b"PRIVATE KEY" in pem:
        raise ConfigError("this is a private key; tokens are verified with the public one")
    try:
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError("this is not a public key in PEM, `-----BEGIN PUBLIC KEY-----`") from None
    if not isinstance(public, _PublicKey):
        raise ConfigError("the public key is neither RSA, nor EC, nor Ed25519")
    return _checked(public, kid, None)


def key_from_jwk(jwk: object) -> VerificationKey:
    """Take a public JWK (RFC 7517), whatever JSON it is. Private members are dropped, unread.

    Raises:
        ConfigError: it is not a public key for signatures, or a weak one.
    """
    if not isinstance(jwk, Mapping):
        raise ConfigError("a key is not a JSON object")
    key_type, kid, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    if not isinstance(key_type, str) or key_type not in _PUBLIC_MEMBERS:
        raise ConfigError(f"a key's `kty` is not one of {', '.join(_PUBLIC_MEMBERS)}")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise ConfigError("a key is not meant for checking signatures")
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        raise ConfigError("a key's `kid` or `alg` is not a text")
    public: dict[str, Any] = {"kty": key_type} | {name: jwk.get(name) for name in _PUBLIC_MEMBERS[key_type]}
    if not all(isinstance(value, str) and len(value) <= _MAX_NUMBER_CHARS for value in public.values()):
        raise ConfigError(f"a key lacks one of {', '.join(_PUBLIC_MEMBERS[key_type])}, or it is too long")
    if key_type == "RSA" and len(str(public["n"])) * 6 < MIN_RSA_BITS:
        # A rough count first: joserfc warns of a short modulus.
        raise ConfigError(f"an RSA key has at least {MIN_RSA_BITS} bits")
    try:
        raw = _CLASSES[key_type].import_key(public).public_key
    except Exception as error:
        # The document is anybody's, and libraries fail in their own ways on what is no key.
        raise ConfigError(f"a key of type {key_type} cannot be read: {type(error).__name__}") from None
    if not isinstance(raw, _PublicKey):
        raise ConfigError(f"a key of type {key_type} is on a curve that no algorithm takes")
    return _checked(raw, kid, algorithm)


def _checked(public: _PublicKey, kid: str | None, algorithm: str | None) -> VerificationKey:
    """Return a public key that is fit to verify with.

    Raises:
        ConfigError: it is weak, or no algorithm, or not its own, takes it.
    """
    weakness: str | None = None
    key: VerificationKey
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        weakness = rsa_weakness(numbers.n, numbers.e)
        key = VerificationKey(kid, algorithm, "RSA", None, RSAKey(public, public))
    elif isinstance(public, ec.EllipticCurvePublicKey):
        if public.curve.name not in _CURVES:
            raise ConfigError(f"an EC key is on one of {', '.join(_CURVES.values())}, this one on {public.curve.name}")
        key = VerificationKey(kid, algorithm, "EC", _CURVES[public.curve.name], ECKey.import_key(public))
    else:
        weakness = ed25519_weakness(public.public_bytes_raw())
        key = VerificationKey(kid, algorithm, "OKP", "Ed25519", OKPKey.import_key(public))
    if weakness is not None:
        raise ConfigError(weakness)
    if algorithm is not None and not (algorithm in KEY_TYPES and key.fits(algorithm)):
        raise ConfigError("a key's `alg` is no signature algorithm of its type")
    return key
