"""A bad message at any point, of a party or of the dealer, ends the work at every party with an error of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio
from support.additive import Faulty, protocol
from support.engines import dealt_party

from hansa.config.errors import HansaError
from hansa.protocols.mpc.session.links import Link
from hansa.protocols.mpc.session.memory import network, outcomes_of_parties, parties

LINKS = {"party to party": (0, 1), "party to last": (0, 2), "last to dealer": (2, 3), "dealer to last": (3, 2)}


@pytest.mark.parametrize("fault", ["truncate", "repeat", "garbage", "kill"])
@pytest.mark.parametrize("between", list(LINKS))
async def test_no_fault_hangs_or_passes(fault: str, between: str, autojump_clock: Any) -> None:
    autojump_clock.autojump_threshold = 0.02  # the dealer's threads are real
    sender, receiver = LINKS[between]
    ended = 0
    for k in range(0, 16, 2):
        links: list[dict[int, Link]] = network(4)
        links[sender][receiver] = Faulty(links[sender][receiver], k, fault)
        try:
            async with parties(4, links=links) as sessions:
                with trio.fail_after(600):
                    outcomes: list[Any] = await outcomes_of_parties(sessions, lambda s: dealt_party(s, protocol))
        except HansaError as error:
            outcomes = [error] * 4  # it ended before the session had begun, or after the work was done
        wrong = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert all(isinstance(outcome, HansaError) for outcome in wrong)
        ended += bool(wrong)
        for outcome in outcomes[:3]:
            if not isinstance(outcome, Exception):
                np.testing.assert_array_equal(outcome, [0, 0])
    assert ended >= 3
