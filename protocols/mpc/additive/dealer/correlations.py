"""Correlations from a dealer: seeds at all parties, corrections at the last one, asked for ahead of need.

Every party keeps the same books, because what has been drawn alone determines which request covers what. So only the last
party tells the dealer anything, and no party tells another. Small draws are answered from stock that was ordered before,
twice as much each time up to a bound, and wait for no round trip.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import numpy as np
import trio

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.additive.correlations import STEP, Pad, TrigMasks
from hansa.protocols.mpc.additive.dealer.dealer import FORK, REQUEST, SEED, stream_of
from hansa.protocols.mpc.additive.dealer.specs import CorrelationSpec, DealerRequest, Part, matmul_spec, spec_of
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.session.transcript import Phase
from hansa.protocols.mpc.shares import words_of

REQUEST_WORDS: Final = 1 << 19
"""Correction words of one request, about (4 MiB): what is dealt and sent in one piece."""
STOCK_WORDS: Final = 1 << 18
"""Correction words of one kind kept in stock (2 MiB)."""
AHEAD_WORDS: Final = 1 << 22
"""Correction words of all kinds ordered and not drawn (32 MiB)."""
_LONG_WORK: Final = 1 << 18
"""Words above which expanding a seed leaves the event loop."""


@dataclass(slots=True)
class _Order:
    """One request: its number, what was asked, how many units are left, and the parts once they are here."""

    number: int
    asked: CorrelationSpec
    units: int
    used: int = 0
    parts: list[Ring] | None = field(default=None, repr=False)


@dataclass(slots=True)
class _DealerStock:
    """What is on order of one kind; ``unit_words`` correction words a unit."""

    kind: DealerRequest
    parameter: int
    unit_words: int
    orders: deque[_Order] = field(default_factory=deque)
    units: int = 0
    drawn: int = 0


@dataclass(frozen=True, slots=True)
class DealerPad:
    """The owner's random matrix, expanded from its seed row by row; the others know its shape only."""

    owner: int
    shape: tuple[int, int]
    place: int
    _number: int
    _seed: bytes | None = field(repr=False)
    _context: bytes = field(repr=False)

    def rows(self, rows: slice) -> Ring:
        """Some rows of the pad, at its owner."""
        if self._seed is None:
            raise ProtocolError("a pad asked of another than its owner", remedy="report this as a bug")
        start, stop, _ = rows.indices(self.shape[0])
        columns = self.shape[1]
        return stream_of(self._seed, self._context, self._number, start * columns).words(stop - start, columns)


class DealerCorrelations:
    """The provider; make it with ``await DealerCorrelations.start(session)``, the dealer being the session's last rank."""

    def __init__(self, link: Session, seed: bytes) -> None:
        self._link = link
        self._seed = seed
        self._dealer = link.n_parties - 1
        self._last = link.rank == self._dealer - 1
        self._stocks: dict[tuple[DealerRequest, int], _DealerStock] = {}
        self._products: dict[tuple[int, int, int, bool], _Order | None] = {}
        self._number = 0
        self._pads = 0
        self._ahead = 0
        self._books = blake2b(digest_size=32, person=b"hansa-dealt")
        self._due: deque[_Order] = deque()
        self._answers: dict[int, Ring] = {}

    @classmethod
    async def start(cls, session: Session) -> DealerCorrelations:
        """Draw a seed and send it to the dealer.

        Rounds: none waited for. Bytes sent per party: 32. Raises ``ProtocolError`` at the dealer itself.
        """
        dealer = session.n_parties - 1
        if session.rank == dealer or dealer < 2:
            raise ProtocolError("a dealer deals to two parties or more, the last rank", remedy="report this as a bug")
        link = session.fork(FORK)
        seed = os.urandom(SEED)
        with link.step(STEP, Phase.PREPROCESSING):
            await link.send(dealer, np.frombuffer(seed, dtype=np.uint8))
        return cls(link, seed)

    async def triples(self, n: int) -> tuple[Ring, Ring, Ring]:
        """Beaver triples. Bytes sent by the dealer: 8·n."""
        a, b, c = await self._draw(DealerRequest.TRIPLES, words_of(n), 0)
        return a[:n], b[:n], c[:n]

    async def matmul_triples(self, n: int, k: int, m: int) -> tuple[Ring, Ring, Ring]:
        """One matrix triple, asked for when it is needed. Bytes sent by the dealer: 8·n·m."""
        order = await self._ask_for(matmul_spec(n, k, m), 1, DealerRequest.MATMUL, n, k, m)
        a, b, c = await self._expand(order)
        return a, b, c

    async def bit_triples(self, words: int, width: int) -> tuple[Ring, Ring, Ring]:
        """Bit triples. Bytes sent by the dealer: 8·width·words."""
        a, b, c = await self._draw(DealerRequest.BIT_TRIPLES, words, width)
        return a, b, c

    async def dabits(self, n: int) -> tuple[Ring, Ring]:
        """daBits. Bytes sent by the dealer: 8·n."""
        bits, ring = await self._draw(DealerRequest.DABITS, words_of(n), 0)
        return bits, ring[:n]

    async def truncation_masks(self, n: int, bits: int) -> tuple[Ring, Ring, Ring]:
        """Masks and their parts. Bytes sent by the dealer: 16·n."""
        r, t, m = await self._draw(DealerRequest.TRUNCATION, words_of(n), bits)
        return r[:n], t[:n], m[:n]

    async def comparison_masks(self, n: int) -> tuple[Ring, Ring]:
        """Masks and the products of their bits. Bytes sent by the dealer: 8·241·words."""
        r, planes = await self._draw(DealerRequest.COMPARISON, words_of(n), 0)
        return r[:n], planes

    async def trig_masks(self, n: int, scale_bits: int) -> TrigMasks:
        """Masks for a sigmoid. Bytes sent by the dealer: 96·n, and 8·121·words at scale 36."""
        r, trig, planes = await self._draw(DealerRequest.TRIG, words_of(n), scale_bits)
        return TrigMasks(r[:n], np.ascontiguousarray(trig[:, :, :n]), planes)

    async def pad(self, owner: int, shape: tuple[int, int]) -> DealerPad:
        """A random matrix for the owner, expanded from its seed. Bytes sent: 40 by the last party."""
        number, place = self._number, self._pads
        self._pads += 1
        await self._ask(DealerRequest.PAD, owner, shape[0], shape[1])
        return DealerPad(
            owner, shape, place, number, self._seed if self._link.rank == owner else None, self._link.context
        )

    async def pad_products(self, pad: Pad, rows: slice, transposed: bool) -> tuple[Ring, Ring]:
        """b and pad @ b. Bytes sent by the dealer: 8 for each element of the product.

        The same rows of a pad are used again and again: from the second time on the next product is ordered with each.
        """
        if not isinstance(pad, DealerPad):
            raise ProtocolError("a pad of another provider", remedy="report this as a bug")
        start, stop, _ = rows.indices(pad.shape[0])
        key = (pad.place, start, stop, transposed)
        size, results = (stop - start, pad.shape[1]) if transposed else (pad.shape[1], stop - start)
        seen, order = key in self._products, self._products.get(key)
        if order is None:
            order = await self._ask_product(key, results)
        else:
            self._ahead -= results
        self._products[key] = None
        if seen and self._ahead + results <= AHEAD_WORDS:
            self._products[key] = await self._ask_product(key, results)
            self._ahead += results
        stream = stream_of(self._seed, self._link.context, order.number)
        owner = self._link.rank == pad.owner
        b = np.zeros(size, dtype=np.uint64) if owner else stream.words(size)
        return b, await self._answer(order) if self._last else stream.words(results)

    async def finish(self) -> None:
        """Compare the books of all computing parties, take what is still on its way, and let the dealer go.

        Rounds: 1. Bytes sent per party: 32·(n_parties - 1), without the dealer; 40 to it by the last.
        """
        computing = self._link.subgroup(range(self._dealer))
        with computing.step(STEP, Phase.PREPROCESSING):
            await computing.check_public("record of what the dealer was asked for", self._books.digest())
        if self._due:
            await self._answer(self._due[-1])
        await self._ask(DealerRequest.FINISH)

    # --- orders --------------------------------------------------------------------------------------------------

    async def _ask(self, kind: DealerRequest, *parameters: int) -> None:
        """Note a request in the books; the last party also sends it."""
        request = np.zeros(REQUEST, dtype=np.uint64)
        request[: 1 + len(parameters)] = (kind, *parameters)
        self._books.update(request.tobytes())
        self._number += 1
        if self._last:
            with self._link.step(STEP, Phase.PREPROCESSING):
                await self._link.send(self._dealer, request)

    async def _ask_product(self, key: tuple[int, int, int, bool], results: int) -> _Order:
        return await self._ask_for(CorrelationSpec((), (Part((results,)),), tuple), 1, DealerRequest.PAD_PRODUCT, *key)

    async def _ask_for(self, asked: CorrelationSpec, units: int, kind: DealerRequest, *parameters: int) -> _Order:
        order = _Order(self._number, asked, units)
        if self._last:
            self._due.append(order)
        await self._ask(kind, *parameters)
        return order

    async def _order(self, stock: _DealerStock, units: int) -> None:
        most = max(1, REQUEST_WORDS // stock.unit_words)
        while units > 0:
            some = min(units, most)
            asked = spec_of(stock.kind, some, stock.parameter)
            stock.orders.append(await self._ask_for(asked, some, stock.kind, some, stock.parameter))
            stock.units += some
            self._ahead += some * stock.unit_words
            units -= some

    async def _draw(self, kind: DealerRequest, units: int, parameter: int) -> list[Ring]:
        if units == 0:
            return [np.empty(part.shape, dtype=np.uint64) for part in spec_of(kind, 0, parameter).parts]
        stock = self._stocks.get((kind, parameter))
        if stock is None:
            stock = self._stocks[kind, parameter] = _DealerStock(
                kind, parameter, spec_of(kind, 1, parameter).correction
            )
        await self._order(stock, units - stock.units)
        stock.units -= units
        stock.drawn += units
        self._ahead -= units * stock.unit_words
        bound = STOCK_WORDS // stock.unit_words
        if stock.units < units <= bound:
            more = min(stock.drawn, bound)
            if self._ahead + more * stock.unit_words <= AHEAD_WORDS:
                await self._order(stock, more)
        return await self._take(stock, units)

    async def _take(self, stock: _DealerStock, units: int) -> list[Ring]:
        """The next units of a stock, each part sliced along its last axis."""
        pieces: list[list[Ring]] = []
        while units > 0:
            order = stock.orders[0]
            if order.parts is None:
                order.parts = await self._expand(order)
            some = min(units, order.units - order.used)
            pieces.append(
                [
                    part[..., order.used * width : (order.used + some) * width]
                    for part in order.parts
                    for width in [part.shape[-1] // order.units]
                ]
            )
            order.used += some
            units -= some
            if order.used == order.units:
                stock.orders.popleft()
        if len(pieces) == 1:
            return [np.ascontiguousarray(part) for part in pieces[0]]
        return [np.concatenate(parts, axis=-1) for parts in zip(*pieces, strict=True)]

    async def _expand(self, order: _Order) -> list[Ring]:
        """This party's parts of an order: from its seed, the last party's dependent parts from the dealer."""
        stream = stream_of(self._seed, self._link.context, order.number)
        parts = order.asked.free if self._last else order.asked.parts
        if sum(part.size for part in parts) > _LONG_WORK:
            own = await trio.to_thread.run_sync(_expanded, stream, parts)
        else:
            own = _expanded(stream, parts)
        if not self._last:
            return own
        answer = await self._answer(order)
        ends = np.cumsum([part.size for part in order.asked.dependent])
        pieces = np.split(answer, ends[:-1])
        return own + [p.reshape(part.shape) for p, part in zip(pieces, order.asked.dependent, strict=True)]

    async def _answer(self, order: _Order) -> Ring:
        """The dealer's answer to an order; answers come in the order of the requests."""
        while order.number not in self._answers:
            due = self._due.popleft()
            with self._link.step(STEP, Phase.PREPROCESSING):
                self._answers[due.number] = await self._link.recv(self._dealer, np.uint64, due.asked.correction)
        return self._answers.pop(order.number)


def _expanded(stream: Keystream, parts: tuple[Part, ...]) -> list[Ring]:
    return [stream.words(*part.shape) for part in parts]
