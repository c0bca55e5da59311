"""What protocols on additive shares use of the engine that runs them, and nothing more."""

from __future__ import annotations

from typing import Protocol

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.adder import AndsBits
from hansa.protocols.mpc.additive.correlations import Correlations, MaskCorrelations
from hansa.protocols.mpc.session.session import Session


class AdditiveParty(AndsBits, Protocol):
    """A party with correlations, which opens what they mask."""

    session: Session
    rank: int
    first: bool
    """Whether this party adds the public constants."""

    @property
    def correlations(self) -> Correlations:
        """Where its correlated randomness comes from."""
        ...

    async def sums(self, *parts: Ring) -> list[Ring]:
        """The sums of all parties' masked summands, at every party."""
        ...

    async def xors(self, *parts: Ring) -> list[Ring]:
        """The same for bits."""
        ...


class MaskedParty(AdditiveParty, Protocol):
    """A party whose correlations also have masks with summands of their parts, and pads."""

    @property
    def correlations(self) -> MaskCorrelations:
        """Where its correlated randomness comes from."""
        ...
