"""Products of a ring polynomial with a small secret one, exactly modulo 2^64 and x^degree + 1."""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.params import ERROR_BOUND, ntt_primes
from hansa.protocols.mpc.rlwe.residues import Conversion, basis, in_ring
from hansa.protocols.mpc.rlwe.sampling import LIMB, errors, ternary
from hansa.protocols.mpc.rlwe.transform import transform

_PRIMES = ntt_primes(3)
_LIMBS = Conversion(_PRIMES, [2 ** (LIMB * k) for k in range(3)])
_SIGNS = Conversion(_PRIMES, [1], -1, montgomery=True)


def ternary_ring(coins: Keystream, size: int) -> Ring:
    """Coefficients uniform among -1, 0, 1 modulo 2^64, (size,)."""
    out: Ring = ternary(coins, size)[0].astype(np.uint64) - np.uint64(1)
    return out


def errors_ring(coins: Keystream, size: int) -> Ring:
    """Centred binomial errors of 42 bits (standard deviation 3.24, at most 21) modulo 2^64, (size,)."""
    out: Ring = errors(coins, size).astype(np.uint64) - np.uint64(ERROR_BOUND)
    return out


class RingFactor:
    """A factor with coefficients -1, 0, 1 modulo 2^64, (degree,); degree <= 16384.

    The products' coefficients are below degree·2^64 <= 2^78 in size, less than half of the three primes' 2^89.
    """

    def __init__(self, secret: Ring) -> None:
        self._transform = transform(secret.size, _PRIMES)
        self._values = self._transform.forward(_SIGNS((secret + np.uint64(1)).astype(np.uint32)[None]))

    def times(self, a: Ring) -> Ring:
        """The negacyclic product with ``a`` (degree,) modulo 2^64."""
        joint = basis(_PRIMES)
        limbs = np.empty((3, a.size), dtype=np.uint32)
        kernels.split_limbs(a, limbs)
        product = joint.multiply(self._transform.forward(_LIMBS(limbs)), self._values)
        digits = joint.to_digits(self._transform.inverse(product))
        negative = (digits[-1] > joint.primes[-1] // 2).astype(np.uint32)
        return in_ring(np.concatenate((digits, negative[None])), [*joint.radix, -joint.product])
