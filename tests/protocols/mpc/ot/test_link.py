"""The choice of a source: what a link's figures lead to, that both take the same, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hansa.protocols.errors import DesyncError, PeerMisbehaved, ProtocolError
from hansa.protocols.mpc.ot import link
from hansa.protocols.mpc.ot.link import COSTS, OtSource, agree_on_source, best_source, measure_bandwidth
from hansa.protocols.mpc.session.memory import parties, run_parties

SILENT, SOFTSPOKEN = OtSource(silent=True), OtSource(silent=False)


@pytest.mark.parametrize(
    ("bytes_per_s", "source"),
    [
        (1.25e5, SILENT),
        (1.25e7, SILENT),  # 100 Mbit/s
        (2.5e7, SILENT),
        (3.5e7, OtSource(silent=False, w=6)),
        (2e8, SOFTSPOKEN),
        (1e9, SOFTSPOKEN),  # a loopback
        (math.inf, SOFTSPOKEN),
    ],
)
def test_slow_links_get_the_silent_source(bytes_per_s: float, source: OtSource) -> None:
    assert best_source(bytes_per_s) == source


def test_bytes_of_the_model_are_those_of_the_protocols() -> None:
    """Of a comparison, a party: 8 tables, 8 choices' corrections, 15 random OTs', 41 opened bits."""
    for source, cost in COSTS.items():
        trees, code_trees = -(-128 // source.w), 15 * -(-16 // source.w)
        corrections = (8 * 4 / 8 + 47 * 0.093) if source.silent else code_trees + 15 * (trees - 1) / 8
        assert cost.bytes_sent == pytest.approx((8 * 4 + corrections + 41 / 8) * 1e6, rel=0.02)


@pytest.mark.parametrize(("rate", "name"), [(1e6, "silent"), (1e9, "softspoken-4")])
async def test_both_take_what_the_lower_rank_measured(rate: float, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(pair: Any) -> float:
        return rate if pair.rank == 0 else 1e15 / rate

    monkeypatch.setattr(link, "measure_bandwidth", found)
    async with parties(2) as sessions:
        assert [str(source) for source in await run_parties(sessions, agree_on_source)] == [name, name]


async def test_a_link_is_measured() -> None:
    async with parties(2) as sessions:

        async def party(session: Any) -> Any:
            before = session.transcript.bytes_sent
            return await measure_bandwidth(session), session.transcript.bytes_sent - before

        (low, sent), (high, sent_back) = await run_parties(sessions, party)
    assert low == high > 1e6
    assert sent == sent_back == 655_368


async def test_a_choice_that_there_is_not() -> None:
    async def party(session: Any) -> None:
        if session.rank == 0:
            await session.check_public("source of transfers", "auto")
            await measure_bandwidth(session)
            await session.send(1, np.array([len(COSTS)], dtype=np.uint8))
            await session.recv(1, np.uint8, 1)
        await agree_on_source(session)

    async with parties(2) as sessions:
        with pytest.raises(PeerMisbehaved, match="party 0 chose a source of transfers that there is not"):
            await run_parties(sessions, party)


async def test_parties_must_be_told_the_same() -> None:
    async with parties(2) as sessions:
        with pytest.raises(DesyncError, match="another source of transfers"):
            await run_parties(sessions, lambda s: agree_on_source(s, ("silent", "softspoken")[s.rank]))


async def test_a_source_that_there_is_not() -> None:
    async with parties(2) as sessions:
        with pytest.raises(ProtocolError, match="no source of transfers 'loud'"):
            await run_parties(sessions, lambda s: agree_on_source(s, "loud"))
