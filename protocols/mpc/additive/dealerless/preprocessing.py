"""Making correlations ahead of time: parcel after parcel, so that memory does not grow with how much is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from hansa.protocols.mpc.additive.dealerless.correlations import PairwiseCorrelations
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS
from hansa.protocols.mpc.additive.stored.store import to_bytes
from hansa.protocols.mpc.session.session import Session

Put = Callable[[str, int, bytes], Awaitable[None]]


async def make_parcels(session: Session, counts: Mapping[str, int], put: Put, made: Callable[[int], None]) -> None:
    """Make so many parcels of each ware among all parties, and put each away: ``put(ware, place, summands)``.

    All parties call it with the same counts; ``made`` is told how many are done. Costs: as ``PairwiseCorrelations`` for
    each parcel.
    """
    pairwise = await PairwiseCorrelations.start(session)
    done = 0
    for ware, kind in STORED_KINDS.items():
        for place in range(counts.get(ware, 0)):
            await put(ware, place, to_bytes(await pairwise.makers[ware](kind.units)))
            done += 1
            made(done)
    await pairwise.finish()
