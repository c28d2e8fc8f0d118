"""Keys that verify anything, or whose private half can be had: found from the public numbers alone."""

from __future__ import annotations

import math
from functools import cache

MIN_RSA_BITS = 2_048
MAX_RSA_BITS = 8_192
MIN_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""A shared secret is at least as long as the hash (RFC 7518, section 3.2)."""
MIN_DISTINCT_BYTES = 8
"""Fewer different bytes than that are no random secret; 32 random hexadecimal digits have at least 8."""
_LARGEST_TRIAL_PRIME = 65_536

_P = 2**255 - 19
_D = -121_665 * pow(121_666, -1, _P) % _P
_Point = tuple[int, int]


def rsa_weakness(modulus: int, exponent: int) -> str | None:
    """Return what is wrong with an RSA key; None where nothing is known to be."""
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        return f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, this one {bits}"
    # FIPS 186-5, appendix A.1.1.
    if exponent % 2 == 0 or not 2**16 < exponent < 2**256:
        return "an RSA key's exponent is odd, above 2^16 and below 2^256; most are 65537"
    if math.gcd(modulus, _primorial()) != 1:
        return "an RSA key's modulus has a small factor"
    if math.isqrt(modulus) ** 2 == modulus or pow(2, modulus - 1, modulus) == 1:
        return "an RSA key's modulus is a square or a prime, not the product of two primes"
    if _is_roca(modulus):
        return "an RSA key was made by a chip with a broken generator (ROCA, CVE-2017-15361): make another one"
    return None


def ed25519_weakness(key: bytes) -> str | None:
    """Return what is wrong with an Ed25519 key of 32 bytes; None where nothing is known to be."""
    point = _decompress(key)
    if point is None:
        return "an Ed25519 key is no point of the curve, or not written canonically (RFC 8032, section 5.1.3)"
    for _ in range(3):
        point = _double(point)
    if point == (0, 1):
        return "an Ed25519 key has a small order: one signature would fit many messages"
    return None


def secret_weakness(secret: bytes) -> str | None:
    """Return what is wrong with a shared secret; None where nothing is known to be."""
    shortest = min(MIN_SECRET_BYTES.values())
    if len(secret) < shortest:
        return f"a shared secret has at least {shortest} random bytes, this one {len(secret)}"
    if len(set(secret)) < MIN_DISTINCT_BYTES:
        return f"a shared secret is random; this one has fewer than {MIN_DISTINCT_BYTES} different bytes"
    return None


@cache
def _primes() -> tuple[int, ...]:
    """Primes up to the largest that is tried, by Eratosthenes's sieve."""
    sieve = bytearray([1]) * (_LARGEST_TRIAL_PRIME + 1)
    for number in range(2, math.isqrt(_LARGEST_TRIAL_PRIME) + 1):
        sieve[number * number :: number] = bytes(len(sieve[number * number :: number]))
    return tuple(number for number in range(2, len(sieve)) if sieve[number])


@cache
def _primorial() -> int:
    return math.prod(_primes())


@cache
def _roca_residues() -> dict[int, frozenset[int]]:
    """For each prime from 3 to 167, the powers of 65537: what a modulus of the broken generator leaves."""
    return {
        prime: frozenset(pow(65_537, power, prime) for power in range(prime)) for prime in _primes() if 2 < prime <= 167
    }


def _is_roca(modulus: int) -> bool:
    """Whether a modulus has the fingerprint of the broken generator.

    Its primes are k·M + 65537^a mod M, M a product of small primes: so the modulus has a discrete logarithm to the base
    65537 modulo each of them. Nemec, Sys, Svenda, Klinec, Matyas: The Return of Coppersmith's Attack (ACM CCS 2017),
    section 2.2 and the authors' public test, roca-detect. A sound modulus passes for such with a chance below 2^-27.
    """
    return all(modulus % prime in residues for prime, residues in _roca_residues().items())


def _decompress(key: bytes) -> _Point | None:
    """Decode a point (RFC 8032, section 5.1.3); None where the bytes are not the one encoding of one."""
    encoded = int.from_bytes(key, "little")
    sign, y = encoded >> 255, encoded & (2**255 - 1)
    if len(key) != 32 or y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if x * x % _P != square or (x == 0 and sign):
        return None
    return (x if x % 2 == sign else _P - x), y


def _double(point: _Point) -> _Point:
    """Add a point to itself (RFC 8032, section 5.1.4, in affine coordinates; the law is complete)."""
    x, y = point
    product = _D * x * x * y * y % _P
    return 2 * x * y * pow(1 + product, -1, _P) % _P, (y * y + x * x) * pow(1 - product, -1, _P) % _P
