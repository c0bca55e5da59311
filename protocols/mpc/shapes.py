"""What an engine refuses before it sends anything: operands that do not fit. The same at every party."""

from __future__ import annotations

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.shares import BitShare, Share


def check_input(values: Ring | None, shape: tuple[int, ...]) -> Ring:
    """The owner's input, contiguous; it must be uint64 of the shape that all parties expect."""
    if values is None or values.shape != shape or values.dtype != np.uint64:
        raise ProtocolError(f"the owner's input must be uint64 of shape {shape}", remedy="report this as a bug")
    return np.ascontiguousarray(values)


def check_factors(x: Share, y: Share) -> None:
    """Factors of an elementwise product have one shape."""
    if x.shape != y.shape:
        raise ProtocolError(f"factors of shapes {x.shape} and {y.shape}", remedy="give both one shape (`broadcast`)")


def check_matrices(x: Share, y: Share) -> None:
    """Factors of a matrix product are (n, k) and (k, m)."""
    if len(x.shape) != 2 or len(y.shape) != 2 or x.shape[1] != y.shape[0]:
        raise ProtocolError(f"matrices of shapes {x.shape} and {y.shape}", remedy="give (n, k) and (k, m)")


def check_planes(x: BitShare, y: BitShare) -> None:
    """Factors of an AND have equally many planes of one length."""
    if x.planes != y.planes or x.length != y.length or x.parts[0].shape != y.parts[0].shape:
        raise ProtocolError(
            f"AND of {x.planes} x {x.length} and {y.planes} x {y.length} bits", remedy="give both one shape"
        )


def check_width(bits: int) -> None:
    """A ring element has 1 to 64 bits."""
    if not 0 < bits <= 64:
        raise ProtocolError(f"{bits} bits of a ring element", remedy="ask for 1 to 64")
