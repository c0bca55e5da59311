"""Truncation of a number that was opened under a mask whose parts are known: the arithmetic, common to the engines."""

from __future__ import annotations

from typing import Final

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.kernels import ring as kernels

OFFSET: Final = np.uint64(1 << 62)
"""Added to a number below 2^62 in absolute value before it is masked, so that it is not negative."""
_LOW63: Final = np.uint64((1 << 63) - 1)
_TOP: Final = np.uint64(63)


def check_bits(bits: int) -> None:
    """Truncation is by 1 to 61 bits; anything else is a bug."""
    if not 0 < bits < 62:
        raise ProtocolError(f"truncation by {bits} bits", remedy="report this as a bug")


def mask_parts(r: Ring, bits: int) -> tuple[Ring, Ring]:
    """t = (r mod 2^63) >> bits and m = the top bit of a mask r."""
    return (r & _LOW63) >> np.uint64(bits), r >> _TOP


def unmask(c: Ring, t: Ring, m: Ring, bits: int, *, first: bool) -> Ring:
    """One summand of z / 2^bits, floor or one more, from c = z + 2^62 + r and summands of the mask's t and m.

    With c' = c mod 2^63: z + 2^62 = c' - (r mod 2^63) + w 2^63, where w = m xor the top bit of c, as z + 2^62 < 2^63.
    So (c' >> bits) - t + w 2^(63-bits) is floor((z + 2^62) / 2^bits) or one more, from which 2^(62-bits) is taken off
    again. Given c, all is linear in t and m; ``first``: whether this summand has the constants.
    """
    return kernels.unmask(c, t, m, bits, first)
