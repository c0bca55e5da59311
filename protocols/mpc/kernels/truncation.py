"""Truncation under a mask, in one pass over memory each (masked.py has the arithmetic)."""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels.jit import kernel

_LOW63 = np.uint64((1 << 63) - 1)
_TOP = np.uint64(63)


@kernel
def unmask(c: Ring, t: Ring, m: Ring, bits: int, first: bool) -> Ring:
    """A summand of z / 2^bits, from flat arrays; see ``masked.unmask``."""
    shift = np.uint64(bits)
    unit = np.uint64(1) << np.uint64(63 - bits)
    back = np.uint64(1) << np.uint64(62 - bits)
    out = np.empty(c.size, dtype=np.uint64)
    for i in range(c.size):
        top = c[i] >> _TOP
        summand = (unit - top * (unit + unit)) * m[i] - t[i]
        if first:
            summand += ((c[i] & _LOW63) >> shift) + top * unit - back
        out[i] = summand
    return out


@kernel
def mask_corrections(r0: Ring, r1: Ring, z0: Ring, t: Ring, m: Ring, bits: int) -> None:
    """Of the mask r = r0 + r1 - z0: its t and m less the other summands ``t`` and ``m``, written over these."""
    shift = np.uint64(bits)
    for i in range(r0.size):
        r = r0[i] + r1[i] - z0[i]
        t[i] = ((r & _LOW63) >> shift) - t[i]
        m[i] = (r >> _TOP) - m[i]
