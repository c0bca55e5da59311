"""Channels: their numbers, labels and counters, as they stand in the frames on the links."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import pytest

from hansa.protocols.mpc.session.frames import FrameKind, parse_untrusted
from hansa.protocols.mpc.session.memory import network, parties, run_parties
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.session.transcript import Phase


class Tapped:
    """A link that keeps what is sent over it."""

    def __init__(self, link: Any, sent: list[bytes]) -> None:
        self._link, self._sent = link, sent

    async def send(self, *parts: Any) -> None:
        self._sent.append(b"".join(bytes(part) for part in parts))
        await self._link.send(*parts)

    async def receive(self) -> memoryview:
        return await self._link.receive()


async def say_rank(s: Session) -> None:
    mine = np.array([s.rank], np.uint64)
    await s.exchange({peer: [mine] for peer in s.peers}, dict.fromkeys(s.peers, [1]))


async def sent_by_party_0(protocol: Any) -> list[tuple[int, int, bytes]]:
    """Channel, sequence number and label of what party 0 sends to party 1, in order, after the session's own check."""
    links, sent = network(3), []
    links[0][1] = Tapped(links[0][1], sent)
    async with parties(3, links=links) as sessions:
        await run_parties(sessions, protocol)
    framed = [parse_untrusted(memoryview(message)) for message in sent]
    return [(f.channel, f.sequence, f.label) for f in framed if f.kind == FrameKind.DATA][1:]


def number(path: str) -> int:
    return int.from_bytes(blake2b(path.encode(), digest_size=8, person=b"hansa-fork").digest(), "little")


async def test_forks_are_numbered_in_the_order_in_which_they_are_made():
    async def protocol(s: Session) -> None:
        first, second = s.fork("a"), s.fork("b")
        for fork in (second, first, second, first.fork("c"), s):
            await say_rank(fork)

    assert await sent_by_party_0(protocol) == [
        (number("root/1"), 0, b"job/b:start"),
        (number("root/0"), 0, b"job/a:start"),
        (number("root/1"), 1, b"job/b:start"),
        (number("root/0/0"), 0, b"job/a/c:start"),
        (number("root"), 1, b"job:start"),
    ]


async def test_subgroups_are_numbered_by_their_members():
    async def protocol(s: Session) -> None:
        if s.rank == 2:
            return
        for pair in (s.subgroup((0, 1)), s.subgroup((1, 0)), s.subgroup((0, 1))):
            await say_rank(pair)
        await say_rank(s.subgroup((0, 1)).fork("a"))

    assert await sent_by_party_0(protocol) == [
        (number("root/0,1#1"), 0, b"job/among:start"),
        (number("root/1,0#1"), 0, b"job/among:start"),
        (number("root/0,1#2"), 0, b"job/among:start"),
        (number("root/0,1#3/0"), 0, b"job/among/a:start"),
    ]


async def test_a_fork_keeps_the_step_it_was_made_in_until_it_adopts_another():
    async def protocol(s: Session) -> None:
        fork = s.fork("a")
        with s.step("train", Phase.PREPROCESSING):
            inner = s.fork("b")
            await say_rank(fork)
            fork.adopt_step(s)
            await say_rank(fork)
        await say_rank(inner)
        await say_rank(s)
        assert {key: cost.rounds for key, cost in s.transcript.steps.items()} == {
            ("start", Phase.ONLINE): 3,
            ("train", Phase.PREPROCESSING): 2,
        }

    assert [label for _, _, label in await sent_by_party_0(protocol)] == [
        b"job/a:start",
        b"job/a:train",
        b"job/b:train",
        b"job:start",
    ]


async def test_forks_and_subgroups_leave_their_parents_ranks_alone():
    async with parties(3) as sessions:
        s = sessions[2]
        pair = s.subgroup((2, 1)).fork("a")
        assert (pair.rank, pair.n_parties, pair.job_ranks, pair.peers) == (0, 2, (2, 1), (1,))
        assert (s.rank, s.n_parties, s.job_ranks, s.peers) == (2, 3, (0, 1, 2), (0, 1))
        assert pair.transcript is s.transcript


@pytest.mark.parametrize("name", ["rank", "job_ranks", "context", "transcript", "anything"])
async def test_nothing_of_a_session_can_be_set(name):
    async with parties(2) as sessions:
        with pytest.raises(AttributeError, match="'Session'"):
            setattr(sessions[0], name, 1)
