"""What parties receive while operators run is uniform, whatever the inputs; and an engine that forgets a mask is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.engines import FRAC_BITS, Run, additive_dealt, replicated
from support.statistics import chi_square
from support.taps import Tap

from hansa.protocols.mpc import operators as op
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.replicated.bits import and_bits
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.memory import network
from hansa.protocols.mpc.shares import BitShare

SIZE = 1024
UNIFORM = 500.0
"""The statistic has mean 255 and deviation 22.6 on uniform bytes."""
OPERATORS: dict[str, Any] = {
    "a2b": lambda e, x: e.a2b(x, 64),
    "divide": lambda e, x: op.divide(e, x, x),
    "exp": op.exp,
    "sort": lambda e, x: op.sort(e, x[:256], x[256:512]),
}


async def heard_by_each(run: Run, parties: int, protocol: Callable[[Any], Any]) -> list[bytes]:
    heard: list[list[bytes]] = [[] for _ in range(parties)]
    links = network(parties)
    ends = [{peer: Tap(link, heard[rank]) for peer, link in links[rank].items()} for rank in range(parties)]
    await run(protocol, links=ends)
    # below 300 bytes are hashes and keys; 24 bytes of header, and a label behind the payload
    return [
        b"".join(message[24 : 24 + _size(message)] for message in messages if _size(message) > 300)
        for messages in heard
    ]


def _size(message: bytes) -> int:
    return int.from_bytes(message[16:24], "little")


@pytest.mark.parametrize("name", list(OPERATORS))
@pytest.mark.parametrize("value", [0, 1 << FRAC_BITS])
@pytest.mark.parametrize(("run", "parties"), [(replicated(), 3), (additive_dealt(2), 3)], ids=["replicated", "dealt"])
async def test_views_are_uniform(run: Run, parties: int, name: str, value: int) -> None:
    async def protocol(e: Engine) -> None:
        values = np.full(SIZE, value, dtype=np.uint64)
        await OPERATORS[name](e, await e.input(0, values if e.session.rank == 0 else None, (SIZE,)))

    views = await heard_by_each(run, parties, protocol)
    assert sum(map(len, views)) > 100_000
    for view in views:
        assert chi_square(view) < UNIFORM if view else True


class InsecureMasklessEngine(ReplicatedEngine):
    """What the test must catch: ANDs are sent without a mask."""

    async def and_bits(self, x: BitShare, y: BitShare) -> BitShare:
        class Unmasked:
            def words(self, *shape: int) -> Any:
                return np.zeros(shape, dtype=np.uint64)

        own, following = self.key_own, self.key_next
        self.key_own = self.key_next = Unmasked()  # type: ignore[assignment]
        try:
            return await and_bits(self, x, y)
        finally:
            self.key_own, self.key_next = own, following


async def test_an_engine_that_forgets_a_mask_is_caught() -> None:
    async def protocol(e: ReplicatedEngine) -> None:
        leaky = InsecureMasklessEngine(e.session, e.frac_bits, e.key_own, e.key_next)
        zero = leaky.public_bits(np.zeros((8, SIZE), dtype=np.uint64), 64 * SIZE)
        await leaky.and_bits(zero, zero)

    views = await heard_by_each(replicated(), 3, protocol)
    assert max(chi_square(view) for view in views) > UNIFORM
