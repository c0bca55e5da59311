"""The additive engine without a dealer: parties compute on what each knows of a shared number, its own summand.

Nothing is opened: each protocol is made of products of one party's numbers with another's, whose results are shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive.correlations import TOP_BITS, sigmoid_bits
from hansa.protocols.mpc.additive.dealerless import multi_party, two_party
from hansa.protocols.mpc.additive.dealerless import sigmoid as logistic
from hansa.protocols.mpc.additive.dealerless.correlations import PairwiseCorrelations, multiply_other, multiply_own
from hansa.protocols.mpc.additive.dealerless.pairs import Pair
from hansa.protocols.mpc.additive.engine import AdditiveEngine, input_masks
from hansa.protocols.mpc.concurrency import gather, offload
from hansa.protocols.mpc.kernels.bits import slice_bits
from hansa.protocols.mpc.kernels.ring import matvec, matvec_transposed
from hansa.protocols.mpc.masked_truncation import OFFSET, check_bits
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.private_mask import checked_bits
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shapes import check_input
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Share


@dataclass(frozen=True, slots=True)
class PlainMatrix:
    """A private matrix, known to its owner only; ``place``: which of the job's."""

    owner: int
    shape: tuple[int, int]
    place: int
    values: Ring | None = field(repr=False)


class DealerlessEngine(AdditiveEngine):
    """The engine ``additive`` without a dealer; make it with ``await DealerlessEngine.start(session, pairwise, frac_bits)``."""

    def __init__(
        self,
        session: Session,
        pairwise: PairwiseCorrelations,
        frac_bits: int,
        masks: dict[int, tuple[Keystream, Keystream]],
    ) -> None:
        super().__init__(session, pairwise, frac_bits, masks)
        self.pairs = pairwise.pairs
        self._private = 0

    @classmethod
    async def start(cls, session: Session, pairwise: PairwiseCorrelations, frac_bits: int) -> DealerlessEngine:
        """Costs as ``input_masks``."""
        return cls(session, pairwise, frac_bits, await input_masks(session, frac_bits))

    @property
    def pair(self) -> Pair:
        """The one pair that two parties make."""
        return self.pairs[0]

    def _online(self, *, encryption: bool = True) -> None:
        """Count what pairs do from here on under the step under way."""
        for pair in self.pairs:
            pair.adopt_step(self.session, encryption=encryption)

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

        Rounds and bytes: as ``two_party.quotient`` of x + 2^62, which is below 2^63, or as ``multi_party.quotient``.
        """
        check_bits(bits)
        own = x.parts[0].reshape(-1)
        if self.first:
            own = own + OFFSET
        self._online()
        divided = await (two_party if self.session.n_parties == 2 else multi_party).quotient(self, own, bits)
        if self.first:
            divided = divided - np.uint64(1 << (62 - bits))
        return Share((divided.reshape(x.shape),))

    async def msb(self, x: Share) -> BitShare:
        """The sign bit of every element, flat, exactly; see ``two_party.top_bits`` and ``multi_party.top_bits``."""
        return BitShare((await self._top_bits(x.parts[0].reshape(-1), TOP_BITS, (0,)),), x.size)

    async def signs(self, own: Ring, scale_bits: int, offsets: Sequence[int]) -> Ring:
        """The sign bits of the sum of all parties' ``own`` plus each offset, (offsets, words): see ``sigmoid_bits``."""
        return await self._top_bits(own, sigmoid_bits(scale_bits), offsets)

    async def _top_bits(self, own: Ring, below: int, offsets: Sequence[int]) -> Ring:
        self._online(encryption=False)
        if self.session.n_parties == 2:
            return await two_party.top_bits(self, own, below, offsets)
        return await multi_party.top_bits(self, own, offsets)

    async def sigmoid(self, x: Linear, scale_bits: int) -> Share:
        """The logistic function; see ``sigmoid.sigmoid``."""
        self._online()
        return await logistic.sigmoid(self, x.parts[0].reshape(-1), scale_bits)

    async def mux(self, bits: BitShare, x: Share, y: Share) -> Share:
        """x where the bit is 1, else y, flat; costs as ``two_party.times_bit``, among more parties as ``b2a`` and ``mul``."""
        if self.session.n_parties > 2:
            return await super().mux(bits, x, y)
        self._online()
        return y.reshape(-1) + await two_party.times_bit(self, bits, (x - y).reshape(-1))

    async def private_mask(self, owners: Sequence[int], bits: NDArray[np.uint8], x: Share) -> Share:
        """An owner's bits times shared vectors: its own summand locally, each other's by a correlated transfer an element.

        Rounds: 2. Bytes sent: as ``OtReceiver.correlated`` by the owner, to each other; as ``OtSender.correlated`` by these.
        """
        checked_bits(owners, bits, x, self.rank)
        self._online(encryption=False)
        number = x.parts[0]
        out = np.zeros_like(number)

        async def choose(pair: Pair, own: NDArray[np.bool_]) -> None:
            wide = np.broadcast_to(bits[own][:, None, :], number[own].shape)
            packed = slice_bits(wide.astype(np.uint64).reshape(-1), 0, 1)[0]
            got = await pair.chooses.correlated(packed, wide.size)
            out[own] += got.reshape(wide.shape)

        async def offer(pair: Pair, theirs: NDArray[np.bool_]) -> None:
            offered = np.ascontiguousarray(number[theirs]).reshape(-1)
            got = await pair.sends.correlated(offered)
            out[theirs] += got.reshape(number[theirs].shape)

        mine = np.array([owner == self.rank for owner in owners], dtype=bool)
        out[mine] = bits[mine][:, None, :].astype(np.uint64) * number[mine]
        calls = [choose(pair, mine) for pair in self.pairs if mine.any()]
        for pair in self.pairs:
            theirs = np.array([owner == pair.peer for owner in owners], dtype=bool)
            if theirs.any():
                calls.append(offer(pair, theirs))
        await gather(*calls)
        return Share((out,))

    # --- what stays with its owner -------------------------------------------------------------------------------

    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> PlainMatrix:
        """Note the owner's matrix; what of it is used is encrypted then, once. Rounds: 0."""
        plain = check_input(values, shape) if self.rank == owner else None
        self._private += 1
        return PlainMatrix(owner, shape, self._private, plain)

    async def private_linear(self, xs: Sequence[PlainMatrix], ws: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows] @ w`` for each: the owner's summand of w locally, the others' by encryption; see ``rlwe.linear``.

        The same rows are encrypted once a job. Rounds: 1, and 1 the first time; an owner's matrices one after the
        other, nobody waiting. Memory at each of the others: about 80 bytes an entry, rows or columns rounded up to a
        power of two.
        """
        return await self._products([_factor(x, rows, transposed=False) for x in xs], ws)

    async def private_linear_t(self, xs: Sequence[PlainMatrix], rs: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows].T @ r`` for each; as ``private_linear``, the two are encrypted apart."""
        return await self._products([_factor(x, rows, transposed=True) for x in xs], rs)

    async def _products(self, factors: Sequence[_Factor], ws: Sequence[Share]) -> list[Product]:
        out = []
        for x, w in zip(factors, ws, strict=True):
            if w.shape != x.shape[1:]:
                raise ProtocolError("a vector that does not fit the matrix", remedy="report this as a bug")
            out.append(np.zeros(x.shape[0], dtype=np.uint64))
        self._online()

        async def own(pair: Pair) -> None:
            for x, total in zip(factors, out, strict=True):
                if x.values is not None:
                    np.add(total, await multiply_own(pair, x.name, x.values), out=total)

        async def other(pair: Pair) -> None:
            for x, w, total in zip(factors, ws, out, strict=True):
                if x.owner == pair.peer:
                    np.add(total, await multiply_other(pair, x.name, x.shape, w.parts[0]), out=total)

        async def local() -> None:
            for x, w, total in zip(factors, ws, out, strict=True):
                if x.values is not None:
                    np.add(total, await self._local(x.values, np.ascontiguousarray(w.parts[0])), out=total)

        await gather(local(), *map(own, self.pairs), *map(other, self.pairs))
        return [Product((total,)) for total in out]

    async def _local(self, matrix: Ring, vector: Ring) -> Ring:
        if matrix.flags.c_contiguous:
            return await offload(matrix.size, matvec, matrix, vector)
        return await offload(matrix.size, matvec_transposed, np.ascontiguousarray(matrix.T), vector)


@dataclass(frozen=True, slots=True)
class _Factor:
    """A matrix as it is multiplied: some rows, or their transpose; ``name`` is the same at both ends of a pair."""

    owner: int
    name: object
    shape: tuple[int, int]
    values: Ring | None = field(repr=False)


def _factor(x: PlainMatrix, rows: slice, *, transposed: bool) -> _Factor:
    start, stop, _ = rows.indices(x.shape[0])
    shape = (x.shape[1], stop - start) if transposed else (stop - start, x.shape[1])
    values = None if x.values is None else x.values[start:stop]
    if values is not None and transposed:
        values = values.T
    return _Factor(x.owner, (x.place, start, stop, transposed), shape, values)
