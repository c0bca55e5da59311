"""Compile every kernel now (`python -m hansa.protocols.mpc.kernels`), so that no job waits for it."""

from __future__ import annotations

import numpy as np

from hansa.protocols.mpc.kernels import additive, bits, ring


def warm() -> None:
    """Call each kernel once, with the types the engines use."""
    matrix, vector = np.ones((2, 2), dtype=np.uint64), np.ones(2, dtype=np.uint64)
    ring.matvec(matrix, vector)
    ring.matvec_transposed(matrix, vector)
    ring.cross_product(vector, vector, vector, vector)
    ring.cross_and(vector, vector, vector, vector, vector)
    ring.bin_sums(np.zeros((2, 2), dtype=np.uint8), vector, 2)
    additive.beaver(vector, vector, vector, vector, vector, True)
    masked, planes = np.ones((64, 1), dtype=np.uint64), np.ones((33, 1), dtype=np.uint64)
    additive.block_less(masked, additive.monomials(masked, 16), True)
    additive.block_less(planes, additive.monomials(planes, 8), False)
    bits.unpack_bits(bits.slice_bits(vector, 0, 64)[0], 2)


if __name__ == "__main__":
    warm()
