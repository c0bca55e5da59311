"""Sessions of some of the parties: ranks counted anew within, the job's ranks in costs, openings and errors."""

from __future__ import annotations

import numpy as np
import pytest

from hansa.protocols.errors import DesyncError, PeerAborted, PeerLost, ProtocolError
from hansa.protocols.mpc.session.memory import network, outcomes_of_parties, parties, run_parties
from hansa.protocols.mpc.session.session import Session


async def exchange_ranks(s: Session) -> list[int]:
    mine = np.array([10 * s.rank], np.uint64)
    got = await s.exchange({peer: [mine] for peer in s.peers}, dict.fromkeys(s.peers, [1]))
    return [int(got[peer][0][0]) for peer in s.peers]


async def test_two_of_four_work_alone_while_the_others_do_something_else():
    async def party(s: Session) -> object:
        if s.rank in (1, 3):
            pair = s.subgroup((1, 3))
            heard = await exchange_ranks(pair)
            again = await exchange_ranks(s.subgroup((1, 3)))
            return pair.rank, pair.n_parties, pair.job_ranks, heard, again, await exchange_ranks(s.fork("all"))
        return await exchange_ranks(s.fork("all"))

    async with parties(4) as sessions:
        none, one, two, three = await run_parties(sessions, party)
        assert set(sessions[3].transcript.steps[next(iter(sessions[3].transcript.steps))].bytes_sent) == {0, 1, 2}
    assert one == (0, 2, (1, 3), [10], [10], [0, 20, 30])
    assert three == (1, 2, (1, 3), [0], [0], [0, 10, 20])
    assert (none, two) == ([10, 20, 30], [0, 10, 30])


async def test_a_subset_of_a_subset_keeps_the_ranks_of_the_job():
    async def party(s: Session) -> tuple[int, ...]:
        if s.rank == 0:
            return ()
        three = s.subgroup((1, 2, 3))
        return three.subgroup((0, 2)).job_ranks if three.rank != 1 else ()

    async with parties(4) as sessions:
        assert await run_parties(sessions, party) == [(), (1, 3), (), (1, 3)]


async def test_openings_are_declared_and_recorded_under_the_ranks_of_the_job():
    async with parties(3, allowed=[("auc", (2,))]) as sessions:
        sessions[2].subgroup((1, 2)).declare_opening("auc", (1,), 5)
        assert [(o.what, o.to) for o in sessions[2].transcript.openings] == [("auc", (2,))]


async def test_errors_name_the_rank_in_the_job_and_the_step():
    async def party(s: Session) -> None:
        if s.rank == 0:
            return
        pair = s.subgroup((1, 2))
        with pair.step("train" if s.rank == 1 else "align"):
            await pair.exchange({1 - pair.rank: [np.zeros(1, np.uint64)]}, {1 - pair.rank: [1]})

    async with parties(3) as sessions:
        outcomes = await outcomes_of_parties(sessions, party)
    first = next(o for o in outcomes if isinstance(o, DesyncError))
    assert first.fields["peer"] in (1, 2)
    assert all(isinstance(o, (DesyncError, PeerAborted)) for o in outcomes[1:])


async def test_a_lost_peer_is_named_with_the_step_it_was_missed_in():
    links = network(2)

    async def party(s: Session) -> None:
        if s.rank == 1:
            await links[1][0].aclose()
            return
        with s.step("train"):
            await s.recv(1, np.uint64, 1)

    async with parties(2, links=links) as sessions:
        outcomes = await outcomes_of_parties(sessions, party)
    assert isinstance(outcomes[0], PeerLost)
    assert (outcomes[0].fields["peer"], outcomes[0].fields["step"]) == (1, "train")


@pytest.mark.parametrize("ranks", [(1, 2), (0, 0, 1)])
async def test_a_party_outside_or_named_twice_is_a_bug(ranks):
    async with parties(3) as sessions:
        with pytest.raises(ProtocolError, match="is not once among"):
            sessions[0].subgroup(ranks)
