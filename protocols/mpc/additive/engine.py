"""Additive secret sharing among N >= 2 parties, semi-honest, any N - 1 of whom may pool what they saw.

x = x_0 + ... + x_{N-1} mod 2^64, x_i at party i; bits likewise by XOR. A Product is the same thing. Secrets are opened
only under masks from ``Correlations``, or by ``open``. A public constant is added by party 0.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc import hinted_aggregation as hints
from hansa.protocols.mpc.additive import bits as binary
from hansa.protocols.mpc.additive import comparison, products
from hansa.protocols.mpc.additive.correlations import Correlations
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.hinted_aggregation import OwnedBins
from hansa.protocols.mpc.kernels.additive import beaver
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.private_mask import shared_mask
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shapes import check_factors, check_input
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Share

_STATE_VERSION: Final = 1


class AdditiveEngine(ABC):
    """What both engines ``additive`` have in common.

    ``DealerEngine`` opens under masks that a dealer dealt; ``DealerlessEngine`` needs no dealer.
    All parties of the session compute; a dealer is not among them (``Session.subgroup``).
    """

    name = "additive"

    def __init__(
        self,
        session: Session,
        correlations: Correlations,
        frac_bits: int,
        masks: dict[int, tuple[Keystream, Keystream]],
    ) -> None:
        self.session = session
        self.correlations = correlations
        self.frac_bits = frac_bits
        self.rank = session.rank
        self.first = session.rank == 0
        """Whether this party adds the public constants."""
        self._masks = masks
        self._random = Keystream(os.urandom(32), session.context + b"/random")

    # --- in and out ----------------------------------------------------------------------------------------------

    async def input(self, owner: int, values: Ring | None, shape: tuple[int, ...]) -> Share:
        """Share the owner's array: every other party's part is drawn by it and the owner, the owner has the rest.

        Rounds: 0. Bytes sent: none.
        """
        if self.rank != owner:
            return Share((self._masks[owner][1].words(*shape),))
        rest = check_input(values, shape).copy()
        for own, _ in self._masks.values():
            rest -= own.words(*shape)
        return Share((rest,))

    def public(self, values: Ring) -> Share:
        """A public array as a share: the value at party 0, zero at the others. Local."""
        return Share((values if self.first else np.zeros_like(values),))

    def add_public(self, x: Share, values: Ring | int) -> Share:
        """x plus a public value. Local."""
        if not self.first:
            return x
        value = np.uint64(values % (1 << 64)) if isinstance(values, int) else values
        return Share((x.parts[0] + np.broadcast_to(value, x.shape),))

    def random(self, shape: tuple[int, ...]) -> Share:
        """Uniform ring elements that no party knows: each draws a part. Local."""
        return Share((self._random.words(*shape),))

    async def open(self, *shares: Share, what: str) -> tuple[Ring, ...]:
        """Open to all: every party sends its part to every other.

        Rounds: 1. Bytes sent per party: 8·(total size)·(n_parties - 1).
        """
        everyone = tuple(range(self.session.n_parties))
        self.session.declare_opening(what, everyone, sum(share.size for share in shares))
        return tuple(await self.sums(*(share.parts[0] for share in shares)))

    async def open_to(self, to: int, *shares: Share, what: str) -> tuple[Ring, ...] | None:
        """Open to one party; None at the others.

        Rounds: 1. Bytes sent: 8·(total size) by every party but ``to``.
        """
        self.session.declare_opening(what, (to,), sum(share.size for share in shares))
        parts = [share.parts[0] for share in shares]
        if self.rank != to:
            await self.session.exchange({to: parts}, {})
            return None
        shapes = [share.shape for share in shares]
        received = await self.session.exchange({}, dict.fromkeys(self.session.peers, shapes))
        return tuple(sum((theirs[k] for theirs in received.values()), start=part) for k, part in enumerate(parts))

    async def sums(self, *parts: Ring) -> list[Ring]:
        """What masked summands add up to, at every party: the way protocols open what a mask hides.

        Rounds: 1. Bytes sent per party: 8·(total size)·(n_parties - 1).
        """
        return await self._merged([np.add] * len(parts), parts)

    async def xors(self, *parts: Ring) -> list[Ring]:
        """The same for bits. Rounds: 1. Bytes sent per party: 8·(words)·(n_parties - 1)."""
        return await self._merged([np.bitwise_xor] * len(parts), parts)

    async def sum_and_xor(self, ring: Ring, bits: Ring) -> tuple[Ring, Ring]:
        """One of each in one round."""
        total, parity = await self._merged([np.add, np.bitwise_xor], (ring, bits))
        return total, parity

    async def _merged(self, operations: Sequence[np.ufunc], parts: Sequence[Ring]) -> list[Ring]:
        peers = self.session.peers
        received = await self.session.exchange(
            dict.fromkeys(peers, parts), dict.fromkeys(peers, [part.shape for part in parts])
        )
        merged = [part.copy() for part in parts]
        for theirs in received.values():
            for operation, total, part in zip(operations, merged, theirs, strict=True):
                operation(total, part, out=total)
        return merged

    # --- products ------------------------------------------------------------------------------------------------

    async def mul(self, x: Share, y: Share) -> Product:
        """Elementwise product of equal shapes (Beaver, CRYPTO'91): open x - a and y - b under a triple (a, b, a·b).

        Rounds: 1. Bytes sent per party: 16·size·(n_parties - 1). Preprocessing: a triple each.
        """
        check_factors(x, y)
        a, b, c = await self.correlations.triples(x.size)
        d, f = await self.sums(x.parts[0].reshape(-1) - a, y.parts[0].reshape(-1) - b)
        return Product(((await offload(x.size, beaver, d, f, a, b, c, self.first)).reshape(x.shape),))

    async def matmul(self, x: Share, y: Share) -> Product:
        """``x @ y`` of shared matrices; see ``products.matmul``."""
        return await products.matmul(self, x, y)

    def as_product(self, x: Linear) -> Product:
        """A share as a Product; local, here they are the same."""
        return Product(x.parts)

    async def reshare(self, product: Product) -> Share:
        """A product as a share; local, here they are the same."""
        return Share(product.parts)

    @abstractmethod
    async def truncate(self, x: Linear, bits: int) -> Share:
        """x / 2^bits for |x| < 2^62."""

    # --- what stays with its owner -------------------------------------------------------------------------------

    @abstractmethod
    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> Any:
        """Prepare the owner's matrix."""

    @abstractmethod
    async def private_linear(self, xs: Sequence[Any], ws: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows] @ w`` for each."""

    @abstractmethod
    async def private_linear_t(self, xs: Sequence[Any], rs: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows].T @ r`` for each."""

    async def private_bins(
        self, owner: int, bins: NDArray[np.uint8] | None, shape: tuple[int, int], n_bins: int
    ) -> OwnedBins:
        """Prepare the owner's bins; see ``hints.private_bins``."""
        return await hints.private_bins(self, owner, bins, shape, n_bins)

    async def select_sum(self, xs: Sequence[OwnedBins], v: Share, bits: int) -> list[Share]:
        """Per-bin sums; see ``hints.select_sum``."""
        return await hints.select_sum(self, xs, v, bits)

    async def private_mask(self, owners: Sequence[int], bits: NDArray[np.uint8], x: Share) -> Share:
        """An owner's bits times shared vectors; see ``private_mask.shared_mask``."""
        return await shared_mask(self, owners, bits, x)

    def senders(self, owner: int) -> tuple[int, ...]:
        """Every party encrypts its own summand for an owner."""
        return tuple(rank for rank in range(self.session.n_parties) if rank != owner)

    def part_of_owner(self, v: Share) -> Ring:
        """An owner's summand of v."""
        return v.parts[0]

    def encrypted_part(self, owner: int, v: Share) -> tuple[Ring, Keystream] | None:
        """This party's summand, and coins of its own."""
        return v.parts[0], Keystream(os.urandom(32), b"hinted aggregation")

    async def share_of_secrets(self, owner: int, secrets: Ring) -> Share:
        """The sum of the secrets of each party but the owner. Local."""
        return Share((np.zeros_like(secrets) if self.rank == owner else secrets,))

    async def product_from_owner(self, owner: int, values: Ring) -> Product:
        """The owner's values are its summand. Local."""
        return Product((values,))

    # --- bits ----------------------------------------------------------------------------------------------------

    @abstractmethod
    async def msb(self, x: Share) -> BitShare:
        """The sign bit of every element, flat."""

    async def less(self, x: Share, y: Share) -> BitShare:
        """x < y elementwise, flat, for |x - y| < 2^63: the sign of the difference; costs as ``msb``."""
        return await self.msb(x - y)

    def public_bits(self, words: Ring, length: int) -> BitShare:
        """Public bits, (planes, words), as a BitShare: at party 0. Local."""
        return BitShare((words if self.first else np.zeros_like(words),), length)

    async def and_bits(self, x: BitShare, y: BitShare) -> BitShare:
        """AND, plane by plane; see ``bits.and_bits``."""
        return await binary.and_bits(self, x, y)

    async def a2b(self, x: Share, bits: int) -> BitShare:
        """The lowest bits of every element, flat; see ``bits.a2b``."""
        return await binary.a2b(self, x, bits)

    async def b2a(self, bits: BitShare) -> Share:
        """Bits as ring elements 0 and 1, flat; see ``comparison.b2a``."""
        return await comparison.b2a(self, bits)

    async def mux(self, bits: BitShare, x: Share, y: Share) -> Share:
        """x where the bit is 1, else y, flat.

        Rounds: 2. Bytes sent: as ``b2a`` and ``mul``.
        """
        chosen = await comparison.b2a(self, bits)
        return y.reshape(-1) + await self.reshare(await self.mul(chosen, (x - y).reshape(-1)))

    @abstractmethod
    async def sigmoid(self, x: Linear, scale_bits: int) -> Share:
        """The logistic function of fixed point with ``scale_bits`` fraction bits, into ``frac_bits``, flat."""

    # --- states --------------------------------------------------------------------------------------------------

    def share_state(self, share: Share) -> bytes:
        """This party's part of a one-dimensional share, with version, rank and number of parties in front."""
        return bytes([_STATE_VERSION, self.rank, self.session.n_parties]) + share.parts[0].tobytes()

    def share_from_state(self, state: bytes) -> Share:
        """The share again; raises ``ProtocolError`` for another version, another rank's, or a truncated state."""
        if state[:3] != bytes([_STATE_VERSION, self.rank, self.session.n_parties]) or (len(state) - 3) % 8:
            raise ProtocolError("a saved share is not of this party and version", remedy="train the model anew")
        return Share((np.frombuffer(state[3:], dtype=np.uint64).copy(),))


async def input_masks(session: Session, frac_bits: int) -> dict[int, tuple[Keystream, Keystream]]:
    """Agree on a keystream of each party with each other: a party's inputs are masked by its own.

    Rounds: 1 (and 1 to compare the parameters). Bytes sent per party: 64 to each other.
    """
    await session.check_public("engine", AdditiveEngine.name, frac_bits)
    secrets = {peer: os.urandom(32) for peer in session.peers}
    received = await session.exchange(
        {peer: [np.frombuffer(secret, dtype=np.uint8)] for peer, secret in secrets.items()},
        dict.fromkeys(session.peers, [32]),
        dtype=np.uint8,
    )
    return {
        peer: (
            Keystream(secrets[peer], session.context + b"/input"),
            Keystream(received[peer][0].tobytes(), session.context + b"/input"),
        )
        for peer in session.peers
    }
