"""Two parties' protocols on silent transfers: the same results, and the bytes that docs/protocols.md says."""

from __future__ import annotations

from typing import Any

import numpy as np
from support.additive import spent
from support.engines import additive_direct

from hansa.protocols.mpc.additive.dealerless.engine import DealerlessEngine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.session.transcript import Phase

N = 3000


async def test_everything_that_transfers_make() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-20, 20, N), rng.uniform(-20, 20, N)

    async def protocol(e: DealerlessEngine) -> Any:
        assert e.pair.source.silent
        a = await e.input(0, encode(x, 18) if e.rank == 0 else None, (N,))
        b = await e.input(1, encode(y, 18) if e.rank == 1 else None, (N,))
        less = await e.less(a, b)
        found = [await e.b2a(less), await e.mux(less, a, b), await e.truncate(a, 4), await e.sigmoid(a, 18)]
        return await e.open(*found, what="test"), e.session.transcript.sources

    for rank, (found, sources) in enumerate(await additive_direct(2, "silent")(protocol)):
        less, smaller, shifted, sigmoid = found
        assert np.array_equal(less, (x < y).astype(np.uint64))
        assert np.abs(decode(smaller, 18) - np.minimum(x, y)).max() < 2**-16
        assert np.abs(decode(shifted, 18) - x / 16).max() < 2**-16
        assert np.abs(decode(sigmoid, 18) - 1 / (1 + np.exp(-x))).max() < 2**-8
        assert sources == {1 - rank: "silent"}


async def test_bytes_of_comparisons() -> None:
    """Half of the elements each way: 16 tables of 4 bytes and 4 bits of corrections, 41 opened planes, and trees' messages."""
    n, words, chunk = 32_768, 512, 16 * 11 * 32

    async def protocol(e: DealerlessEngine) -> Any:
        before = [spent(e.session.transcript, kind)[1] for kind in Phase]
        await e.msb(e.public(np.zeros(n, dtype=np.uint64)))
        after = [spent(e.session.transcript, kind)[1] for kind in Phase]
        return dict(zip(Phase, (b - a for a, b in zip(before, after, strict=True)), strict=True))

    for found in await additive_direct(2, "silent")(protocol):
        # 4·16 rows an element of half of them, after 2,560 rows for the trial: 16 chunks; 15 rows of each in stock or new
        assert found[Phase.ONLINE] - (16 * n // 2 * 4 + 16 * n // 2 * 4 // 8 + 8 * 41 * words) == 16 * chunk
        assert found[Phase.PREPROCESSING] % chunk == 0
        assert found[Phase.PREPROCESSING] <= 8 * chunk
