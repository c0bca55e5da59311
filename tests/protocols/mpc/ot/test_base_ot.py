"""Base OTs: the chosen key and only that; a point outside the group ends the work by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nacl.bindings import crypto_core_ed25519_add, crypto_scalarmult_ed25519_base_noclamp

from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.ot.base_ot import receive_base_ots, send_base_ots
from hansa.protocols.mpc.session.memory import parties, run_parties

GOOD = crypto_scalarmult_ed25519_base_noclamp((7).to_bytes(32, "little"))
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
BAD_POINTS = {
    "neutral": (1).to_bytes(32, "little"),
    "order 8": ORDER_8,
    "with torsion": crypto_core_ed25519_add(GOOD, ORDER_8),
    "not canonical": (2**255 - 19 + 1).to_bytes(32, "little"),
    "off the curve": (2).to_bytes(32, "little"),
    "ones": b"\xff" * 32,
}


async def test_the_receiver_gets_the_keys_it_chose() -> None:
    choices = np.array([False, True, True, False, True])

    async def party(s: Any) -> Any:
        return await (send_base_ots(s, 1, 5) if s.rank == 0 else receive_base_ots(s, 0, choices))

    async with parties(2) as sessions:
        both, chosen = await run_parties(sessions, party)
        assert [s.transcript.rounds for s in sessions] == [2, 2]
        assert [s.transcript.bytes_sent for s in sessions] == [32 + 32, 32 + 32 * 5]
    assert np.array_equal(both[np.arange(5), choices.astype(int)], chosen)
    assert len({key.tobytes() for key in both.reshape(-1, 16)}) == 10


@pytest.mark.parametrize("point", BAD_POINTS.values(), ids=BAD_POINTS.keys())
@pytest.mark.parametrize("cheat", [0, 1], ids=["sender", "receiver"])
async def test_points_outside_the_group_are_refused(point: bytes, cheat: int) -> None:
    bad = np.frombuffer(bytearray(point), dtype=np.uint8)

    async def party(s: Any) -> Any:
        with s.step("setup"):
            if s.rank == cheat == 0:
                await s.send(1, bad)
            elif s.rank == cheat:
                await s.recv(0, np.uint8, 32)
                await s.send(0, np.concatenate([np.frombuffer(GOOD, dtype=np.uint8), bad]))
            elif s.rank == 0:
                await send_base_ots(s, 1, 2)
            else:
                await receive_base_ots(s, 0, np.ones(2, dtype=np.bool_))

    with pytest.raises(PeerMisbehaved, match=r"point outside the group.*step setup") as caught:
        async with parties(2) as sessions:
            await run_parties(sessions, party)
    assert caught.value.fields["peer"] == cheat
