"""Replicated secret sharing among three parties, semi-honest, honest majority (Araki et al., CCS'16; ABY3, CCS'18).

x = x0 + x1 + x2 mod 2^64. Component j is held by P_j and P_{j-1}: party i holds (x_i, x_{i+1}). The same two parties
hold the key of keystream j, so that they draw common masks without a message. A Product is an additive sharing
(z0, z1, z2), z_i at P_i: products cost no message until they are reshared, and sums of them are free.

No party alone learns anything but the openings; any two together hold every secret.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import PeerMisbehaved, ProtocolError
from hansa.protocols.mpc import hinted_aggregation as hints
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.hinted_aggregation import OwnedBins
from hansa.protocols.mpc.kernels.ring import cross_product, matmul, matvec, matvec_transposed
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.private_mask import shared_mask
from hansa.protocols.mpc.replicated import bits as binary
from hansa.protocols.mpc.replicated import comparison, truncation
from hansa.protocols.mpc.replicated import sigmoid as logistic
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shapes import check_factors, check_input, check_matrices
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Share

PARTIES = 3
_STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class ReplicatedMatrix:
    """A private matrix: plain at its owner, a one-time pad's two halves at the others."""

    owner: int
    shape: tuple[int, int]
    piece: Ring = field(repr=False)


class ReplicatedEngine:
    """The engine ``replicated``; make it with ``await ReplicatedEngine.start(session, frac_bits)``."""

    name = "replicated"

    def __init__(self, session: Session, frac_bits: int, own: Keystream, next_: Keystream) -> None:
        self.session = session
        self.frac_bits = frac_bits
        self.rank = session.rank
        self.previous = (session.rank - 1) % PARTIES
        self.next = (session.rank + 1) % PARTIES
        self.key_own, self.key_next = own, next_
        """Keystreams ``rank`` (shared with the previous party) and ``rank + 1`` (shared with the next)."""

    @classmethod
    async def start(cls, session: Session, frac_bits: int) -> ReplicatedEngine:
        """Agree on the keystreams: each party draws 32 bytes and sends them to the previous one.

        Rounds: 1 (and 1 to compare the parameters). Bytes sent per party: 32, and 64.
        """
        if session.n_parties != PARTIES:
            raise ProtocolError("the engine replicated takes three parties", remedy="name three parties in the job")
        await session.check_public("engine", cls.name, frac_bits)
        secret = os.urandom(32)
        rank = session.rank
        mine = np.frombuffer(secret, dtype=np.uint8)
        got = await session.exchange({(rank - 1) % PARTIES: [mine]}, {(rank + 1) % PARTIES: [32]}, dtype=np.uint8)
        theirs = got[(rank + 1) % PARTIES][0].tobytes()
        if theirs == secret:
            raise PeerMisbehaved("a peer sent our own key back", remedy="end the job", peer=(rank + 1) % PARTIES)
        return cls(session, frac_bits, Keystream(secret, session.context), Keystream(theirs, session.context))

    # --- in and out ----------------------------------------------------------------------------------------------

    async def input(self, owner: int, values: Ring | None, shape: tuple[int, ...]) -> Share:
        """Share the owner's array: component owner+1 is a common mask, the difference goes to the party before.

        Rounds: 1. Bytes sent: 8·size by the owner, none by the others.
        """
        if self.rank == owner:
            flat = check_input(values, shape)
            second = self.key_next.words(*shape)
            first = flat - second
            await self.session.exchange({self.previous: [first]}, {})
            return Share((first, second))
        if self.rank == (owner + 1) % PARTIES:
            await self.session.exchange({}, {})
            return Share((self.key_own.words(*shape), np.zeros(shape, dtype=np.uint64)))
        received = await self.session.exchange({}, {owner: [shape]})
        return Share((np.zeros(shape, dtype=np.uint64), received[owner][0]))

    def public(self, values: Ring) -> Share:
        """A public array as a share: component 0 is the value, the others are zero. Local."""
        zero = np.zeros_like(values)
        return Share((values if self.rank == 0 else zero, values if self.rank == PARTIES - 1 else zero))

    def add_public(self, x: Share, values: Ring | int) -> Share:
        """x plus a public value. Local."""
        value = np.uint64(values % (1 << 64)) if isinstance(values, int) else values
        (first, second), flat = x.parts, np.broadcast_to(value, x.shape)
        return Share((first + flat if self.rank == 0 else first, second + flat if self.rank == PARTIES - 1 else second))

    def random(self, shape: tuple[int, ...]) -> Share:
        """Uniform ring elements that no party knows, from the keystreams. Local."""
        return Share((self.key_own.words(*shape), self.key_next.words(*shape)))

    async def open(self, *shares: Share, what: str) -> tuple[Ring, ...]:
        """Open to all: each party sends its first component to the next, who lacks it.

        Rounds: 1. Bytes sent per party: 8·(total size).
        """
        everyone = tuple(range(PARTIES))
        self.session.declare_opening(what, everyone, sum(share.size for share in shares))
        received = await self.session.exchange(
            {self.next: [share.parts[0] for share in shares]}, {self.previous: [share.shape for share in shares]}
        )
        missing = received[self.previous]
        return tuple(s.parts[0] + s.parts[1] + m for s, m in zip(shares, missing, strict=True))

    async def open_to(self, to: int, *shares: Share, what: str) -> tuple[Ring, ...] | None:
        """Open to one party; None at the others.

        Rounds: 1. Bytes sent: 8·(total size) by the party before ``to``, none by the others.
        """
        self.session.declare_opening(what, (to,), sum(share.size for share in shares))
        sender = (to - 1) % PARTIES
        if self.rank == to:
            received = await self.session.exchange({}, {sender: [share.shape for share in shares]})
            missing = received[sender]
            return tuple(s.parts[0] + s.parts[1] + m for s, m in zip(shares, missing, strict=True))
        outgoing = {to: [share.parts[0] for share in shares]} if self.rank == sender else {}
        await self.session.exchange(outgoing, {})
        return None

    # --- products ------------------------------------------------------------------------------------------------

    async def mul(self, x: Share, y: Share) -> Product:
        """Elementwise product of equal shapes, unreduced. Local (Araki et al., section 2.1)."""
        return Product((self.cross(x, y),))

    def cross(self, x: Share, y: Share) -> Ring:
        """This party's summand of x·y."""
        check_factors(x, y)
        flat = [np.ascontiguousarray(part).reshape(-1) for part in (*x.parts, *y.parts)]
        return cross_product(flat[0], flat[1], flat[2], flat[3]).reshape(x.shape)

    async def matmul(self, x: Share, y: Share) -> Product:
        """``x @ y`` of shared matrices, unreduced. Local."""
        check_matrices(x, y)
        x0, x1, y0, y1 = (np.ascontiguousarray(part) for part in (*x.parts, *y.parts))
        work = x0.size * y0.shape[1]
        return Product((await offload(work, matmul, x0, y0 + y1) + await offload(work, matmul, x1, y0),))

    def as_product(self, x: Linear) -> Product:
        """A share as a Product, locally; a Product as it is."""
        return x if isinstance(x, Product) else Product((x.parts[0],))

    def zero_mask(self, *shape: int) -> Ring:
        """This party's summand of a random additive sharing of zero. Local."""
        return self.key_own.words(*shape) - self.key_next.words(*shape)

    async def reshare(self, product: Product) -> Share:
        """A product as a share: each party masks its summand and sends it to the previous one.

        Rounds: 1. Bytes sent per party: 8·size.
        """
        own = product.parts[0] + self.zero_mask(*product.shape)
        received = await self.session.exchange({self.previous: [own]}, {self.next: [product.shape]})
        return Share((own, received[self.next][0]))

    async def truncate(self, x: Linear, bits: int) -> Share:
        """x / 2^bits, floor or one more; see ``truncation.truncate``."""
        return await truncation.truncate(self, self.as_product(x), bits)

    # --- what stays with its owner -------------------------------------------------------------------------------

    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> ReplicatedMatrix:
        """Prepare the owner's matrix, once a job: a one-time pad, the pad at the next party, the rest at the previous.

        Neither learns anything (each sees uniform words); only the owner, or the two together, hold the matrix.
        Rounds: 1. Bytes sent: 8·rows·columns by the owner, none by the others.
        """
        if self.rank == owner:
            plain = check_input(values, shape)
            await self.session.exchange({self.previous: [plain - self.key_next.words(*shape)]}, {})
            return ReplicatedMatrix(owner, shape, plain)
        if self.rank == (owner + 1) % PARTIES:
            await self.session.exchange({}, {})
            return ReplicatedMatrix(owner, shape, self.key_own.words(*shape))
        received = await self.session.exchange({}, {owner: [shape]})
        return ReplicatedMatrix(owner, shape, received[owner][0])

    async def private_linear(self, xs: Sequence[ReplicatedMatrix], ws: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows] @ w`` for each. Local.

        The owner multiplies by the two components of w that it holds. The others both know the third, and multiply their
        halves of the pad by it.
        """
        pairs = zip(xs, ws, strict=True)
        return [await self._times(matvec, x.piece[rows], self._component_for(x.owner, w)) for x, w in pairs]

    async def private_linear_t(self, xs: Sequence[ReplicatedMatrix], rs: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows].T @ r`` for each, likewise. Local."""
        pairs = zip(xs, rs, strict=True)
        return [await self._times(matvec_transposed, x.piece[rows], self._component_for(x.owner, r)) for x, r in pairs]

    async def _times(self, kernel: Callable[[Ring, Ring], Ring], piece: Ring, vector: Ring) -> Product:
        piece = np.ascontiguousarray(piece)
        return Product((await offload(piece.size, kernel, piece, np.ascontiguousarray(vector)),))

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

    @property
    def first(self) -> bool:
        """Whether this party adds the public constants to products."""
        return self.rank == 0

    def senders(self, owner: int) -> tuple[int, ...]:
        """One of the two that know the component that the owner lacks."""
        return ((owner + 1) % PARTIES,)

    def part_of_owner(self, v: Share) -> Ring:
        """The two components that an owner holds, summed."""
        return self._component_for(self.rank, v)

    def encrypted_part(self, owner: int, v: Share) -> tuple[Ring, Keystream] | None:
        """The component that the owner lacks, and coins that both who know it have and the owner does not."""
        return self._component_for(owner, v), self.key_next if self.rank == (owner + 1) % PARTIES else self.key_own

    async def product_from_owner(self, owner: int, values: Ring) -> Product:
        """The owner's values are its summand. Local."""
        return Product((values,))

    async def share_of_secrets(self, owner: int, secrets: Ring) -> Share:
        """The common secrets of the two that know what the owner lacks: they are the component that it lacks. Local."""
        zero = np.zeros_like(secrets)
        if self.rank == owner:
            return Share((zero, zero))
        return Share((zero, secrets) if self.rank == (owner + 1) % PARTIES else (secrets, zero))

    def _component_for(self, owner: int, v: Share) -> Ring:
        """The owner's two components of v, summed; at the others, the component that the owner lacks."""
        if self.rank == owner:
            return v.parts[0] + v.parts[1]
        return v.parts[1] if self.rank == (owner + 1) % PARTIES else v.parts[0]

    # --- bits ----------------------------------------------------------------------------------------------------

    async def msb(self, x: Share) -> BitShare:
        """The sign bit of every element, flat; see ``comparison.msb``."""
        return await comparison.msb(self, x)

    async def less(self, x: Share, y: Share) -> BitShare:
        """x < y elementwise, flat, for |x - y| < 2^63: the sign of the difference; costs as ``msb``."""
        return await comparison.msb(self, x - y)

    def public_bits(self, words: Ring, length: int) -> BitShare:
        """Public bits, (planes, words), as a BitShare: component 0. Local."""
        zero = np.zeros_like(words)
        return BitShare((words if self.rank == 0 else zero, words if self.rank == PARTIES - 1 else zero), length)

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

        Rounds: 3. Bytes sent: as ``b2a``, and 8·size per party.
        """
        chosen = await comparison.b2a(self, bits)
        return y.reshape(-1) + await self.reshare(Product((self.cross(chosen, (x - y).reshape(-1)),)))

    async def sigmoid(self, x: Linear, scale_bits: int) -> Share:
        """The logistic function; see ``sigmoid.sigmoid``."""
        return await logistic.sigmoid(self, x, scale_bits)

    # --- states --------------------------------------------------------------------------------------------------

    def share_state(self, share: Share) -> bytes:
        """This party's two components of a one-dimensional share, with version and rank in front."""
        return bytes([_STATE_VERSION, self.rank]) + b"".join(part.tobytes() for part in share.parts)

    def share_from_state(self, state: bytes) -> Share:
        """The share again; raises ``ProtocolError`` for another version, another rank's, or a truncated state."""
        if len(state) < 2 or state[0] != _STATE_VERSION or state[1] != self.rank or (len(state) - 2) % 16:
            raise ProtocolError("a saved share is not of this party and version", remedy="train the model anew")
        both = np.frombuffer(state[2:], dtype=np.uint64).copy()
        return Share((both[: both.size // 2], both[both.size // 2 :]))
