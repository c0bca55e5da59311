"""Open the engine that a contract names, at one party: the one place that knows all engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hansa.protocols.mpc.additive.dealer.correlations import DealerCorrelations
from hansa.protocols.mpc.additive.dealer.engine import DealerEngine
from hansa.protocols.mpc.additive.dealerless.correlations import PairwiseCorrelations
from hansa.protocols.mpc.additive.dealerless.engine import DealerlessEngine
from hansa.protocols.mpc.additive.stored.store import ParcelStore
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.ot.link import AUTO
from hansa.protocols.mpc.replicated.computing_party import ComputingPartyEngine
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.replicated.input_party import InputPartyEngine
from hansa.protocols.mpc.session.session import Session


@asynccontextmanager
async def open_engine(
    session: Session,
    name: str,
    *,
    parties: int,
    computing: Sequence[int],
    frac_bits: int,
    store: ParcelStore | None = None,
    ot: str = AUTO,
) -> AsyncIterator[Engine]:
    """The engine ``name`` among the first ``parties`` ranks of the session; a rank after them is the dealer.

    ``computing``: the ranks that compute where not all parties do, else empty. ``store``: what these parties made ahead for
    the engine without a dealer; all have one, or none. ``ot``: that engine's source of transfers (``ot.link``).
    When the block ends well, the source of correlations is told that no more are needed.
    """
    dealt = session.n_parties > parties
    institutions = session.subgroup(range(parties)) if dealt else session
    if name == "replicated":
        if not computing:
            yield await ReplicatedEngine.start(institutions, frac_bits)
        elif session.rank in computing:
            yield await ComputingPartyEngine.start(institutions, computing, frac_bits)
        else:
            yield await InputPartyEngine.start(institutions, computing, frac_bits)
        return
    if not dealt:
        yield await DealerlessEngine.start(session, await PairwiseCorrelations.start(session, store, ot=ot), frac_bits)
        return
    correlations = await DealerCorrelations.start(session)
    yield await DealerEngine.start(institutions, correlations, frac_bits)
    await correlations.finish()
