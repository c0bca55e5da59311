"""The layout of a matrix in polynomials: its product with a vector takes no rotation and returns one ciphertext.

Rows are padded to a power of two, the stride; a polynomial holds degree/stride columns one after another, column k at
x^(stride·k) and on. Times v_0 - v_1·x^(degree - stride) - v_2·x^(degree - 2·stride) - ..., its first coefficients are the
sum of these columns times their v_k; the other coefficients are not used and never sent. The factor is a polynomial in
x^stride, so that its transform has only degree/stride different values. Sums over polynomials are taken on values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hansa.protocols.arrays import Ring, Words
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.params import ERROR_BOUND, RING
from hansa.protocols.mpc.rlwe.residues import Conversion
from hansa.protocols.mpc.rlwe.sampling import errors
from hansa.protocols.mpc.rlwe.scheme import BgvScheme, SecretKey

_SHORTEST = 16
_LIMBS = (1, 2**30, 2**60)


@dataclass(frozen=True, slots=True)
class Packing:
    """Where the entries of a (rows, columns) matrix lie; rows <= degree."""

    rows: int
    columns: int
    degree: int

    @property
    def stride(self) -> int:
        """The distance of columns in a polynomial."""
        return max(_SHORTEST, 1 << (self.rows - 1).bit_length())

    @property
    def width(self) -> int:
        """How many columns a polynomial holds."""
        return self.degree // self.stride

    @property
    def polys(self) -> int:
        """How many polynomials the matrix takes."""
        return -(-self.columns // self.width)

    def message(self, matrix: Ring, index: int) -> Ring:
        """The ``index``-th polynomial's coefficients mod 2^64, (degree,)."""
        part = matrix[:, index * self.width : (index + 1) * self.width]
        out = np.zeros((self.width, self.stride), dtype=np.uint64)
        out[: part.shape[1], : self.rows] = part.T
        return out.ravel()


@lru_cache(maxsize=8)
def message_conversion(primes: tuple[int, ...]) -> Conversion:
    """From a ring polynomial's three limbs and an error digit to m + t·e."""
    return Conversion(primes, [*_LIMBS, RING], -ERROR_BOUND * RING)


def encrypt_ring(
    scheme: BgvScheme, key: SecretKey, message: Ring, c1: Words, conversion: Conversion, coins: Keystream
) -> Words:
    """The first component of an encryption of a polynomial over Z_2^64, (degree,)."""
    digits = np.empty((4, message.size), dtype=np.uint32)
    kernels.split_limbs(message, digits[:3])
    digits[3] = errors(coins, message.size)
    return scheme.encrypt(key, conversion(digits), c1)


def multiply_packed(scheme: BgvScheme, packing: Packing, c0: Words, c1: Words, vector: Ring) -> tuple[Words, Words]:
    """Enc(matrix · vector): the sum over polynomials of (c0, c1), each (polys, primes, degree), times their factors."""
    factors = _factors(scheme, packing, vector)
    sums = np.empty((2, *c0.shape[1:]), dtype=np.uint32)
    for component, total in zip((c0, c1), sums, strict=True):
        kernels.weighted_sum(component, factors, scheme.basis.primes, scheme.basis.inverses, total)
    return sums[0], sums[1]


def _factors(scheme: BgvScheme, packing: Packing, vector: Ring) -> Words:
    """Values in Montgomery form of the factors of all polynomials, one run of each: (polys, primes, degree/16)."""
    primes, width = scheme.basis.primes.astype(np.int64), packing.width
    signed = np.zeros(packing.polys * width, dtype=np.int64)
    signed[: vector.size] = vector.view(np.int64)
    residues = (signed.reshape(packing.polys, 1, width) % primes[:, None]).astype(np.uint64)
    montgomery = (residues << np.uint64(32)) % primes.astype(np.uint64)[:, None]
    short = np.empty(montgomery.shape, dtype=np.uint32)
    short[:, :, 0] = montgomery[:, :, 0]
    last = montgomery[:, :, :0:-1]
    short[:, :, 1:] = np.where(last, primes.astype(np.uint64)[:, None] - last, 0)
    values = scheme.transform.forward_short(short)
    return np.ascontiguousarray(np.repeat(values, packing.degree // 16 // width, axis=2))
