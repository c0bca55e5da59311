"""Parameters: ring degree, ciphertext primes, and the security table they are held to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.rlwe.transform import Transform

MAX_MODULUS_BITS = {4096: 109, 8192: 218, 16384: 438}
"""Ternary secret, 128-bit classical security (HomomorphicEncryption.org standard, 2018, table 1)."""
NOISE = 21
"""Bound of a fresh error: a centred binomial of 2·21 bits, standard deviation 3.24."""
STATISTICAL_BITS = 40
_LARGEST = 16384


@dataclass(frozen=True)
class Params:
    """Degree ``n``, ``primes`` of the ciphertext modulus, how many are ``kept`` in an answer, plaintext modulus ``t``.

    ``flood_bits``: an answer's noise is drowned in uniform noise of this many bits (in units of t).
    """

    n: int
    primes: tuple[int, ...]
    kept: int
    t: int
    flood_bits: int

    def __post_init__(self) -> None:
        modulus = math.prod(self.primes)
        assert modulus.bit_length() <= MAX_MODULUS_BITS[self.n]
        assert all(math.gcd(self.t, p) == 1 for p in self.primes)

    @property
    def transform(self) -> Transform:
        """The transforms modulo all primes."""
        return Transform.of(self.n, self.primes)


def params(n: int, t: int, *, noise: int, answers: int) -> Params:
    """For ciphertexts whose noise stays below ``noise`` (in units of t) before flooding, and ``answers`` coefficients
    returned under one key: flooded by 40 + log2(answers) bits more, so that all of them together show the key's owner
    less than 2^-40 of anything. Raises ``ProtocolError`` where the table has no room.
    """
    flood_bits = noise.bit_length() + STATISTICAL_BITS + max(answers - 1, 1).bit_length()
    most = (1 << (flood_bits + 1)) + noise
    primes: list[int] = []
    for prime in ntt_primes(16):
        if _holds(primes, t * most):
            break
        if t % prime:
            primes.append(prime)
    if math.prod(primes).bit_length() > MAX_MODULUS_BITS[n] or not _holds(primes, t * most):
        raise ProtocolError(
            "the homomorphic step does not fit its security parameters",
            remedy="take a smaller batch_size, or fewer epochs",
        )
    # An answer keeps as many primes as its noise needs: what is left of the flood, and n + 2 from switching.
    for kept in range(1, len(primes)):
        left = most // math.prod(primes[kept:]) + n + 2
        if _holds(primes[:kept], t * left):
            return Params(n, tuple(primes), kept, t, flood_bits)
    return Params(n, tuple(primes), len(primes), t, flood_bits)


def _holds(primes: list[int], value: int) -> bool:
    """Whether numbers up to value, of either sign, are told apart (by their highest digit: the slack)."""
    return math.prod(primes) > 2 * value + (value >> 20)


@lru_cache
def ntt_primes(count: int, skip: int = 0) -> tuple[int, ...]:
    """The largest primes below 2^30 that are 1 modulo twice the largest degree, after ``skip`` of them."""
    found: list[int] = []
    candidate = (1 << 30) + 1
    while len(found) < count + skip:
        candidate -= 2 * _LARGEST
        if _is_prime(candidate):
            found.append(candidate)
    return tuple(found[skip:])


def _is_prime(x: int) -> bool:
    """Miller-Rabin with the bases that decide below 2^32 (Jaeschke, 1993)."""
    odd, twos = x - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 7, 61):
        y = pow(base, odd, x)
        if y in (1, x - 1):
            continue
        for _ in range(twos - 1):
            y = y * y % x
            if y == x - 1:
                break
        else:
            return False
    return True


def residues(value: int, primes: tuple[int, ...]) -> NDArray[np.uint64]:
    """An integer modulo each prime, as a column."""
    return np.array([value % p for p in primes], dtype=np.uint64)
