"""Samples, as digits below 2^30: public ones from a seed that is sent, secret ones from the OS's generator."""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Words
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.prf import Keystream

LIMB: Final = 30
SEED_BYTES: Final = 32
_SLACK: Final = 192


def fresh_coins() -> Keystream:
    """A keystream under a new key from the OS's generator."""
    return Keystream(secrets.token_bytes(SEED_BYTES), b"rlwe coins")


def uniform(seed: bytes, index: int, primes: NDArray[np.uint32], degree: int) -> Words:
    """Residues (primes, degree), uniform by rejection: the ``index``-th polynomial of a seed, the same at both parties."""
    stream = Keystream(seed, b"rlwe uniform" + index.to_bytes(8, "little"))
    out = np.empty((primes.size, degree), dtype=np.uint32)
    for row, p in zip(out, primes, strict=True):
        have = kernels.accept(stream.words(degree // 2 + _SLACK).view(np.uint32), p, row, 0)
        while have < degree:
            have = kernels.accept(stream.words(_SLACK).view(np.uint32), p, row, have)
    return out


def errors(coins: Keystream, degree: int) -> Words:
    """Centred binomial errors plus 21, (degree,)."""
    out = np.empty(degree, dtype=np.uint32)
    kernels.binomial(coins.words(degree), out)
    return out


def ternary(coins: Keystream, degree: int) -> Words:
    """Uniform among 0, 1, 2, (1, degree); a word mod 3 is 2^-63 from it."""
    out = np.empty((1, degree), dtype=np.uint32)
    kernels.ternary(coins.words(degree), out[0])
    return out


def limbs(coins: Keystream, bits: int, size: int) -> Words:
    """A uniform number of ``bits`` bits for each of ``size`` places, in limbs of 30 bits: (ceil(bits / 30), size)."""
    count = -(-bits // LIMB)
    words = coins.words(-(-count * size // 2)).view(np.uint32)[: count * size].reshape(count, size)
    words &= np.uint32(2**LIMB - 1)
    words[-1] &= np.uint32(2 ** (bits - LIMB * (count - 1)) - 1)
    return words
