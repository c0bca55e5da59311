"""The additive engine on masks: numbers are opened under masks of whose parts every party was dealt a summand."""

from __future__ import annotations

from collections.abc import Sequence

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.additive.correlations import MaskCorrelations
from hansa.protocols.mpc.additive.dealer import comparison, matrices
from hansa.protocols.mpc.additive.dealer import sigmoid as logistic
from hansa.protocols.mpc.additive.dealer.matrices import AdditiveMatrix
from hansa.protocols.mpc.additive.engine import AdditiveEngine, input_masks
from hansa.protocols.mpc.masked_truncation import OFFSET, check_bits, unmask
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Share


class DealerEngine(AdditiveEngine):
    """The engine ``additive`` with a dealer; make it with ``await DealerEngine.start(session, correlations, frac_bits)``."""

    correlations: MaskCorrelations

    @classmethod
    async def start(cls, session: Session, correlations: MaskCorrelations, frac_bits: int) -> DealerEngine:
        """Costs as ``input_masks``."""
        return cls(session, correlations, frac_bits, await input_masks(session, frac_bits))

    async def truncate(self, x: Linear, bits: int) -> Share:
        """x / 2^bits for |x| < 2^62: floor or one more, never anything else (``masked_truncation.unmask``).

        Open c = x + 2^62 + r under a mask of whose parts t and m every party has a summand.
        Rounds: 1. Bytes sent per party: 8·size·(n_parties - 1). Preprocessing: a truncation mask each.
        """
        check_bits(bits)
        r, t, m = await self.correlations.truncation_masks(x.size, bits)
        masked = x.parts[0].reshape(-1) + r
        if self.first:
            masked += OFFSET
        (c,) = await self.sums(masked)
        return Share((unmask(c, t, m, bits, first=self.first).reshape(x.shape),))

    # --- what stays with its owner -------------------------------------------------------------------------------

    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> AdditiveMatrix:
        """Prepare the owner's matrix; see ``matrices.private_matrix``."""
        return await matrices.private_matrix(self, owner, values, shape)

    async def private_linear(self, xs: Sequence[AdditiveMatrix], ws: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows] @ w`` for each; see ``matrices.multiply``."""
        return await matrices.multiply(self, xs, ws, rows, transposed=False)

    async def private_linear_t(self, xs: Sequence[AdditiveMatrix], rs: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows].T @ r`` for each; see ``matrices.multiply``."""
        return await matrices.multiply(self, xs, rs, rows, transposed=True)

    # --- bits ----------------------------------------------------------------------------------------------------

    async def msb(self, x: Share) -> BitShare:
        """The sign bit of every element, flat; see ``comparison.msb``."""
        return await comparison.msb(self, x)

    async def sigmoid(self, x: Linear, scale_bits: int) -> Share:
        """The logistic function; see ``sigmoid.sigmoid``."""
        return await logistic.sigmoid(self, x, scale_bits)
