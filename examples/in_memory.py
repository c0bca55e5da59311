"""Three parties in one process: the protocols from Python, without daemons.

python examples/in_memory.py
"""

from __future__ import annotations

import numpy as np
import trio

from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.memory import parties, run_parties
from hansa.protocols.mpc.session.session import Session

FRAC_BITS = 18


async def protocol(session: Session) -> None:
    """The same text runs at every party; only who gives an input differs."""
    engine = await ReplicatedEngine.start(session, FRAC_BITS)
    incomes = np.array([1.5, -2.0, 0.25, 4.0])
    debts = np.array([2.0, 1.0, 0.5, -1.0])
    x = await engine.input(0, encode(incomes, FRAC_BITS) if session.rank == 0 else None, (4,))
    y = await engine.input(1, encode(debts, FRAC_BITS) if session.rank == 1 else None, (4,))

    product = await engine.truncate(await engine.mul(x, y), FRAC_BITS)
    smaller = await engine.b2a(await engine.less(x, y))
    risk = await engine.sigmoid(x - y, FRAC_BITS)
    opened = await engine.open(product, smaller, risk, what="example")

    if session.rank == 0:
        print("x * y       ", decode(opened[0], FRAC_BITS))
        print("x < y       ", opened[1])
        print("sigmoid(x-y)", decode(opened[2], FRAC_BITS).round(4))
        print(f"party 0: {session.transcript.rounds} rounds, {session.transcript.bytes_sent} bytes sent")


async def main() -> None:
    """Run it."""
    async with parties(3) as sessions:
        await run_parties(sessions, protocol)


if __name__ == "__main__":
    trio.run(main)
