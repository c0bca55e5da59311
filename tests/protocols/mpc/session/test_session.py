"""The session: messages, agreement, openings, failures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trio

from hansa.protocols.errors import DesyncError, PeerAborted, PeerLost, PeerMisbehaved, UndeclaredOpening
from hansa.protocols.mpc.session import frames, links
from hansa.protocols.mpc.session.links import Failure, Inbox
from hansa.protocols.mpc.session.memory import StreamLink, network, outcomes_of_parties, parties, run_parties
from hansa.protocols.mpc.session.public import digest
from hansa.protocols.mpc.session.session import Session, open_session
from hansa.protocols.wire import canonical


async def ring_sum(s: Session) -> int:
    received = await s.exchange(
        {peer: [np.array([s.rank], np.uint64)] for peer in s.peers}, dict.fromkeys(s.peers, [1])
    )
    return s.rank + sum(int(r[0][0]) for r in received.values())


@pytest.mark.parametrize("n", [2, 3, 5])
async def test_exchange_reaches_every_party(n):
    async with parties(n) as sessions:
        assert await run_parties(sessions, ring_sum) == [sum(range(n))] * n


async def test_exchange_counts_one_round_and_its_bytes():
    async with parties(3) as sessions:
        before = sessions[0].transcript.rounds
        await run_parties(sessions, ring_sum)
        assert sessions[0].transcript.rounds - before == 1
        assert sessions[0].transcript.steps[("start", next(iter(sessions[0].transcript.steps))[1])].bytes_sent == {
            1: 32 + 8,
            2: 32 + 8,
        }


def lockstep_pair():
    one, two = trio.testing.lockstep_stream_pair()
    return StreamLink(one), StreamLink(two)


@pytest.mark.parametrize("size", [0, 1, 1000, 200_000])
async def test_large_symmetric_exchange_over_links_without_buffers(size):
    async def both(s: Session) -> np.ndarray:
        data = np.full(size, s.rank, np.uint64)
        got = await s.exchange({1 - s.rank: [data, data[:1]]}, {1 - s.rank: [size, min(size, 1)]})
        return got[1 - s.rank][0]

    async with parties(2, links=network(2, lockstep_pair)) as sessions:
        zero, one = await run_parties(sessions, both)
    assert (zero == 1).all()
    assert (one == 0).all()


async def test_bytes_and_arrays_keep_their_order():
    async def talk(s: Session) -> list[bytes]:
        if s.rank == 0:
            for k in range(5):
                await s.send_bytes(1, bytes([k]))
            await s.send(1, np.arange(6, dtype=np.uint8))
            return []
        got = [bytes(await s.recv_bytes(0, 10)) for _ in range(5)]
        table = await s.recv(0, np.uint8, (2, 3))
        assert table.shape == (2, 3)
        return got

    async with parties(2) as sessions:
        assert (await run_parties(sessions, talk))[1] == [bytes([k]) for k in range(5)]


async def test_received_arrays_are_writable_and_aligned():
    async def talk(s: Session) -> None:
        got = (await s.exchange({1 - s.rank: [np.ones(3, np.uint64)]}, {1 - s.rank: [3]}))[1 - s.rank][0]
        assert got.flags.writeable
        assert got.flags.aligned
        got += np.uint64(1)

    async with parties(2) as sessions:
        await run_parties(sessions, talk)


async def test_recv_bytes_is_bounded():
    async def talk(s: Session) -> None:
        await s.send_bytes(1 - s.rank, b"x" * 11)
        await s.recv_bytes(1 - s.rank, 10)

    async with parties(2) as sessions:
        with pytest.raises(PeerMisbehaved, match="11 bytes where at most 10"):
            await run_parties(sessions, talk)


async def test_forks_run_concurrently_in_any_order():
    async def talk(s: Session) -> list[int]:
        a, b = s.fork("a"), s.fork("b")
        sums: dict[str, int] = {}

        async def branch(name: str, fork: Session) -> None:
            sums[name] = await ring_sum(fork)

        order = [("a", a), ("b", b)]
        async with trio.open_nursery() as nursery:
            for name, fork in order if s.rank else order[::-1]:
                nursery.start_soon(branch, name, fork)
        return [sums["a"], sums["b"]]

    async with parties(3) as sessions:
        assert await run_parties(sessions, talk) == [[3, 3]] * 3


@pytest.mark.parametrize("what", ["size", "dtype", "step", "fork"])
async def test_a_party_at_another_place_is_named_with_both_places(what):
    async def talk(s: Session) -> None:
        size = 3 if what == "size" and s.rank else 2
        dtype = np.uint32 if what == "dtype" and s.rank else np.uint64
        fork = s.fork("right" if what == "fork" and s.rank else "left")
        with fork.step("train" if what == "step" and s.rank else "align"):
            await fork.exchange({1 - s.rank: [np.zeros(size, dtype)]}, {1 - s.rank: [size]}, dtype)

    async with parties(2) as sessions:
        outcomes = await outcomes_of_parties(sessions, talk)
    first = next(o for o in outcomes if isinstance(o, DesyncError))
    assert first.fields["here"] != first.fields["there"]
    assert all(isinstance(o, (DesyncError, PeerAborted)) for o in outcomes)


async def test_check_public_names_what_differs():
    async with parties(3) as sessions:
        outcomes = await outcomes_of_parties(sessions, lambda s: s.check_public("columns", ["a", s.rank == 2]))
    assert isinstance(outcomes[2], (DesyncError, PeerAborted))
    assert any(isinstance(o, DesyncError) and "another columns" in o.message for o in outcomes)


async def test_an_abort_reaches_every_party_with_cause_and_culprit():
    async def talk(s: Session) -> None:
        with s.step("train"):
            if s.rank == 1:
                raise PeerMisbehaved("column 3 is rotten", remedy="peel it", peer=2)
            await s.recv((s.rank + 1) % 3, np.uint64, 1)

    async with parties(3) as sessions:
        outcomes = await outcomes_of_parties(sessions, talk)
    for rank in (0, 2):
        error = outcomes[rank]
        assert isinstance(error, PeerAborted)
        assert "column 3 is rotten" in str(error)
        assert error.remedy == "peel it"
        assert error.fields | {"peer": 1, "cause": "peer-misbehaved", "culprit": 2, "step": "train"} == error.fields


async def test_a_lost_link_is_seen_by_all_who_wait_even_for_others():
    links = network(3)

    async def talk(s: Session) -> None:
        if s.rank == 2:
            for link in links[2].values():
                await link.aclose()
            raise PeerLost("gone", remedy="none")
        await s.recv(1 - s.rank, np.uint64, 1)  # waits for an honest party

    async with parties(3, links=links) as sessions:
        outcomes = await outcomes_of_parties(sessions, talk)
    assert all(isinstance(o, PeerLost) for o in outcomes)
    assert [o.fields.get("peer") for o in outcomes[:2]] == [2, 2]


async def test_undeclared_openings_are_refused_and_declared_ones_recorded():
    seen = []
    async with parties(2, allowed=[("auc", (0, 1))], on_opening=seen.append) as sessions:
        sessions[0].declare_opening("auc", (0, 1), 1)
        with pytest.raises(UndeclaredOpening, match="does not name an opening of 'auc' to party 0"):
            sessions[0].declare_opening("auc", (0,), 1)
        with pytest.raises(UndeclaredOpening, match="'weights'"):
            sessions[0].declare_opening("weights", (0, 1), 1)
        assert [o.what for o in sessions[0].transcript.openings] == ["auc"]
    assert [(o.what, o.elements) for o in seen] == [("auc", 1)]


async def test_sessions_of_different_contexts_do_not_start():
    links = network(2)
    errors = []

    async def run(rank: int) -> None:
        try:
            async with open_session(rank, links[rank], context=bytes([rank])):
                pass
        except (DesyncError, PeerAborted) as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, 0)
        nursery.start_soon(run, 1)
    assert len(errors) == 2
    assert any(isinstance(e, DesyncError) and "another session" in e.message for e in errors)


async def test_open_session_tells_the_others_and_raises_the_bare_error():
    links = network(2)
    errors = {}

    async def run(rank: int) -> None:
        try:
            async with open_session(rank, links[rank], context=b"x") as s:
                if rank == 0:
                    raise ValueError("a secret in the text")
                await s.recv(0, np.uint64, 1)
        except Exception as error:
            errors[rank] = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, 0)
        nursery.start_soon(run, 1)
    assert isinstance(errors[0], ValueError)
    assert isinstance(errors[1], PeerAborted)
    assert "secret" not in str(errors[1])


async def test_a_party_that_finishes_first_harms_nobody():
    async def talk(s: Session) -> int:
        if s.rank == 0:
            await s.send(1, np.array([7], np.uint64))
            await s.finish()
            return 0
        await trio.testing.wait_all_tasks_blocked()
        return int((await s.recv(0, np.uint64, 1))[0])

    async with parties(2) as sessions:
        assert await run_parties(sessions, talk) == [0, 7]


async def test_waiting_for_a_party_that_left_fails():
    async def talk(s: Session) -> None:
        if s.rank == 0:
            await s.finish()
        else:
            await s.recv(0, np.uint64, 1)

    async with parties(2) as sessions:
        with pytest.raises(PeerLost, match="finished its part and left"):
            await run_parties(sessions, talk)


class Said:
    """A link to a peer that has said all it will."""

    def __init__(self, messages):
        self._messages = iter(messages)

    async def send(self, *parts):
        pass

    async def receive(self):
        await trio.lowlevel.checkpoint()
        for message in self._messages:
            return memoryview(message)
        raise EOFError


@pytest.mark.parametrize("name", ["self", "message", "remedy", "peer", "cause", "culprit", "step"])
async def test_no_field_of_an_abort_can_pass_for_ours(name):
    body = json.dumps({"message": "no", "culprit": 0, "fields": {name: "x", "row": 7}}).encode()
    failure = Failure()
    await Inbox(1, Said([frames.pack_header(frames.FrameKind.ABORT, 0, 0, 0, 0, len(body)) + body]), failure).read()
    assert isinstance(failure.error, PeerAborted)
    assert failure.error.fields["row"] == 7
    assert failure.error.fields.get(name) != "x"
    assert failure.error.remedy != "x"


@pytest.mark.parametrize(
    "said",
    [
        rb'{"message": "\ud800", "remedy": "\u001b[2J\n", "code": "\udfff", "step": "\ud800"}',
        rb'{"fields": {"\ud800": "\udc00", "row": NaN, "column": Infinity, "line": 1e999}}',
        b'{"fields": {"row": %s}}' % (b"9" * 4000),
    ],
)
async def test_the_words_of_an_abort_can_be_written_down(said):
    """What a worker tells its daemon of it, and what is printed: else a peer could end that worker, which would be blamed."""
    failure = Failure()
    await Inbox(1, Said([frames.pack_header(frames.FrameKind.ABORT, 0, 0, 0, 0, len(said)) + said]), failure).read()
    assert isinstance(failure.error, PeerAborted)
    canonical.encode(failure.error.as_dict())
    assert str(failure.error.as_dict()).isprintable()


async def test_frames_without_payload_fill_the_inbox_too(monkeypatch):
    """Each of another channel: nobody asks for them, and each takes memory."""
    monkeypatch.setattr(links, "MAX_UNCLAIMED_WAITING", 1 << 16)
    failure = Failure()
    empty = (frames.pack_header(frames.FrameKind.DATA, 1, 0, 0, channel, 0) for channel in range(10_000))
    await Inbox(1, Said(empty), failure).read()
    assert isinstance(failure.error, PeerMisbehaved)
    assert "that nobody asked for" in failure.error.message


def test_public_values_of_other_structure_have_other_digests():
    array = np.arange(3, dtype=np.uint64)
    values = [array, array.tolist(), array.reshape(3, 1), array.astype(np.int64), array[:0], ["<u8", [0]], "0", 0, 0.0]
    values += [False, None, b"0", [], {}, {"a": 1}, ["a", 1], [[0]]]
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
