"""Without a dealer, too, a bad message at any point ends the work at every party with an error of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio
from support.additive import Faulty, protocol

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.additive.dealerless.correlations import PairwiseCorrelations
from hansa.protocols.mpc.additive.dealerless.engine import DealerlessEngine
from hansa.protocols.mpc.session.memory import network, outcomes_of_parties, parties
from hansa.protocols.mpc.session.session import Session

MESSAGES = 48
"""About as many as a party sends in ``protocol``."""


async def member(session: Session) -> Any:
    return await protocol(
        await DealerlessEngine.start(session, await PairwiseCorrelations.start(session, ot="softspoken"), 18)
    )


async def outcomes_with(links: Any) -> list[Any]:
    try:
        async with parties(2, links=links) as sessions:
            with trio.fail_after(60):
                return await outcomes_of_parties(sessions, member)
    except HansaError as error:
        return [error] * 2  # it ended before the session had begun, or after the work was done


@pytest.mark.parametrize("fault", ["truncate", "repeat", "garbage", "kill"])
@pytest.mark.parametrize(
    "places", [(21, 33), pytest.param(range(0, MESSAGES, 5), marks=pytest.mark.slow)], ids=["few", "all"]
)
@pytest.mark.parametrize("sender", [0, pytest.param(1, marks=pytest.mark.slow)])
async def test_no_fault_hangs_or_passes(fault: str, sender: int, places: Any) -> None:
    ended = 0
    for k in places:
        links: Any = network(2)
        links[sender][1 - sender] = Faulty(links[sender][1 - sender], k, fault)
        outcomes = await outcomes_with(links)
        wrong = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert all(isinstance(outcome, HansaError) for outcome in wrong)
        ended += bool(wrong)
        for outcome in outcomes:
            if not isinstance(outcome, Exception):
                np.testing.assert_array_equal(outcome, [0, 0])
    assert ended >= len(places) // 2


class Residues:
    """A link whose largest message, ciphertexts, has all its last residues beyond their prime."""

    def __init__(self, link: Any) -> None:
        self._link = link

    async def send(self, *parts: Any) -> None:
        message = bytearray().join(parts)
        if len(message) > 500_000:
            message[-4096 - 64 : -64] = b"\xff" * 4096
        await self._link.send(message)

    async def receive(self) -> memoryview:
        return await self._link.receive()

    async def aclose(self) -> None:
        await self._link.aclose()


async def test_a_ciphertext_out_of_range_is_named() -> None:
    links: Any = network(2)
    links[0][1] = Residues(links[0][1])
    outcomes = await outcomes_with(links)
    assert isinstance(outcomes[1], PeerMisbehaved)
    assert outcomes[1].fields["peer"] == 0
