"""Parties in one process, run to their end: how a notebook tries a protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, TypeVar, overload

import trio

from hansa.config.vocabulary import COMPUTING_PARTIES, FRAC_BITS, LEAST_PARTIES
from hansa.node.errors import UsageError
from hansa.protocols.mpc.additive.dealer.dealer import serve
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.session import memory
from hansa.protocols.mpc.session.session import Session

T = TypeVar("T")
EngineName = Literal["additive", "dealer", "replicated"]
_CONTRACT_NAME = {"additive": "additive", "dealer": "additive", "replicated": "replicated"}


@overload
def run_parties(
    n: int, protocol: Callable[[Engine], Awaitable[T]], *, engine: EngineName = ..., frac_bits: int = ...
) -> list[T]: ...
@overload
def run_parties(n: int, protocol: Callable[[Session], Awaitable[T]], *, engine: None) -> list[T]: ...
def run_parties(
    n: int,
    protocol: Callable[..., Awaitable[T]],
    *,
    engine: EngineName | None = "additive",
    frac_bits: int = FRAC_BITS,
) -> list[T]:
    """Run ``protocol`` at ``n`` parties in this process, over a network in memory; their results, in rank order.

    Each party calls ``protocol`` with an engine of its own. ``engine`` says which: ``additive`` (2 parties or more, no
    dealer), ``dealer`` (the same with a dealer, which is one more party and has no result), ``replicated`` (3 parties
    compute, further ones are input parties). With ``engine=None`` the protocol gets the party's ``Session``.
    ``frac_bits`` is the engine's number of fraction bits.

    The call blocks until all parties are done. It starts a trio loop of its own, so it works where an asyncio loop is
    running (Jupyter), and not inside trio.

    Raises ``UsageError`` for an unknown engine or too few parties. If a party fails, the others stop, and the call
    raises that party's error.
    """
    if engine is not None and engine not in _CONTRACT_NAME:
        raise UsageError(f"there is no engine {engine!r}", remedy=f"choose one of {', '.join(_CONTRACT_NAME)}")
    least = 2 if engine is None else LEAST_PARTIES[_CONTRACT_NAME[engine]]
    if n < least:
        raise UsageError(f"{n} parties are too few", remedy=f"run {least} parties or more")
    return trio.run(partial(_run, n, protocol, engine, frac_bits))


async def _run(n: int, protocol: Callable[..., Awaitable[T]], engine: EngineName | None, frac_bits: int) -> list[T]:
    results: dict[int, T] = {}
    most = COMPUTING_PARTIES.get(engine or "", n)
    computing = range(most) if n > most else ()

    async def party(session: Session) -> None:
        if session.rank == n:
            await serve(session)
        elif engine is None:
            results[session.rank] = await protocol(session)
        else:
            name = _CONTRACT_NAME[engine]
            async with open_engine(session, name, parties=n, computing=computing, frac_bits=frac_bits) as opened:
                results[session.rank] = await protocol(opened)

    async with memory.parties(n + (engine == "dealer")) as sessions:
        await memory.run_parties(sessions, party)
    return [results[rank] for rank in range(n)]
