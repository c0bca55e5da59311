"""The additive engine without a dealer: parties compute on what each knows of a shared number, its own summand.

Nothing is opened: each protocol is made of products of one party's numbers with another's, whose results are shared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive import live_sigmoid, many, two
from hansa.protocols.mpc.additive.correlations import TOP_BITS, sigmoid_bits
from hansa.protocols.mpc.additive.engine import Additive, input_masks
from hansa.protocols.mpc.additive.matrices import checked
from hansa.protocols.mpc.additive.pairs import Pair, together
from hansa.protocols.mpc.additive.pairwise import Pairwise, multiply_other, multiply_own
from hansa.protocols.mpc.kernels.ring import matvec, matvec_transposed
from hansa.protocols.mpc.masked import OFFSET, check_bits
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.session import Session
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Ring, Share


@dataclass(frozen=True, slots=True)
class PlainMatrix:
    """A private matrix, known to its owner only; ``place``: which of the job's."""

    owner: int
    shape: tuple[int, int]
    place: int
    values: Ring | None = field(repr=False)


class Direct(Additive):
    """The engine ``additive`` without a dealer; make it with ``await Direct.start(session, pairwise, frac_bits)``."""

    def __init__(
        self,
        session: Session,
        pairwise: Pairwise,
        frac_bits: int,
        masks: dict[int, tuple[Keystream, Keystream]],
    ) -> None:
        super().__init__(session, pairwise, frac_bits, masks)
        self.pairs = pairwise.pairs
        self._private = 0

    @classmethod
    async def start(cls, session: Session, pairwise: Pairwise, frac_bits: int) -> Direct:
        """Costs as ``input_masks``."""
        return cls(session, pairwise, frac_bits, await input_masks(session, frac_bits))

    @property
    def pair(self) -> Pair:
        """The one pair that two parties make."""
        return self.pairs[0]

    def _online(self, *, encryption: bool = True) -> None:
        """Count what pairs do from here on under the step under way."""
        for pair in self.pairs:
            pair.follow(self.session, encryption=encryption)

    # --- out -----------------------------------------------------------------------------------------------------

    async def open(self, *shares: Share, what: str) -> tuple[Ring, ...]:
        """Open to all, refreshed: what a party computed of its summand alone is not seen apart from the others'.

        Rounds and bytes: as the base's.
        """
        return await super().open(*map(self._refreshed, shares), what=what)

    async def open_to(self, to: int, *shares: Share, what: str) -> tuple[Ring, ...] | None:
        """Open to one party, refreshed as in ``open``."""
        return await super().open_to(to, *map(self._refreshed, shares), what=what)

    def _refreshed(self, share: Share) -> Share:
        """The share plus a fresh sharing of zero: words of each keystream that two parties have, added and taken off."""
        part = share.parts[0].copy()
        for own, theirs in self._masks.values():
            part += own.words(*share.shape) - theirs.words(*share.shape)
        return Share((part,))

    # --- bits ----------------------------------------------------------------------------------------------------

    async def truncate(self, x: Linear, bits: int) -> Share:
        """x / 2^bits for |x| < 2^62: floor or one more, exact for multiples of 2^bits.

        Rounds and bytes: as ``two.quotient`` of x + 2^62, which is below 2^63, or as ``many.quotient``.
        """
        check_bits(bits)
        own = x.parts[0].reshape(-1)
        if self.first:
            own = own + OFFSET
        self._online()
        divided = await (two if self.session.n_parties == 2 else many).quotient(self, own, bits)
        if self.first:
            divided = divided - np.uint64(1 << (62 - bits))
        return Share((divided.reshape(x.shape),))

    async def msb(self, x: Share) -> BitShare:
        """The sign bit of every element, flat, exactly; see ``two.top_bits`` and ``many.top_bits``."""
        return BitShare((await self._top_bits(x.parts[0].reshape(-1), TOP_BITS, (0,)),), x.size)

    async def signs(self, own: Ring, scale_bits: int, offsets: Sequence[int]) -> Ring:
        """The sign bits of the sum of all parties' ``own`` plus each offset, (offsets, words): see ``sigmoid_bits``."""
        return await self._top_bits(own, sigmoid_bits(scale_bits), offsets)

    async def _top_bits(self, own: Ring, below: int, offsets: Sequence[int]) -> Ring:
        self._online(encryption=False)
        if self.session.n_parties == 2:
            return await two.top_bits(self, own, below, offsets)
        return await many.top_bits(self, own, offsets)

    async def sigmoid(self, x: Linear, scale_bits: int) -> Share:
        """The logistic function; see ``live_sigmoid.sigmoid``."""
        self._online()
        return await live_sigmoid.sigmoid(self, x.parts[0].reshape(-1), scale_bits)

    async def mux(self, bits: BitShare, x: Share, y: Share) -> Share:
        """x where the bit is 1, else y, flat; costs as ``two.times_bit``, among more parties as ``b2a`` and ``mul``."""
        if self.session.n_parties > 2:
            return await super().mux(bits, x, y)
        self._online()
        return y.reshape(-1) + await two.times_bit(self, bits, (x - y).reshape(-1))

    # --- what stays with its owner -------------------------------------------------------------------------------

    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> PlainMatrix:
        """Note the owner's matrix; what of it is used is encrypted then, once. Rounds: 0."""
        plain = checked(values, shape) if self.rank == owner else None
        self._private += 1
        return PlainMatrix(owner, shape, self._private, plain)

    async def private_linear(self, x: PlainMatrix, w: Share, rows: slice) -> Product:
        """``x[rows] @ w``: the owner's summand of w locally, the others' by encryption; see ``rlwe.linear``.

        The same rows are encrypted once a job. Rounds: 1, and 1 the first time. Memory at each of the others: about 80
        bytes an entry, rows or columns rounded up to a power of two.
        """
        start, stop, _ = rows.indices(x.shape[0])
        own = None if x.values is None else x.values[start:stop]
        return await self._product(x, (x.place, start, stop, False), own, (stop - start, x.shape[1]), w)

    async def private_linear_t(self, x: PlainMatrix, r: Share, rows: slice) -> Product:
        """``x[rows].T @ r``; as ``private_linear``, the two are encrypted apart."""
        start, stop, _ = rows.indices(x.shape[0])
        own = None if x.values is None else x.values[start:stop].T
        return await self._product(x, (x.place, start, stop, True), own, (x.shape[1], stop - start), r)

    async def _product(
        self, x: PlainMatrix, name: object, own: Ring | None, shape: tuple[int, int], w: Share
    ) -> Product:
        if w.shape != shape[1:]:
            raise ProtocolError("a vector that does not fit the matrix", remedy="report this as a bug")
        cross = await self._cross(x.owner, name, own, shape, w)
        if own is None:
            return cross
        vector = np.ascontiguousarray(w.parts[0])
        if own.flags.c_contiguous:
            local = await self.run(own.size, matvec, own, vector)
        else:
            local = await self.run(own.size, matvec_transposed, np.ascontiguousarray(own.T), vector)
        return Product((cross.parts[0] + local,))

    async def _cross(self, owner: int, name: object, own: Ring | None, shape: tuple[int, int], w: Share) -> Product:
        """The owner's matrix times the others' summands of w."""
        self._online()
        if own is not None:
            calls: list[Awaitable[Ring]] = [multiply_own(pair, name, own) for pair in self.pairs]
        else:
            (pair,) = (pair for pair in self.pairs if pair.peer == owner)
            calls = [multiply_other(pair, name, shape, w.parts[0])]
        return Product((sum(await together(*calls), start=np.zeros(shape[0], dtype=np.uint64)),))
