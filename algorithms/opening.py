"""Opening to whom a contract says: to all, to one party, or to nobody."""

from __future__ import annotations

from collections.abc import Sequence

from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.shares import Ring, Share


async def open_for(e: Engine, to: Sequence[int], shared: Share, *, what: str) -> Ring | None:
    """The values at those who learn them (all parties, or one), None at the others; shape kept."""
    if len(to) == e.session.n_parties:
        return (await e.open(shared, what=what))[0]
    got = await e.open_to(to[0], shared, what=what)
    return None if got is None else got[0]
