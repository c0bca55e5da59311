"""Bytes sent between two parties without a dealer are what the docstrings and docs/protocols.md say."""

from __future__ import annotations

from typing import Any

import numpy as np
from support.additive import bits_of_zero, spent
from support.engines import additive_direct

from hansa.protocols.mpc.additive.dealerless.engine import DealerlessEngine
from hansa.protocols.mpc.session.memory import StreamLink, network
from hansa.protocols.mpc.session.transcript import Phase

N, WORDS = 2048, 32
TREES, CODE_TREES = 32, 60

COSTS = {
    "mul": 16 * N,
    "truncate": N // 2 * 18 // 8 + N // 2 * TREES // 8,
    "msb": 16 * N // 2 * 4 + 16 * N // 2 * CODE_TREES // 8 + 8 * 41 * WORDS,
    "b2a": 8 * WORDS,
    "mux": 8 * N + N * TREES // 8,
    "private_mask": N * TREES // 8,  # by the owner, the first party; 8 an element by the other
}
AHEAD = {
    # the first party's and the other's, the first time; Beaver triples come in whole ciphertexts, and with keys
    "msb": [(TREES - 1) * N // 8 * 15] * 2,
}


async def perform(e: DealerlessEngine, operation: str) -> None:
    x = e.public(np.zeros(N, dtype=np.uint64))
    match operation:
        case "mul":
            await e.mul(x, x)
        case "truncate":
            await e.truncate(x, 18)
        case "msb":
            await e.msb(x)
        case "b2a":
            await e.b2a(bits_of_zero(N))
        case "mux":
            await e.mux(bits_of_zero(N), x, x)
        case "private_mask":
            await e.private_mask((0,), np.zeros((1, N // 2), dtype=np.uint8), x.reshape(1, 2, N // 2))


async def test_bytes_sent() -> None:
    async def protocol(e: DealerlessEngine) -> Any:
        found = {}
        for operation in COSTS:
            before = [spent(e.session.transcript, kind)[1] for kind in Phase]
            await perform(e, operation)
            after = [spent(e.session.transcript, kind)[1] for kind in Phase]
            found[operation] = dict(zip(Phase, (b - a for a, b in zip(before, after, strict=True)), strict=True))
        return found

    results = await additive_direct(2)(protocol)
    for rank, found in enumerate(results):
        expected = COSTS if rank == 0 else COSTS | {"private_mask": 8 * N}
        assert {operation: sent[Phase.ONLINE] for operation, sent in found.items()} == expected
        for operation, ahead in AHEAD.items():
            assert found[operation][Phase.PREPROCESSING] == ahead[rank]
        assert found["truncate"][Phase.PREPROCESSING] == found["mux"][Phase.PREPROCESSING] == 0


async def test_everything_runs_over_links_without_buffers() -> None:
    """Sends that wait for their receiver must not wait for each other."""
    from trio.testing import lockstep_stream_pair

    def pair() -> Any:
        a, b = lockstep_stream_pair()
        return StreamLink(a), StreamLink(b)

    async def protocol(e: DealerlessEngine) -> None:
        for operation in COSTS:
            await perform(e, operation)
        x = e.public(np.zeros(N, dtype=np.uint64))
        await e.sigmoid(x, 36)
        matrix = await e.private_matrix(1, np.ones((N, 3), np.uint64) if e.rank == 1 else None, (N, 3))
        for _ in range(2):
            await e.private_linear_t([matrix], [x], slice(0, N))

    await additive_direct(2)(protocol, links=network(2, pair))
