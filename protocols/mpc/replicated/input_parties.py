"""Three parties compute, any number of further institutions only input and receive: the guests.

Algorithms run at every institution alike. The computing parties pass each call on to their ``ReplicatedEngine`` engine; a
guest holds shadows: shares of the right shapes, all zero, which it never sends anything of. So a guest takes part in inputs,
in openings and in nothing else, and nobody but the contract need know who computes.

A guest learns what is opened to it: the computing parties' summands, masked by a fresh sharing of zero, tell it the
sum alone. What it puts in is shared among the three as any secret: any two of these together could read it, and so
they could its matrices, which (unlike a computing party's) do leave its house, as shares.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc import hinted_aggregation as hints
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.kernels.ring import matvec, matvec_transposed
from hansa.protocols.mpc.masked import check_bits
from hansa.protocols.mpc.masking import shared_mask
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.replicated.engine import PARTIES, ReplicatedEngine
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shapes import check_factors, check_matrices, check_planes, check_width
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Share

_GUEST_STATE: Final = b"\x01guest"


@dataclass(frozen=True, slots=True)
class Held:
    """A private matrix or bins, by the owner's rank: the inner engine's (``inner``), or a guest's, as shares."""

    owner: int
    shape: tuple[int, int]
    inner: Any = field(repr=False, default=None)
    shared: Share | None = field(repr=False, default=None)
    n_bins: int = 0


class InputPartyEngine:
    """The engine ``replicated`` among more than three institutions; make it with ``await WithGuests.start(...)``.

    ``session`` is that of all institutions. Costs are those of ``ReplicatedEngine`` at the computing parties, but for the
    methods that say otherwise; a guest sends only its inputs.
    """

    name = "replicated"

    def __init__(
        self,
        session: Session,
        computing: Sequence[int],
        inner: ReplicatedEngine | None,
        to_guests: dict[int, Keystream],
        frac_bits: int,
    ) -> None:
        self.session = session
        self.frac_bits = frac_bits
        self._computing = tuple(computing)
        self._inner = inner
        self._streams = to_guests
        """At a computing party, a keystream with each guest; at a guest, with each computing party but the last."""

    @classmethod
    async def start(cls, session: Session, computing: Sequence[int], frac_bits: int) -> InputPartyEngine:
        """Start the inner engine, and agree on a keystream of each guest with the first two computing parties.

        Rounds: 2, and those of ``ReplicatedEngine.start``. Bytes sent: 64 by each guest.
        """
        if len(set(computing)) != PARTIES or not set(computing) < set(range(session.n_parties)):
            raise ProtocolError(
                f"{len(computing)} computing parties among {session.n_parties}",
                remedy="name three parties of the job in `computing`",
            )
        await session.check_public("computing parties", list(computing), frac_bits)
        guests = [rank for rank in range(session.n_parties) if rank not in computing]
        drawing = computing[:-1]
        streams: dict[int, Keystream] = {}
        if session.rank in guests:
            secrets = {rank: os.urandom(32) for rank in drawing}
            await session.exchange(
                {rank: [np.frombuffer(secret, dtype=np.uint8)] for rank, secret in secrets.items()}, {}, dtype=np.uint8
            )
            streams = {rank: Keystream(secret, session.context + b"/guest") for rank, secret in secrets.items()}
            return cls(session, computing, None, streams, frac_bits)
        if session.rank in drawing:
            got = await session.exchange({}, dict.fromkeys(guests, [32]), dtype=np.uint8)
            streams = {rank: Keystream(got[rank][0].tobytes(), session.context + b"/guest") for rank in guests}
        inner = await ReplicatedEngine.start(session.subgroup(computing), frac_bits)
        return cls(session, computing, inner, streams, frac_bits)

    # --- in and out ----------------------------------------------------------------------------------------------

    async def input(self, owner: int, values: Ring | None, shape: tuple[int, ...]) -> Share:
        """Share the owner's array.

        A guest's: the first two computing parties draw summands with it, the third is sent the rest, and the three
        reshare. Rounds: 2. Bytes sent: 8·size by the guest, 8·size by each computing party.
        """
        if owner in self._computing:
            if self._inner is None:
                return _shadow(shape)
            return await self._inner.input(self._computing.index(owner), values, shape)
        last = self._computing[-1]
        if self.session.rank == owner:
            if values is None or values.shape != shape or values.dtype != np.uint64:
                raise ProtocolError(f"the owner's input must be uint64 of shape {shape}", remedy="report this as a bug")
            rest = values - sum((stream.words(*shape) for stream in self._streams.values()), start=np.uint64(0))
            await self.session.exchange({last: [rest]}, {})
            return _shadow(shape)
        if self._inner is None:
            return _shadow(shape)
        if self.session.rank == last:
            summand = (await self.session.exchange({}, {owner: [shape]}))[owner][0]
        else:
            summand = self._streams[owner].words(*shape)
        return await self._inner.reshare(Product((summand,)))

    def public(self, values: Ring) -> Share:
        """A public array as a share. Local."""
        return _shadow(values.shape) if self._inner is None else self._inner.public(values)

    def add_public(self, x: Share, values: Ring | int) -> Share:
        """x plus a public value. Local."""
        return x if self._inner is None else self._inner.add_public(x, values)

    def random(self, shape: tuple[int, ...]) -> Share:
        """Uniform ring elements that no party knows. Local."""
        return _shadow(shape) if self._inner is None else self._inner.random(shape)

    async def open(self, *shares: Share, what: str) -> tuple[Ring, ...]:
        """Open to all institutions: each computing party sends its masked summand to all others.

        Rounds: 1. Bytes sent per computing party: 8·(total size)·(n_parties - 1).
        """
        everyone = tuple(range(self.session.n_parties))
        opened = await self._open(everyone, shares, what)
        if opened is None:
            raise ProtocolError("an opening to all that is not to all", remedy="report this as a bug")
        return opened

    async def open_to(self, to: int, *shares: Share, what: str) -> tuple[Ring, ...] | None:
        """Open to one institution; None at the others.

        Rounds: 1. Bytes sent: 8·(total size) by each computing party but ``to``.
        """
        return await self._open((to,), shares, what)

    async def _open(self, to: tuple[int, ...], shares: tuple[Share, ...], what: str) -> tuple[Ring, ...] | None:
        session, inner = self.session, self._inner
        session.declare_opening(what, to, sum(share.size for share in shares))
        mine: list[Ring] = []
        if inner is not None:
            mine = [inner.as_product(share).parts[0] + inner.zero_mask(*share.shape) for share in shares]
        receives = session.rank in to
        got = await session.exchange(
            {rank: mine for rank in to if mine and rank != session.rank},
            {rank: [share.shape for share in shares] for rank in self._computing if receives and rank != session.rank},
        )
        if not receives:
            return None
        summands = [*got.values(), *([mine] if mine else [])]
        return tuple(sum((part[k] for part in summands[1:]), start=summands[0][k]) for k in range(len(shares)))

    # --- products ------------------------------------------------------------------------------------------------

    async def mul(self, x: Share, y: Share) -> Product:
        """Elementwise product. Local."""
        check_factors(x, y)
        return _shadow_product(x.shape) if self._inner is None else await self._inner.mul(x, y)

    async def matmul(self, x: Share, y: Share) -> Product:
        """``x @ y`` of shared matrices. Local."""
        check_matrices(x, y)
        return _shadow_product((x.shape[0], y.shape[1])) if self._inner is None else await self._inner.matmul(x, y)

    def as_product(self, x: Linear) -> Product:
        """A share as a Product. Local."""
        return _shadow_product(x.shape) if self._inner is None else self._inner.as_product(x)

    async def reshare(self, product: Product) -> Share:
        """A product as a share."""
        return _shadow(product.shape) if self._inner is None else await self._inner.reshare(product)

    async def truncate(self, x: Linear, bits: int) -> Share:
        """x / 2^bits."""
        check_bits(bits)
        return _shadow(x.shape) if self._inner is None else await self._inner.truncate(x, bits)

    # --- what stays with its owner -------------------------------------------------------------------------------

    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> Held:
        """Prepare the owner's matrix, once a job; a guest's is shared among the computing parties (``input``)."""
        if owner not in self._computing:
            return Held(owner, shape, shared=await self.input(owner, values, shape))
        if self._inner is None:
            return Held(owner, shape)
        return Held(owner, shape, await self._inner.private_matrix(self._computing.index(owner), values, shape))

    async def private_linear(self, xs: Sequence[Held], ws: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows] @ w`` for each. Local."""
        return [await self._linear(x, w, rows) for x, w in zip(xs, ws, strict=True)]

    async def _linear(self, x: Held, w: Share, rows: slice) -> Product:
        if self._inner is None:
            return _shadow_product((len(range(*rows.indices(x.shape[0]))),))
        if x.shared is not None:
            return await self._shared_times(matvec, x.shared[rows], w)
        (product,) = await self._inner.private_linear([x.inner], [w], rows)
        return product

    async def private_linear_t(self, xs: Sequence[Held], rs: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows].T @ r`` for each. Local."""
        return [await self._linear_t(x, r, rows) for x, r in zip(xs, rs, strict=True)]

    async def _linear_t(self, x: Held, r: Share, rows: slice) -> Product:
        if self._inner is None:
            return _shadow_product((x.shape[1],))
        if x.shared is not None:
            return await self._shared_times(matvec_transposed, x.shared[rows], r)
        (product,) = await self._inner.private_linear_t([x.inner], [r], rows)
        return product

    async def private_bins(
        self, owner: int, bins: NDArray[np.uint8] | None, shape: tuple[int, int], n_bins: int
    ) -> Held:
        """Prepare the owner's bins, once a job; see ``hints.private_bins``. A guest's hint is shared, its bins are not."""
        if owner not in self._computing:
            return Held(owner, shape, await hints.private_bins(self, owner, bins, shape, n_bins), n_bins=n_bins)
        held = None
        if self._inner is not None:
            held = await self._inner.private_bins(self._computing.index(owner), bins, shape, n_bins)
        return Held(owner, shape, held, n_bins=n_bins)

    async def select_sum(self, xs: Sequence[Held], v: Share, bits: int) -> list[Share]:
        """Per-bin sums; see ``hints.select_sum``. For a guest's bins the three encrypt a summand each, the guest puts in
        what it counted (2 rounds more), and the secrets' sum is reshared (1 more)."""
        inside = [x for x in xs if x.owner in self._computing]
        found: dict[int, Share] = {}
        if inside and self._inner is not None:
            sums = await self._inner.select_sum([x.inner for x in inside], v, bits)
            found = {id(x): share for x, share in zip(inside, sums, strict=True)}
        outside = [x for x in xs if x.owner not in self._computing]
        if outside:
            sums = await hints.select_sum(self, [x.inner for x in outside], v, bits)
            found |= {id(x): share for x, share in zip(outside, sums, strict=True)}
        return [found[id(x)] if id(x) in found else _shadow((v.shape[0], x.shape[1], x.n_bins)) for x in xs]

    async def private_mask(self, owners: Sequence[int], bits: NDArray[np.uint8], x: Share) -> Share:
        """An owner's bits times shared vectors; see ``masking.shared_mask``."""
        return await shared_mask(self, owners, bits, x)

    @property
    def rank(self) -> int:
        """This institution's rank."""
        return self.session.rank

    @property
    def first(self) -> bool:
        """Whether this party adds the public constants to products."""
        return self._inner is not None and self._inner.first

    def senders(self, owner: int) -> tuple[int, ...]:
        """The computing parties encrypt for a guest."""
        return self._computing

    def part_of_owner(self, v: Share) -> Ring:
        """A guest has nothing of v."""
        return np.zeros(v.shape, dtype=np.uint64)

    def encrypted_part(self, owner: int, v: Share) -> tuple[Ring, Keystream] | None:
        """A summand of v that no other computing party encrypts, and coins of this party's own."""
        if self._inner is None:
            return None
        return v.parts[0], Keystream(os.urandom(32), b"hinted aggregation")

    async def shares_from_senders(self, owner: int, x: Ring) -> Share:
        """The sum of what the computing parties put in, reshared. Rounds: 1."""
        return _shadow(x.shape) if self._inner is None else await self._inner.reshare(Product((x,)))

    async def product_of_owner(self, owner: int, x: Ring) -> Product:
        """A guest's input."""
        return self.as_product(await self.input(owner, x if self.rank == owner else None, x.shape))

    async def _shared_times(self, kernel: Callable[[Ring, Ring], Ring], x: Share, v: Share) -> Product:
        """This party's summand of a shared matrix times a shared vector: x0·(v0 + v1) + x1·v0."""
        assert self._inner is not None
        x0, x1 = x.parts
        v0, v1 = (np.ascontiguousarray(part) for part in v.parts)
        x0, x1 = np.ascontiguousarray(x0), np.ascontiguousarray(x1)
        own, common = await offload(x0.size, kernel, x0, v0 + v1), await offload(x1.size, kernel, x1, v0)
        return Product((own + common,))

    # --- bits ----------------------------------------------------------------------------------------------------

    async def msb(self, x: Share) -> BitShare:
        """The sign bit of every element, flat."""
        return _shadow_bits(x.size) if self._inner is None else await self._inner.msb(x)

    async def less(self, x: Share, y: Share) -> BitShare:
        """x < y elementwise, flat, for |x - y| < 2^63."""
        return _shadow_bits(x.size) if self._inner is None else await self._inner.less(x, y)

    def public_bits(self, words: Ring, length: int) -> BitShare:
        """Public bits as a BitShare. Local."""
        return _shadow_bits(length, words.shape[0]) if self._inner is None else self._inner.public_bits(words, length)

    async def and_bits(self, x: BitShare, y: BitShare) -> BitShare:
        """AND, plane by plane."""
        check_planes(x, y)
        return _shadow_bits(x.length, x.planes) if self._inner is None else await self._inner.and_bits(x, y)

    async def a2b(self, x: Share, bits: int) -> BitShare:
        """The lowest bits of every element, flat."""
        check_width(bits)
        return _shadow_bits(x.size, bits) if self._inner is None else await self._inner.a2b(x, bits)

    async def b2a(self, bits: BitShare) -> Share:
        """Bits as ring elements 0 and 1, flat."""
        return _shadow((bits.length,)) if self._inner is None else await self._inner.b2a(bits)

    async def mux(self, bits: BitShare, x: Share, y: Share) -> Share:
        """x where the bit is 1, else y, flat."""
        return _shadow((x.size,)) if self._inner is None else await self._inner.mux(bits, x, y)

    async def sigmoid(self, x: Linear, scale_bits: int) -> Share:
        """The logistic function, flat."""
        return _shadow((x.size,)) if self._inner is None else await self._inner.sigmoid(x, scale_bits)

    # --- states --------------------------------------------------------------------------------------------------

    def share_state(self, share: Share) -> bytes:
        """This party's part of a one-dimensional share; at a guest its length."""
        if self._inner is None:
            return _GUEST_STATE + share.size.to_bytes(8, "little")
        return self._inner.share_state(share)

    def share_from_state(self, state: bytes) -> Share:
        """The share again; raises ``ProtocolError`` for another version's, another role's, or a truncated state."""
        if self._inner is not None:
            return self._inner.share_from_state(state)
        size = int.from_bytes(state[len(_GUEST_STATE) :], "little")
        if state[: len(_GUEST_STATE)] != _GUEST_STATE or len(state) != len(_GUEST_STATE) + 8 or size > 1 << 32:
            raise ProtocolError("a saved share is not of this party and version", remedy="train the model anew")
        return _shadow((size,))


def _shadow(shape: tuple[int, ...]) -> Share:
    return Share((np.zeros(shape, dtype=np.uint64),))


def _shadow_product(shape: tuple[int, ...]) -> Product:
    return Product((np.zeros(shape, dtype=np.uint64),))


def _shadow_bits(length: int, planes: int = 1) -> BitShare:
    return BitShare((np.zeros((planes, (length + 63) // 64), dtype=np.uint64),), length)
