"""Every engine in one process: ``ENGINES[name](protocol)`` runs a protocol at all parties but a dealer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hansa.protocols.mpc.additive.dealer.correlations import DealerCorrelations
from hansa.protocols.mpc.additive.dealer.dealer import serve
from hansa.protocols.mpc.additive.dealer.engine import DealerEngine
from hansa.protocols.mpc.additive.dealerless.correlations import PairwiseCorrelations
from hansa.protocols.mpc.additive.dealerless.engine import DealerlessEngine
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.memory import parties, run_parties
from hansa.protocols.mpc.session.session import Session

FRAC_BITS = 18
Protocol = Callable[[Any], Awaitable[Any]]
Run = Callable[..., Awaitable[list[Any]]]
"""``await run(protocol, **options of parties)``: each computing party's result, in rank order."""


def replicated(n_parties: int = 3) -> Run:
    """The replicated engine."""

    async def run(protocol: Protocol, **options: Any) -> list[Any]:
        async def party(session: Session) -> Any:
            return await protocol(await ReplicatedEngine.start(session, FRAC_BITS))

        async with parties(n_parties, **options) as sessions:
            return await run_parties(sessions, party)

    return run


async def dealt_party(session: Session, protocol: Protocol) -> Any:
    """What each rank of a session does whose last rank is the dealer."""
    dealer = session.n_parties - 1
    if session.rank == dealer:
        await serve(session)
        return None
    correlations = await DealerCorrelations.start(session)
    engine = await DealerEngine.start(session.subgroup(range(dealer)), correlations, FRAC_BITS)
    result = await protocol(engine)
    await correlations.finish()
    return result


def additive_dealt(n_parties: int = 2) -> Run:
    """The additive engine among ``n_parties``, and a dealer."""

    async def run(protocol: Protocol, **options: Any) -> list[Any]:
        async with parties(n_parties + 1, **options) as sessions:
            return (await run_parties(sessions, lambda session: dealt_party(session, protocol)))[:-1]

    return run


def additive_direct(n_parties: int = 2, ot: str = "softspoken") -> Run:
    """The additive engine among ``n_parties`` without a dealer, its transfers from a source that is named."""

    async def run(protocol: Protocol, **options: Any) -> list[Any]:
        async def party(session: Session) -> Any:
            return await protocol(
                await DealerlessEngine.start(session, await PairwiseCorrelations.start(session, ot=ot), FRAC_BITS)
            )

        async with parties(n_parties, **options) as sessions:
            return await run_parties(sessions, party)

    return run


def with_input_parties(n_parties: int = 4) -> Run:
    """The replicated engine of ranks 0, 1 and the last; all others are input parties, whose shares are zeros."""

    async def run(protocol: Protocol, **options: Any) -> list[Any]:
        async def party(session: Session) -> Any:
            three = (0, 1, n_parties - 1)
            async with open_engine(
                session, "replicated", parties=n_parties, computing=three, frac_bits=FRAC_BITS
            ) as engine:
                return await protocol(engine)

        async with parties(n_parties, **options) as sessions:
            return await run_parties(sessions, party)

    return run


ENGINES: Mapping[str, Run] = {
    "replicated": replicated(),
    "replicated with an input party": with_input_parties(),
    "additive, dealer, 2": additive_dealt(2),
    "additive, dealer, 4": additive_dealt(4),
    "additive, 2": additive_direct(2),
    "additive, 3": additive_direct(3),
}
"""What tests/protocols/mpc/conformance holds to one suite."""
