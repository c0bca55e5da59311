"""Three parties in one process: the protocols from Python, without daemons.

python examples/in_memory.py
"""

from __future__ import annotations

import numpy as np

import hansa

FRAC_BITS = 18


async def protocol(engine: hansa.Engine) -> None:
    """The same text runs at every party; only who gives an input differs."""
    rank = engine.session.rank
    incomes = np.array([1.5, -2.0, 0.25, 4.0])
    debts = np.array([2.0, 1.0, 0.5, -1.0])
    x = await engine.input(0, hansa.encode(incomes, FRAC_BITS) if rank == 0 else None, (4,))
    y = await engine.input(1, hansa.encode(debts, FRAC_BITS) if rank == 1 else None, (4,))

    product = await engine.truncate(await engine.mul(x, y), FRAC_BITS)
    smaller = await engine.b2a(await engine.less(x, y))
    risk = await engine.sigmoid(x - y, FRAC_BITS)
    opened = await engine.open(product, smaller, risk, what="example")

    if rank == 0:
        transcript = engine.session.transcript
        print("x * y       ", hansa.decode(opened[0], FRAC_BITS))
        print("x < y       ", opened[1])
        print("sigmoid(x-y)", hansa.decode(opened[2], FRAC_BITS).round(4))
        print(f"party 0: {transcript.rounds} rounds, {transcript.bytes_sent} bytes sent")


if __name__ == "__main__":
    hansa.run_parties(3, protocol, engine="replicated", frac_bits=FRAC_BITS)
