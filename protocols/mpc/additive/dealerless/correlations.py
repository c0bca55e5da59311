"""Correlations without a dealer: each two parties make their cross terms, by transfers and encryption.

A product of two sums is the sum of all parties' own products and of the cross terms of each two parties. Bits are
multiplied by oblivious transfers, ring elements by ring LWE. No party but the two sees anything of a cross term, so
that N - 1 parties that pool what they have know what they put in themselves and nothing of the last one's.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.additive.correlations import STEP
from hansa.protocols.mpc.additive.dealerless.pairs import Pair, start_pairs
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS, UNIT
from hansa.protocols.mpc.additive.stored.store import ParcelStore, StoredCorrelations
from hansa.protocols.mpc.concurrency import gather
from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.ot.link import AUTO
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.linear import DEGREE, MAX_TERMS
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.session.transcript import Phase
from hansa.protocols.mpc.shares import words_of

STOCK_WORDS: Final = 1 << 12
"""Words of bits kept in stock of one kind, at most."""
TRIPLES: Final = DEGREE // 64
"""Triples are made in whole ciphertexts; in units of 64."""


Make = Callable[[int], Awaitable[list[Ring]]]


class _PairwiseStock:
    """Units of one kind: from the store while it has some, else made, as many as were drawn so far, within bounds."""

    def __init__(self, session: Session, kind: str, make: Make, multiple: int, most: int) -> None:
        self._session, self._kind = session, kind
        self._make, self._multiple, self._most = make, multiple, most
        self._parts: list[Ring] = []
        self._units = self._drawn = 0
        self.stored: StoredCorrelations | None = None

    async def take(self, units: int) -> list[Ring]:
        """The next units, each part sliced along its last axis."""
        if units > self._units and self.stored is not None:
            with self._session.step(STEP, Phase.PREPROCESSING):
                parcels = await self.stored.draw(units - self._units, self._session)
            found = len(parcels) * STORED_KINDS[self._kind].units
            self._add(parcels, found)
            self._session.transcript.count_stored(self._kind, UNIT * found)
        if units > self._units or not self._parts:
            wanted = max(units - self._units, min(self._drawn, self._most), 1)
            wanted += -wanted % self._multiple
            self._add([await self._make(wanted)], wanted)
        self._drawn += units
        self._session.transcript.count_drawn(self._kind, UNIT * units)
        parts, rest = [], []
        for part in self._parts:
            cut = units * (part.shape[-1] // self._units)
            parts.append(np.ascontiguousarray(part[..., :cut]))
            rest.append(part[..., cut:].copy())
        self._units -= units
        self._parts = rest if self._units else []
        return parts

    def _add(self, more: list[list[Ring]], units: int) -> None:
        """Put these behind what there is."""
        lots = [self._parts, *more] if self._parts else more
        if len(lots) > 1:
            self._parts = [np.concatenate(pieces, axis=-1) for pieces in zip(*lots, strict=True)]
        elif lots:
            (self._parts,) = lots
        self._units += units


class PairwiseCorrelations:
    """The provider; make it with ``await PairwiseCorrelations.start(session)``, all ranks of which compute."""

    def __init__(self, session: Session, pairs: list[Pair]) -> None:
        self.pairs = pairs
        self._session = session
        self._random = Keystream(os.urandom(32), session.context + b"/pairwise")
        self.makers: dict[str, Make] = {
            "triples": self._make_triples,
            "bit_triples": self._maker_of_bit_triples(1),
            "bit_pairs": self._maker_of_bit_triples(2),
            "dabits": self._make_dabits,
        }
        bounds = {"triples": (TRIPLES, 8 * TRIPLES)}
        self._stocks = {
            kind: _PairwiseStock(session, kind, make, *bounds.get(kind, (1, STOCK_WORDS)))
            for kind, make in self.makers.items()
        }
        self._matrices = 0

    @classmethod
    async def start(cls, session: Session, store: ParcelStore | None = None, *, ot: str = AUTO) -> PairwiseCorrelations:
        """Set up a pair with each other party, at the same time; what the store has is used first.

        All parties have a store, or none. ``ot``: the source of transfers, by the link if not named (``ot.link``).
        Costs as ``Pair.start`` with each, and ``StoredCorrelations.start``.
        """
        link = session.fork("pairwise")
        with link.step(STEP, Phase.PREPROCESSING):
            made = cls(link, await start_pairs(link, ot))
            stored = {} if store is None else await StoredCorrelations.start(link, store)
        for kind, source in stored.items():
            made._stocks[kind].stored = source
        return made

    async def triples(self, n: int) -> tuple[Ring, Ring, Ring]:
        """Beaver triples. Bytes: as ``rlwe.products`` for all that are made, with each other party."""
        a, b, c = await self._stocks["triples"].take(words_of(n))
        return a[:n], b[:n], c[:n]

    async def bit_triples(self, words: int, width: int) -> tuple[Ring, Ring, Ring]:
        """Bit triples: 64 random transfers a word and direction, and 8·(1 + width) bytes a word where N > 2."""
        a, b, c = await self._stocks["bit_triples" if width == 1 else "bit_pairs"].take(words)
        return a[0], b, c

    async def dabits(self, n: int) -> tuple[Ring, Ring]:
        """daBits: a correlated transfer for each party but the first and each party before it. Rounds: 2·(N - 1)."""
        bits, ring = await self._stocks["dabits"].take(words_of(n))
        return bits, ring[:n]

    async def matmul_triples(self, n: int, k: int, m: int) -> tuple[Ring, Ring, Ring]:
        """One matrix triple: each party's a is encrypted for each other, and answered a column of b at a time."""
        a, b = self._random.words(n, k), self._random.words(k, m)
        name = ("triple", self._matrices)
        self._matrices += 1
        c = a @ b
        with self._session.step(STEP, Phase.PREPROCESSING):
            self._adopt_step(encryption=True)
            own = [self._product_with_own(pair, name, a, m) for pair in self.pairs]
            others = [self._product_with_other(pair, name, (n, k), b) for pair in self.pairs]
            for summand in await gather(*own, *others):
                c += summand
        return a, b, c

    async def finish(self) -> None:
        """Nothing to let go of: all parties made all that they drew."""

    # --- preprocessing -------------------------------------------------------------------------------------------

    async def _make_triples(self, units: int) -> list[Ring]:
        a, b = self._random.words(2, 64 * units)
        c = a * b
        with self._session.step(STEP, Phase.PREPROCESSING):
            self._adopt_step(encryption=True)
            for summand in await self._with_each(lambda pair: pair.cross(a, b)):
                c += summand
        return [a, b, c]

    def _maker_of_bit_triples(self, width: int) -> Callable[[int], Awaitable[list[Ring]]]:
        async def make(words: int) -> list[Ring]:
            with self._session.step(STEP, Phase.PREPROCESSING):
                self._adopt_step(encryption=False)
                if len(self.pairs) == 1:
                    return await self._bit_triples_of_two(words, width)
                a, b = self._random.words(words), self._random.words(width, words)
                c = a & b
                for summand in await self._with_each(lambda pair: and_with(pair, a, b)):
                    c ^= summand
            return [a[None], b, c]

        return make

    async def _bit_triples_of_two(self, words: int, width: int) -> list[Ring]:
        """Random transfers are triples as they are: a is what one chose, b by what the other's messages differ."""
        (pair,) = self.pairs
        (zero, one), (a, chosen) = await gather(
            pair.sends.random_bits(64 * words, width), pair.chooses.random_bits(64 * words, width)
        )
        b = zero ^ one
        return [a[None], b, (a & b) ^ zero ^ chosen]

    async def _make_dabits(self, words: int) -> list[Ring]:
        """With b + d - 2bd for the XOR of what is shared so far and the next party's bit."""
        n = 64 * words
        bits = self._random.words(words)
        own = unpack_bits(bits, n)
        ring = own.copy() if self._session.rank == 0 else np.zeros(n, dtype=np.uint64)
        with self._session.step(STEP, Phase.PREPROCESSING):
            self._adopt_step(encryption=False)
            for adding in range(1, self._session.n_parties):
                if self._session.rank == adding:
                    earlier = [pair for pair in self.pairs if pair.peer < adding]
                    products = await gather(*(pair.chooses.correlated(bits, n) for pair in earlier))
                    ring = own - np.uint64(2) * sum(products[1:], start=products[0])
                elif self._session.rank < adding:
                    (pair,) = (pair for pair in self.pairs if pair.peer == adding)
                    ring = ring - np.uint64(2) * await pair.sends.correlated(ring)
        return [bits, ring]

    def _adopt_step(self, *, encryption: bool) -> None:
        """Count what either encryption or transfers do from here on as correlations."""
        for pair in self.pairs:
            pair.adopt_step(self._session, transfers=not encryption, encryption=encryption)

    async def _with_each(self, call: Callable[[Pair], Awaitable[Ring]]) -> list[Ring]:
        return await gather(*(call(pair) for pair in self.pairs))

    async def _product_with_own(self, pair: Pair, name: tuple[str, int], a: Ring, m: int) -> Ring:
        out = np.zeros((a.shape[0], m), dtype=np.uint64)
        for column in range(m):
            out[:, column] = await multiply_own(pair, name, a)
        forget_own(pair, name, a.shape)
        return out

    async def _product_with_other(self, pair: Pair, name: tuple[str, int], shape: tuple[int, int], b: Ring) -> Ring:
        out = np.zeros((shape[0], b.shape[1]), dtype=np.uint64)
        for column in range(b.shape[1]):
            out[:, column] = await multiply_other(pair, name, shape, np.ascontiguousarray(b[:, column]))
        forget_other(pair, name, shape)
        return out


async def and_with(pair: Pair, a: Ring, b: Ring) -> Ring:
    """This party's summand of the cross terms a & d ^ c & b[k], for its bits and the other's (c, d).

    A random transfer (choice r, message m0 ^ r & D) becomes one of a & d: the choosing party tells r ^ a, the sending one
    e = D ^ d, and a & d = (m0 ^ (r ^ a) & D) ^ (m_r ^ a & e).
    """
    words, width = a.size, b.shape[0]
    (zero, one), (chosen, got) = await gather(
        pair.sends.random_bits(64 * words, width), pair.chooses.random_bits(64 * words, width)
    )
    difference = zero ^ one
    their_choice, their_message = await pair.swap(chosen ^ a, difference ^ b)
    summand: Ring = zero ^ (their_choice & difference) ^ got ^ (a & their_message)
    return summand


def tiles(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    """What of a matrix is multiplied at once."""
    return [
        (slice(row, min(row + DEGREE, shape[0])), slice(column, min(column + MAX_TERMS, shape[1])))
        for row in range(0, shape[0], DEGREE)
        for column in range(0, shape[1], MAX_TERMS)
    ]


async def multiply_own(pair: Pair, name: object, matrix: Ring) -> Ring:
    """This party's summand of its ``matrix`` times the other's vector; see ``rlwe.linear``."""
    out = np.zeros(matrix.shape[0], dtype=np.uint64)
    for place, (rows, columns) in enumerate(tiles(matrix.shape)):
        out[rows] += await pair.owns.multiply((name, place), np.ascontiguousarray(matrix[rows, columns]))
    return out


async def multiply_other(pair: Pair, name: object, shape: tuple[int, int], vector: Ring) -> Ring:
    """This party's summand of the other's matrix times its ``vector``."""
    out = np.zeros(shape[0], dtype=np.uint64)
    for place, (rows, columns) in enumerate(tiles(shape)):
        size = rows.stop - rows.start, columns.stop - columns.start
        out[rows] += await pair.serves.multiply((name, place), size, vector[columns])
    return out


def forget_own(pair: Pair, name: object, shape: tuple[int, int]) -> None:
    """The matrix is not used again."""
    for place in range(len(tiles(shape))):
        pair.owns.forget((name, place))


def forget_other(pair: Pair, name: object, shape: tuple[int, int]) -> None:
    """The same at the other end."""
    for place in range(len(tiles(shape))):
        pair.serves.forget((name, place))
