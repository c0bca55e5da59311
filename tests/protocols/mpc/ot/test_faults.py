"""A bad message at any point of the set-up ends the work at both parties with an error of ours, or does no harm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio

from hansa.config.errors import HansaError
from hansa.protocols.errors import DesyncError, PeerLost, PeerMisbehaved
from hansa.protocols.mpc.ot import start_pair
from hansa.protocols.mpc.session.memory import network, outcomes_of_parties, parties

N = 2048
SETUP_MESSAGES = range(2, 11)
"""Messages of one party after the session's own and the check of ``w``."""


class Faulty:
    """A link whose ``k``-th message is tampered with."""

    def __init__(self, link: Any, k: int, fault: str) -> None:
        self._link, self._left, self._fault = link, k, fault

    async def send(self, *parts: Any) -> None:
        message = bytearray().join(parts)
        self._left -= 1
        if self._left == -1:
            match self._fault:
                case "bit":
                    message[24 + (len(message) - 24) // 3] ^= 4
                case "shorter":  # an honest frame of fewer bytes
                    message = message[:24] + message[32:]
                    message[16:24] = (int.from_bytes(message[16:24], "little") - 8).to_bytes(8, "little")
                case "kill":
                    await self._link.aclose()
                    raise OSError("the cable was cut")
        await self._link.send(message)

    async def receive(self) -> memoryview:
        return await self._link.receive()

    async def aclose(self) -> None:
        await self._link.aclose()


async def outcomes(sender_of_fault: int, k: int, fault: str) -> list[Any]:
    """Set up, then one batch in each direction; what each party ends with."""
    ends: list[dict[int, Any]] = [dict(links) for links in network(2)]
    ends[sender_of_fault][1 - sender_of_fault] = Faulty(ends[sender_of_fault][1 - sender_of_fault], k, fault)
    found: list[Any] = []

    async def party(session: Any) -> Any:
        with session.step("setup"):
            sender, receiver = await start_pair(session, 1 - session.rank)
        results: dict[str, Any] = {}

        async def keep(name: str, work: Any) -> None:
            results[name] = await work

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep, "sent", sender.random_bits(N, 2))
            nursery.start_soon(keep, "received", receiver.random_bits(N, 2))
        return results

    with trio.fail_after(10):
        try:
            async with parties(2, links=ends) as sessions:
                found.extend(await outcomes_of_parties(sessions, party))
        except HansaError:
            assert len(found) in (0, 2)
    return found


def right(outcome: list[Any]) -> bool:
    for rank in range(2):
        zero, one = outcome[rank]["sent"]
        choices, got = outcome[1 - rank]["received"]
        if not np.array_equal((zero & ~choices) | (one & choices), got):
            return False
    return True


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("fault", ["shorter", "kill"])
@pytest.mark.parametrize("k", [2, 4, 5, 9])
async def test_a_broken_message_ends_the_work_at_both(k: int, fault: str, rank: int) -> None:
    found = await outcomes(rank, k, fault)
    assert len(found) == 2
    assert all(isinstance(outcome, HansaError) for outcome in found)
    assert any(isinstance(outcome, DesyncError if fault == "shorter" else PeerLost) for outcome in found)


@pytest.mark.parametrize("rank", [0, 1])
async def test_a_changed_bit_of_the_set_up_is_found_or_harmless(rank: int) -> None:
    found_errors = 0
    for k in SETUP_MESSAGES:
        found = await outcomes(rank, k, "bit")
        failed = [outcome for outcome in found if isinstance(outcome, Exception)]
        assert failed or right(found)
        for error in failed:
            assert isinstance(error, HansaError)
            assert error.fields.get("step") in ("setup", None)
        found_errors += bool(failed)
    assert found_errors >= 1


async def test_a_set_up_that_does_not_work_names_the_peer() -> None:
    """All of the trees' message of rank 1 changed: every leaf that rank 0 computes is wrong."""

    class Scrambling(Faulty):
        async def send(self, *parts: Any) -> None:
            message = bytearray().join(parts)
            if self._left == 0:
                message[24 : 24 + 4096] = bytes(4096)
            self._left -= 1
            await self._link.send(message)

    async def party(session: Any) -> None:
        with session.step("setup"):
            await start_pair(session, 1 - session.rank)

    ends: list[dict[int, Any]] = [dict(links) for links in network(2)]
    ends[1][0] = Scrambling(ends[1][0], 3, "")
    found: list[Any] = []
    with pytest.raises(PeerMisbehaved, match=r"transfers set up with party \d do not work, step setup"):
        await _set_up(ends, party, found)
    named = [error.fields["peer"] for error in found if isinstance(error, PeerMisbehaved)]
    assert named
    assert len(found) == 2


async def _set_up(ends: Any, party: Any, found: list[Any]) -> None:
    async with parties(2, links=ends) as sessions:
        found.extend(await outcomes_of_parties(sessions, party))
        raise next(error for error in found if isinstance(error, PeerMisbehaved))
