"""Preprocessing ahead of a job: correlations are made parcel after parcel, so memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from hansa.protocols.mpc.additive.dealerless.correlations import PairwiseCorrelations
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS
from hansa.protocols.mpc.additive.stored.store import to_bytes
from hansa.protocols.mpc.session.session import Session

Put = Callable[[str, int, bytes], Awaitable[None]]


async def make_parcels(session: Session, counts: Mapping[str, int], put: Put, made: Callable[[int], None]) -> None:
    """Make so many parcels of each kind among all parties, and put each away: ``put(kind, place, summands)``.

    All parties call it with the same counts; ``made`` is told how many are done. Costs: as ``PairwiseCorrelations`` for
    each parcel.
    """
    pairwise = await PairwiseCorrelations.start(session)
    done = 0
    for kind, stored in STORED_KINDS.items():
        for place in range(counts.get(kind, 0)):
            await put(kind, place, to_bytes(await pairwise.makers[kind](stored.units)))
            done += 1
            made(done)
    await pairwise.finish()
