"""The dealer's side: a party that holds no data, is shown no opened value, and answers requests for correlations.

    parties 0 .. N-1 (computing)  --32-byte seed each-->  dealer (the last rank)
    party N-1  --(kind, units, parameters)-->  dealer  --its summands of the dependent parts-->  party N-1

It learns which correlations are used, how many and when: that is what the contract's public terms say anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
import trio

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.additive.correlations import STEP
from hansa.protocols.mpc.additive.dealer.specs import CorrelationSpec, DealerRequest, allowed, matmul_spec, spec_of
from hansa.protocols.mpc.kernels.ring import matvec, matvec_transposed
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.session.transcript import Phase

FORK: Final = "dealer"
SEED: Final = 32
REQUEST: Final = 5
"""Words of a request: the kind and four parameters."""
MAX_WORDS: Final = 1 << 22
"""Words of all parts of one request that the dealer takes (32 MiB a party)."""
MAX_PADS: Final = 4096
MAX_PAD_COLUMNS: Final = 1 << 20
MAX_PAD_ROWS: Final = 1 << 32
MAX_VECTOR: Final = 1 << 25
"""Rows and columns together of one product with a pad."""
MAX_PRODUCT: Final = 1 << 32
"""Words of a pad that one product expands: some seconds of work."""
_BLOCK_WORDS: Final = 1 << 17


def stream_of(seed: bytes, context: bytes, number: int, at: int = 0) -> Keystream:
    """The stream that a seed's holders expand for request ``number`` of a job."""
    return Keystream(seed, context + b"/dealt/" + number.to_bytes(8, "little"), at)


@dataclass(frozen=True, slots=True)
class _Pad:
    owner: int
    number: int
    rows: int
    columns: int


def _check(honest: bool) -> None:
    """Raise ``ValueError`` unless an honest party could ask so."""
    if not honest:
        raise ValueError("no honest party asks this")


class CorrelationDealer:
    """Answers requests; ``await serve(session)`` runs one in a process of its own."""

    def __init__(self, seeds: Sequence[bytes], context: bytes) -> None:
        self._seeds = list(seeds)
        self._context = context
        self._pads: list[_Pad] = []

    def answer(self, number: int, request: Ring) -> Ring | None:
        """The last party's summands of the dependent parts of request ``number`` (None: nothing is to be sent).

        Raises ``ValueError`` where no honest party would ask so, before anything is allocated.
        """
        word, first, second, third, fourth = (int(word) for word in request)
        _check(word in set(DealerRequest))
        kind = DealerRequest(word)
        match kind:
            case DealerRequest.PAD:
                self._register(number, first, second, third, fourth)
                return None
            case DealerRequest.PAD_PRODUCT:
                return self._product(number, first, second, third, fourth)
            case DealerRequest.MATMUL:
                extents = first, second, third
                _check(not fourth and min(extents) > 0 and max(extents) <= MAX_WORDS)
                return self._derive(number, matmul_spec(first, second, third))
            case _:
                _check(not third and not fourth and allowed(kind, second) and 0 < first <= MAX_WORDS)
                return self._derive(number, spec_of(kind, first, second))

    def _derive(self, number: int, asked: CorrelationSpec) -> Ring:
        _check(sum(part.size for part in asked.parts) <= MAX_WORDS)
        streams = [stream_of(seed, self._context, number) for seed in self._seeds]
        free = [
            reduce(np.bitwise_xor if part.xor else np.add, [stream.words(*part.shape) for stream in streams])
            for part in asked.free
        ]
        out = np.empty(asked.correction, dtype=np.uint64)
        at = 0
        for part, values in zip(asked.dependent, asked.derive(*free), strict=True):
            place = out[at : at + part.size].reshape(part.shape)
            place[...] = values
            for stream in streams[:-1]:
                (np.bitwise_xor if part.xor else np.subtract)(place, stream.words(*part.shape), out=place)
            at += part.size
        return out

    def _register(self, number: int, owner: int, rows: int, columns: int, unused: int) -> None:
        _check(not unused and owner < len(self._seeds) and len(self._pads) < MAX_PADS)
        _check(rows <= MAX_PAD_ROWS and columns <= MAX_PAD_COLUMNS)
        self._pads.append(_Pad(owner, number, rows, columns))

    def _product(self, number: int, place: int, start: int, stop: int, transposed: int) -> Ring:
        _check(place < len(self._pads) and transposed in (0, 1))
        pad = self._pads[place]
        count = stop - start
        _check(0 <= start <= stop <= pad.rows)
        _check(count + pad.columns <= MAX_VECTOR and count * pad.columns <= MAX_PRODUCT)
        size, results = (count, pad.columns) if transposed else (pad.columns, count)
        streams = [stream_of(seed, self._context, number) for seed in self._seeds]
        b = np.zeros(size, dtype=np.uint64)
        for rank, stream in enumerate(streams):
            if rank != pad.owner:
                b += stream.words(size)
        out = self._times(pad, start, stop, b, transposed=bool(transposed))
        for stream in streams[:-1]:
            out -= stream.words(results)
        return out

    def _times(self, pad: _Pad, start: int, stop: int, b: Ring, *, transposed: bool) -> Ring:
        """pad[start:stop] @ b or its transpose's, expanding a few rows of the pad at a time."""
        step = max(1, _BLOCK_WORDS // max(pad.columns, 1))
        rows = stream_of(self._seeds[pad.owner], self._context, pad.number, start * pad.columns)
        out = np.zeros(pad.columns if transposed else stop - start, dtype=np.uint64)
        for low in range(0, stop - start, step):
            high = min(low + step, stop - start)
            block = rows.words(high - low, pad.columns)
            if transposed:
                out += matvec_transposed(block, b[low:high])
            else:
                out[low:high] = matvec(block, b)
        return out


async def serve(session: Session) -> None:
    """Deal to the other parties of the session, of which this is the last, until they say that they need no more.

    Raises ``PeerMisbehaved`` for a request that no honest party makes.
    """
    link = session.fork(FORK)
    last = session.rank - 1
    with link.step(STEP, Phase.PREPROCESSING):
        seeds = [(await link.recv(rank, np.uint8, SEED)).tobytes() for rank in range(session.rank)]
        dealer = CorrelationDealer(seeds, session.context)
        number = 0
        while True:
            request = await link.recv(last, np.uint64, REQUEST)
            if request[0] == DealerRequest.FINISH:
                return
            try:
                answer = await trio.to_thread.run_sync(dealer.answer, number, request)
            except ValueError:
                raise PeerMisbehaved(
                    f"party {last} asked the dealer for {request.tolist()}, which is beyond its bounds, step {STEP}",
                    remedy="check that all parties run the same version of hansa (`hansa --version`)",
                    peer=last,
                    step=STEP,
                ) from None
            if answer is not None:
                await link.send(last, answer)
            number += 1
