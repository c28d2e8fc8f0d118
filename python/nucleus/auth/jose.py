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
from nucleus.errors import ConfigError

MIN_RSA_BITS = 2_048
MAX_RSA_BITS = 8_192
MIN_SECRET_BYTES = 32
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_CLASSES: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key that signatures are checked with.

    Attributes:
        kid: its name; None for a key that goes with any.
        alg: the one algorithm it is for; None for any of its type.
        key_type: JWK ``kty``.
        curve: JWK ``crv``; None where there is none.
    """

    kid: str | None
    alg: str | None
    key_type: str
    curve: str | None
    _key: Key = field(repr=False)

    def fits(self, algorithm: str) -> bool:
        """Whether the key may be used with this algorithm: what keeps a public key from serving as a secret."""
        key_type, curve = KEY_TYPES[algorithm]
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
        ConfigError: it is short, or is a public key, which is no secret.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(f"a shared secret has at least {MIN_SECRET_BYTES} random bytes, this one {len(secret)}")
    if b"-----BEGIN" in secret or secret.lstrip().startswith((b"ssh-", b"ecdsa-", b"{")):
        raise ConfigError("a public key is no shared secret: use StaticKeys.from_pem or from_jwks")
    try:
        return VerificationKey(kid, None, "oct", None, OctKey.import_key(secret))
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
    if isinstance(public, rsa.RSAPublicKey):
        _check_rsa_bits(public.key_size)
        return VerificationKey(kid, None, "RSA", None, RSAKey.import_key(pem))
    if isinstance(public, ec.EllipticCurvePublicKey):
        key = ECKey.import_key(pem)
        return VerificationKey(kid, None, "EC", key.curve_name, key)
    if isinstance(public, ed25519.Ed25519PublicKey):
        return VerificationKey(kid, None, "OKP", "Ed25519", OKPKey.import_key(pem))
    raise ConfigError("the public key is neither RSA, nor EC, nor Ed25519")


def key_from_jwk(jwk: Mapping[str, Any]) -> VerificationKey:
    """Take a public JWK (RFC 7517). Private members are dropped, unread.

    Raises:
        ConfigError: it is not a public key for signatures, or a weak one.
    """
    key_type, kid, algorithm = jwk.get("kty"), jwk.get("kid"), jwk.get("alg")
    if key_type not in _PUBLIC_MEMBERS:
        raise ConfigError(f"a key's `kty` is not one of {', '.join(_PUBLIC_MEMBERS)}")
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        raise ConfigError("a key is not meant for checking signatures")
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        raise ConfigError("a key's `kid` or `alg` is not a text")
    public = {"kty": key_type} | {name: jwk.get(name) for name in _PUBLIC_MEMBERS[key_type]}
    if not all(isinstance(value, str) for value in public.values()):
        raise ConfigError(f"a key lacks one of {', '.join(_PUBLIC_MEMBERS[key_type])}")
    if key_type == "RSA":
        # A rough count first: joserfc warns of a short modulus, and a huge one costs time.
        _check_rsa_bits(len(str(public["n"])) * 6)
    try:
        key = _CLASSES[key_type].import_key(public)
        curve = None if isinstance(key, RSAKey) else key.curve_name
        if isinstance(key, RSAKey):
            _check_rsa_bits(key.raw_value.key_size)
    except (JoseError, ValueError, TypeError, KeyError, Warning, UnsupportedAlgorithm):
        raise ConfigError(f"a key of type {key_type} cannot be read") from None
    return VerificationKey(kid, algorithm, key_type, curve, key)


def _check_rsa_bits(bits: int) -> None:
    # Base64 may add up to five bits to a rough count.
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS + 5:
        raise ConfigError(f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, this one {bits}")
