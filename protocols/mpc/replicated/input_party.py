"""An institution that brings inputs and receives results, beside the three that compute: a shape-only engine.

Algorithms run at every institution alike. At an input party a share carries a shape and no numbers: its part is zeros,
which nobody is ever sent. Operations follow the shapes and send nothing. An input party takes part in inputs of its
own, in openings to it, and in the aggregation over its own bins.

An input party learns what is opened to it. The computing parties send it summands that a fresh sharing of zero masks,
so it learns their sum alone. What it puts in is shared among the three as any secret: any two of them together could
read it. That holds for its matrices too, which leave its house as shares (a computing party's do not leave).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc import hinted_aggregation as hints
from hansa.protocols.mpc.hinted_aggregation import OwnedBins
from hansa.protocols.mpc.masked_truncation import check_bits
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.private_mask import shared_mask
from hansa.protocols.mpc.replicated.engine import PARTIES
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shapes import check_factors, check_input, check_matrices, check_planes, check_width
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Share, words_of

KEYSTREAM: Final = b"/guest"
"""Ends the context of an input party's keystreams; all parties derive the same words from it."""
_STATE: Final = b"\x01guest"
"""Begins the stored state of a share at an input party."""


@dataclass(frozen=True, slots=True)
class MatrixShape:
    """What an input party holds of a matrix or bins that it does not multiply: the owner's rank, and the shape."""

    owner: int
    shape: tuple[int, int]
    n_bins: int = 0


async def check_computing(session: Session, computing: Sequence[int], frac_bits: int) -> tuple[int, ...]:
    """The other ranks of the session, the input parties; raises ``ProtocolError`` unless three of its parties compute.

    Rounds: 1. Bytes sent per party: 32 to each other.
    """
    if len(set(computing)) != PARTIES or not set(computing) < set(range(session.n_parties)):
        raise ProtocolError(
            f"{len(computing)} computing parties among {session.n_parties}",
            remedy="name three parties of the job in `computing`",
        )
    await session.check_public("computing parties", list(computing), frac_bits)
    return tuple(rank for rank in range(session.n_parties) if rank not in computing)


class InputPartyEngine:
    """The engine ``replicated`` at an input party; make it with ``await InputPartyEngine.start(...)``.

    ``session`` is that of all institutions. Every method sends nothing, but for those that say otherwise.
    """

    name = "replicated"
    first = False
    """An input party never adds the public constants."""

    def __init__(
        self, session: Session, computing: Sequence[int], streams: Sequence[Keystream], frac_bits: int
    ) -> None:
        self.session = session
        self.frac_bits = frac_bits
        self.rank = session.rank
        self._computing = tuple(computing)
        self._streams = tuple(streams)
        """A keystream with each computing party but the last."""

    @classmethod
    async def start(cls, session: Session, computing: Sequence[int], frac_bits: int) -> InputPartyEngine:
        """Send the first two computing parties the key of a keystream each.

        Rounds: 1, and that of ``check_computing``. Bytes sent: 64.
        """
        await check_computing(session, computing, frac_bits)
        secrets = {rank: os.urandom(32) for rank in computing[:-1]}
        await session.exchange(
            {rank: [np.frombuffer(secret, dtype=np.uint8)] for rank, secret in secrets.items()}, {}, dtype=np.uint8
        )
        streams = [Keystream(secret, session.context + KEYSTREAM) for secret in secrets.values()]
        return cls(session, computing, streams, frac_bits)

    # --- in and out ----------------------------------------------------------------------------------------------

    async def input(self, owner: int, values: Ring | None, shape: tuple[int, ...]) -> Share:
        """Share the owner's array: the owner draws a summand with each of the first two, and sends the third the rest.

        Rounds: 1. Bytes sent: 8·size by the owner.
        """
        if owner == self.rank:
            rest = check_input(values, shape).copy()
            for stream in self._streams:
                rest -= stream.words(*shape)
            await self.session.exchange({self._computing[-1]: [rest]}, {})
        return _share(shape)

    def public(self, values: Ring) -> Share:
        """A public array as a share."""
        return _share(values.shape)

    def add_public(self, x: Share, values: Ring | int) -> Share:
        """x plus a public value."""
        return x

    def random(self, shape: tuple[int, ...]) -> Share:
        """Uniform ring elements that no party knows."""
        return _share(shape)

    async def open(self, *shares: Share, what: str) -> tuple[Ring, ...]:
        """Open to all institutions: each computing party sends its masked summand. Rounds: 1."""
        self.session.declare_opening(what, tuple(range(self.session.n_parties)), sum(share.size for share in shares))
        return await self._receive(shares)

    async def open_to(self, to: int, *shares: Share, what: str) -> tuple[Ring, ...] | None:
        """Open to one institution; None at the others. Rounds: 1."""
        self.session.declare_opening(what, (to,), sum(share.size for share in shares))
        if to == self.rank:
            return await self._receive(shares)
        await self.session.exchange({}, {})
        return None

    async def _receive(self, shares: Sequence[Share]) -> tuple[Ring, ...]:
        got = await self.session.exchange({}, dict.fromkeys(self._computing, [share.shape for share in shares]))
        return sums_of(list(got.values()))

    # --- products ------------------------------------------------------------------------------------------------

    async def mul(self, x: Share, y: Share) -> Product:
        """Elementwise product of equal shapes."""
        check_factors(x, y)
        return _product(x.shape)

    async def matmul(self, x: Share, y: Share) -> Product:
        """``x @ y`` of shared matrices."""
        check_matrices(x, y)
        return _product((x.shape[0], y.shape[1]))

    def as_product(self, x: Linear) -> Product:
        """A share as a Product."""
        return _product(x.shape)

    async def reshare(self, product: Product) -> Share:
        """A product as a share."""
        return _share(product.shape)

    async def truncate(self, x: Linear, bits: int) -> Share:
        """x / 2^bits."""
        check_bits(bits)
        return _share(x.shape)

    # --- what stays with its owner -------------------------------------------------------------------------------

    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> MatrixShape:
        """Prepare the owner's matrix, once a job: an input party's is shared among the computing parties (``input``)."""
        if owner not in self._computing:
            await self.input(owner, values, shape)
        return MatrixShape(owner, shape)

    async def private_linear(self, xs: Sequence[MatrixShape], ws: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows] @ w`` for each."""
        return [_product((len(range(*rows.indices(x.shape[0]))),)) for x in xs]

    async def private_linear_t(self, xs: Sequence[MatrixShape], rs: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows].T @ r`` for each."""
        return [_product((x.shape[1],)) for x in xs]

    async def private_bins(
        self, owner: int, bins: NDArray[np.uint8] | None, shape: tuple[int, int], n_bins: int
    ) -> OwnedBins | MatrixShape:
        """Prepare the owner's bins, once a job; see ``hints.private_bins``. The hint of its own is shared, the bins are not."""
        if owner in self._computing:
            return MatrixShape(owner, shape, n_bins)
        return await hints.private_bins(self, owner, bins, shape, n_bins)

    async def select_sum(self, xs: Sequence[OwnedBins | MatrixShape], v: Share, bits: int) -> list[Share]:
        """Per-bin sums; see ``hints.select_sum``. An input party puts in what it counted over bins of its own."""
        if outside := [x for x in xs if isinstance(x, OwnedBins)]:
            await hints.select_sum(self, outside, v, bits)
        return [_share((v.shape[0], x.shape[1], x.n_bins)) for x in xs]

    async def private_mask(self, owners: Sequence[int], bits: NDArray[np.uint8], x: Share) -> Share:
        """An owner's bits times shared vectors; see ``private_mask.shared_mask``."""
        return await shared_mask(self, owners, bits, x)

    def senders(self, owner: int) -> tuple[int, ...]:
        """The computing parties encrypt for an input party."""
        return self._computing

    def part_of_owner(self, v: Share) -> Ring:
        """An input party has nothing of v: zeros."""
        return np.zeros(v.shape, dtype=np.uint64)

    def encrypted_part(self, owner: int, v: Share) -> tuple[Ring, Keystream] | None:
        """An input party encrypts nothing."""
        return None

    async def share_of_secrets(self, owner: int, secrets: Ring) -> Share:
        """The sum of the computing parties' secrets."""
        return _share(secrets.shape)

    async def product_from_owner(self, owner: int, values: Ring) -> Product:
        """The owner's values, put in as its input. Costs as ``input``."""
        return self.as_product(await self.input(owner, values, values.shape))

    # --- bits ----------------------------------------------------------------------------------------------------

    async def msb(self, x: Share) -> BitShare:
        """The sign bit of every element, flat."""
        return _bits(x.size)

    async def less(self, x: Share, y: Share) -> BitShare:
        """x < y elementwise, flat."""
        return _bits(x.size)

    def public_bits(self, words: Ring, length: int) -> BitShare:
        """Public bits as a BitShare."""
        return _bits(length, words.shape[0])

    async def and_bits(self, x: BitShare, y: BitShare) -> BitShare:
        """AND, plane by plane."""
        check_planes(x, y)
        return _bits(x.length, x.planes)

    async def a2b(self, x: Share, bits: int) -> BitShare:
        """The lowest bits of every element, flat."""
        check_width(bits)
        return _bits(x.size, bits)

    async def b2a(self, bits: BitShare) -> Share:
        """Bits as ring elements 0 and 1, flat."""
        return _share((bits.length,))

    async def mux(self, bits: BitShare, x: Share, y: Share) -> Share:
        """x where the bit is 1, else y, flat."""
        return _share((x.size,))

    async def sigmoid(self, x: Linear, scale_bits: int) -> Share:
        """The logistic function, flat."""
        return _share((x.size,))

    # --- states --------------------------------------------------------------------------------------------------

    def share_state(self, share: Share) -> bytes:
        """The length of a one-dimensional share."""
        return _STATE + share.size.to_bytes(8, "little")

    def share_from_state(self, state: bytes) -> Share:
        """The share again; raises ``ProtocolError`` for another version's, another role's, or a truncated state."""
        size = int.from_bytes(state[len(_STATE) :], "little")
        if state[: len(_STATE)] != _STATE or len(state) != len(_STATE) + 8 or size > 1 << 32:
            raise ProtocolError("a saved share is not of this party and version", remedy="train the model anew")
        return _share((size,))


def sums_of(summands: Sequence[Sequence[Ring]]) -> tuple[Ring, ...]:
    """The sums of the computing parties' summands, one list a party."""
    return tuple(np.add.reduce(parts) for parts in zip(*summands, strict=True))  # no warning where a scalar wraps


def _share(shape: tuple[int, ...]) -> Share:
    return Share((np.zeros(shape, dtype=np.uint64),))


def _product(shape: tuple[int, ...]) -> Product:
    return Product((np.zeros(shape, dtype=np.uint64),))


def _bits(length: int, planes: int = 1) -> BitShare:
    return BitShare((np.zeros((planes, words_of(length)), dtype=np.uint64),), length)
