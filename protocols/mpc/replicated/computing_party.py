"""One of the three computing parties where further institutions bring inputs and receive results.

What concerns the three alone is their ``ReplicatedEngine``'s. Here is what input parties take part in: inputs, openings, and
matrices and bins that an input party owns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc import hinted_aggregation as hints
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.hinted_aggregation import OwnedBins
from hansa.protocols.mpc.kernels.ring import matvec, matvec_transposed
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.private_mask import shared_mask
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine, ReplicatedMatrix
from hansa.protocols.mpc.replicated.input_party import KEYSTREAM, check_computing, sums_of
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shares import Product, Share


@dataclass(frozen=True, slots=True)
class SharedMatrix:
    """An input party's matrix, shared among the three."""

    owner: int
    shape: tuple[int, int]
    share: Share = field(repr=False)


@dataclass(frozen=True, slots=True)
class ComputingPartyBins:
    """A computing party's bins: ``owner`` is its rank among all institutions, ``bins`` has that among the three."""

    owner: int
    shape: tuple[int, int]
    bins: OwnedBins = field(repr=False)


class ComputingPartyEngine:
    """The engine ``replicated`` at a computing party; make it with ``await ComputingPartyEngine.start(...)``.

    ``session`` is that of all institutions. Costs are those of ``ReplicatedEngine``, but for the methods that say otherwise.
    """

    name = "replicated"

    def __init__(
        self,
        session: Session,
        computing: Sequence[int],
        three: ReplicatedEngine,
        streams: dict[int, Keystream],
    ) -> None:
        self.session = session
        self.frac_bits = three.frac_bits
        self.rank = session.rank
        self.first = three.first
        self._computing = tuple(computing)
        self._three = three
        self._streams = streams
        """A keystream with each input party; the last computing party has none."""
        # These concern the three alone.
        self.public, self.add_public, self.random = three.public, three.add_public, three.random
        self.mul, self.matmul, self.as_product = three.mul, three.matmul, three.as_product
        self.reshare, self.truncate = three.reshare, three.truncate
        self.msb, self.less, self.sigmoid = three.msb, three.less, three.sigmoid
        self.public_bits, self.and_bits, self.mux = three.public_bits, three.and_bits, three.mux
        self.a2b, self.b2a = three.a2b, three.b2a
        self.share_state, self.share_from_state = three.share_state, three.share_from_state

    @classmethod
    async def start(cls, session: Session, computing: Sequence[int], frac_bits: int) -> ComputingPartyEngine:
        """Receive the keys of the keystreams with input parties, and start the engine of the three.

        Rounds: 1 (none at the last computing party), that of ``check_computing``, and those of ``ReplicatedEngine.start``.
        """
        input_parties = await check_computing(session, computing, frac_bits)
        streams: dict[int, Keystream] = {}
        if session.rank != computing[-1]:
            got = await session.exchange({}, dict.fromkeys(input_parties, [32]), dtype=np.uint8)
            streams = {rank: Keystream(key.tobytes(), session.context + KEYSTREAM) for rank, (key,) in got.items()}
        return cls(session, computing, await ReplicatedEngine.start(session.subgroup(computing), frac_bits), streams)

    # --- in and out ----------------------------------------------------------------------------------------------

    async def input(self, owner: int, values: Ring | None, shape: tuple[int, ...]) -> Share:
        """Share the owner's array. Of an input party's, the first two draw summands with it, and the third is sent the rest;
        the three reshare.

        Rounds: 2 for an input party's. Bytes sent: 8·size by it, 8·size by each computing party.
        """
        if owner in self._computing:
            return await self._three.input(self._computing.index(owner), values, shape)
        if self.rank == self._computing[-1]:
            summand = (await self.session.exchange({}, {owner: [shape]}))[owner][0]
        else:
            summand = self._streams[owner].words(*shape)
        return await self.reshare(Product((summand,)))

    async def open(self, *shares: Share, what: str) -> tuple[Ring, ...]:
        """Open to all institutions: each computing party sends its masked summand to all others.

        Rounds: 1. Bytes sent: 8·(total size)·(n_parties - 1).
        """
        mine = self._declared(tuple(range(self.session.n_parties)), shares, what)
        return await self._merged(mine, self.session.peers)

    async def open_to(self, to: int, *shares: Share, what: str) -> tuple[Ring, ...] | None:
        """Open to one institution; None at the others.

        Rounds: 1. Bytes sent: 8·(total size) by each computing party but ``to``.
        """
        mine = self._declared((to,), shares, what)
        if to == self.rank:
            return await self._merged(mine, ())
        await self.session.exchange({to: mine}, {})
        return None

    def _declared(self, to: tuple[int, ...], shares: Sequence[Share], what: str) -> list[Ring]:
        """This party's summands of what is opened, each masked by its part of a fresh sharing of zero."""
        self.session.declare_opening(what, to, sum(share.size for share in shares))
        return [self.as_product(share).parts[0] + self._three.zero_mask(*share.shape) for share in shares]

    async def _merged(self, mine: list[Ring], to: Sequence[int]) -> tuple[Ring, ...]:
        """Send these summands, and add them to the other two computing parties'."""
        others = [rank for rank in self._computing if rank != self.rank]
        got = await self.session.exchange(
            dict.fromkeys(to, mine), dict.fromkeys(others, [summand.shape for summand in mine])
        )
        return sums_of([*got.values(), mine])

    # --- what stays with its owner -------------------------------------------------------------------------------

    async def private_matrix(
        self, owner: int, values: Ring | None, shape: tuple[int, int]
    ) -> ReplicatedMatrix | SharedMatrix:
        """Prepare the owner's matrix, once a job; an input party's is shared among the three (``input``)."""
        if owner in self._computing:
            return await self._three.private_matrix(self._computing.index(owner), values, shape)
        return SharedMatrix(owner, shape, await self.input(owner, values, shape))

    async def private_linear(
        self, xs: Sequence[ReplicatedMatrix | SharedMatrix], ws: Sequence[Share], rows: slice
    ) -> list[Product]:
        """``x[rows] @ w`` for each. Local."""
        return [
            await _product(matvec, x.share[rows], w)
            if isinstance(x, SharedMatrix)
            else (await self._three.private_linear([x], [w], rows))[0]
            for x, w in zip(xs, ws, strict=True)
        ]

    async def private_linear_t(
        self, xs: Sequence[ReplicatedMatrix | SharedMatrix], rs: Sequence[Share], rows: slice
    ) -> list[Product]:
        """``x[rows].T @ r`` for each. Local."""
        return [
            await _product(matvec_transposed, x.share[rows], r)
            if isinstance(x, SharedMatrix)
            else (await self._three.private_linear_t([x], [r], rows))[0]
            for x, r in zip(xs, rs, strict=True)
        ]

    async def private_bins(
        self, owner: int, bins: NDArray[np.uint8] | None, shape: tuple[int, int], n_bins: int
    ) -> OwnedBins | ComputingPartyBins:
        """Prepare the owner's bins, once a job; see ``hints.private_bins``. An input party's hint is shared, its bins are not."""
        if owner not in self._computing:
            return await hints.private_bins(self, owner, bins, shape, n_bins)
        held = await self._three.private_bins(self._computing.index(owner), bins, shape, n_bins)
        return ComputingPartyBins(owner, shape, held)

    async def select_sum(self, xs: Sequence[OwnedBins | ComputingPartyBins], v: Share, bits: int) -> list[Share]:
        """Per-bin sums; see ``hints.select_sum``, first over computing parties' bins, then over input parties'.

        For an input party's bins each of the three encrypts a summand, the input party puts in what it counted (2 rounds
        more), and the sum of the secrets is reshared (1 more).
        """
        inside = [x.bins for x in xs if isinstance(x, ComputingPartyBins)]
        outside = [x for x in xs if isinstance(x, OwnedBins)]
        of_computing = iter(await self._three.select_sum(inside, v, bits) if inside else ())
        of_input = iter(await hints.select_sum(self, outside, v, bits) if outside else ())
        return [next(of_input if isinstance(x, OwnedBins) else of_computing) for x in xs]

    async def private_mask(self, owners: Sequence[int], bits: NDArray[np.uint8], x: Share) -> Share:
        """An owner's bits times shared vectors; see ``private_mask.shared_mask``."""
        return await shared_mask(self, owners, bits, x)

    def senders(self, owner: int) -> tuple[int, ...]:
        """The computing parties encrypt for an input party."""
        return self._computing

    def part_of_owner(self, v: Share) -> Ring:
        """An owner of such bins, an input party, has nothing of v: zeros."""
        return np.zeros(v.shape, dtype=np.uint64)

    def encrypted_part(self, owner: int, v: Share) -> tuple[Ring, Keystream] | None:
        """A summand of v that no other computing party encrypts, and coins of this party's own."""
        return v.parts[0], Keystream(os.urandom(32), b"hinted aggregation")

    async def share_of_secrets(self, owner: int, secrets: Ring) -> Share:
        """The sum of the computing parties' secrets, reshared. Rounds: 1."""
        return await self.reshare(Product((secrets,)))

    async def product_from_owner(self, owner: int, values: Ring) -> Product:
        """The owner's values, put in as its input. Costs as ``input``."""
        return self.as_product(await self.input(owner, None, values.shape))


async def _product(kernel: Callable[[Ring, Ring], Ring], x: Share, v: Share) -> Product:
    """This party's summand of a shared matrix times a shared vector: x0·(v0 + v1) + x1·v0."""
    x0, x1, v0, v1 = (np.ascontiguousarray(part) for part in (*x.parts, *v.parts))
    return Product((await offload(x0.size, kernel, x0, v0 + v1) + await offload(x1.size, kernel, x1, v0),))
