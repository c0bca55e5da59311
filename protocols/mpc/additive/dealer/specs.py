"""What a dealer deals: each kind of correlation has free parts, uniform at every party, and dependent parts that follow of them.

A request is five words: the kind and four numbers, 0 where a kind needs fewer. Of most kinds they are units and a parameter;
a unit is 64 elements, one word of bits. Of pads and matrices they are sizes and places (``dealer.CorrelationDealer``). The
dealer knows every party's free parts and derives the dependent ones. Of these every party but the last expands its summand
from its seed, so that only the last needs to be sent anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.additive.correlations import TOP_BITS, blocks_of, planes_of, sigmoid_bits
from hansa.protocols.mpc.fourier import HARMONIC_COUNT, sines_and_cosines
from hansa.protocols.mpc.kernels.additive import monomials
from hansa.protocols.mpc.kernels.bits import slice_bits, unpack_bits
from hansa.protocols.mpc.kernels.ring import matmul
from hansa.protocols.mpc.masked_truncation import mask_parts

Shape = tuple[int, ...]


class DealerRequest(IntEnum):
    """What may be asked of a dealer, as its number in a request."""

    FINISH = 0
    TRIPLES = 1
    BIT_TRIPLES = 2
    DABITS = 3
    TRUNCATION = 4
    COMPARISON = 5
    TRIG = 6
    PAD = 7
    PAD_PRODUCT = 8
    MATMUL = 9


@dataclass(frozen=True, slots=True)
class Part:
    """One array of a correlation: its shape, and whether its summands are XORed (else added)."""

    shape: Shape
    xor: bool = False

    @property
    def size(self) -> int:
        """Words."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class CorrelationSpec:
    """Free parts, dependent parts, and how these follow of the sums of those."""

    free: tuple[Part, ...]
    dependent: tuple[Part, ...]
    derive: Callable[..., Sequence[Ring]]

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in the order in which they are drawn from a seed."""
        return self.free + self.dependent

    @property
    def correction(self) -> int:
        """Words that are sent to the last party."""
        return sum(part.size for part in self.dependent)


def spec_of(kind: DealerRequest, units: int, parameter: int) -> CorrelationSpec:
    """The spec of ``units`` of a kind; ``parameter``: width, bits or scale."""
    n = 64 * units
    ring, bits = Part((n,)), Part((units,), xor=True)
    match kind:
        case DealerRequest.TRIPLES:
            return CorrelationSpec((ring, ring), (ring,), lambda a, b: (a * b,))
        case DealerRequest.BIT_TRIPLES:
            wide = Part((parameter, units), xor=True)
            return CorrelationSpec((bits, wide), (wide,), lambda a, b: (a & b,))
        case DealerRequest.DABITS:
            return CorrelationSpec((bits,), (ring,), lambda packed: (unpack_bits(packed, n),))
        case DealerRequest.TRUNCATION:
            return CorrelationSpec((ring,), (ring, ring), lambda r: mask_parts(r, parameter))
        case DealerRequest.COMPARISON:
            planes = Part((planes_of(TOP_BITS), units), xor=True)
            return CorrelationSpec((ring,), (planes,), lambda r: (planes_under(r, TOP_BITS),))
        case DealerRequest.TRIG:
            below = sigmoid_bits(parameter)
            trig, planes = Part((2, HARMONIC_COUNT, n)), Part((planes_of(below), units), xor=True)
            return CorrelationSpec(
                (ring,), (trig, planes), lambda r: (sines_and_cosines(r, parameter), planes_under(r, below))
            )
        case _:
            raise ValueError(f"no spec of {kind.name}")


def matmul_spec(n: int, k: int, m: int) -> CorrelationSpec:
    """The spec of one matrix triple."""
    return CorrelationSpec((Part((n, k)), Part((k, m))), (Part((n, m)),), lambda a, b: (matmul(a, b),))


def allowed(kind: DealerRequest, parameter: int) -> bool:
    """Whether a request's parameter is one the engine uses."""
    match kind:
        case DealerRequest.BIT_TRIPLES:
            return parameter in (1, 2)
        case DealerRequest.TRUNCATION:
            return 0 < parameter < 62
        case DealerRequest.TRIG:
            return 16 <= parameter <= 44
        case _:
            return parameter == 0


def planes_under(r: Ring, below: int) -> Ring:
    """Products of the bits of r, the ``below`` bits under the top bit, in blocks; see ``comparison_masks``."""
    return monomials(slice_bits(r, 63 - below, below + 1), blocks_of(below))
