"""No owner holds the enclave up: what it is to send or to take has its time, and who is late is named."""

import os
from contextlib import suppress

import pytest
import trio
from support.enclave_members import Plain, allowed, tables, terms
from support.job_ends import Quiet

from hansa.algorithms.enclave import inside, owner
from hansa.algorithms.enclave.packed_table import most_bytes
from hansa.algorithms.terms import agree
from hansa.node.worker.enclave import ModelSealer
from hansa.protocols.errors import PeerAborted, PeerTimeout
from hansa.protocols.mpc.session.memory import network, parties

pytest.importorskip("xgboost", reason="the extra 'enclave' is not installed")
T = terms()
MOST = [most_bytes(T, rank) + inside.PARCEL_EXTRA for rank in range(2)]
LONGEST_S = [inside.PATIENCE_S + most / inside.SLOWEST_BYTES_PER_S for most in MOST]


@pytest.fixture(autouse=True)
def no_threads(monkeypatch):
    """The clock jumps while a thread works, as if nothing were going on: so none does."""

    async def at_once(work, *args):
        await trio.lowlevel.checkpoint()
        return work(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
    monkeypatch.setattr(trio.from_thread, "run_sync", lambda work, *args: work(*args))


class Slow:
    """A link between an owner and the enclave: what is longer than a hash takes ``delay_s`` to cross."""

    def __init__(self, link, delay_s):
        self.link, self.delay_s = link, delay_s

    async def send(self, *parts):
        if sum(map(len, parts)) > 1000:
            await trio.sleep(self.delay_s)
        await self.link.send(*parts)

    async def receive(self):
        return await self.link.receive()


def late(delays_s):
    """The links of all, the owners' rows so long on their way to the enclave."""
    links = network(3)
    for rank, delay_s in enumerate(delays_s):
        links[rank][2] = Slow(links[rank][2], delay_s)
    return links


async def inside_of(kind, owners, links=None):
    """What the enclave's part raised, if anything, and how long it took; ``owners(session)`` is each owner's."""
    began = trio.current_time()
    async with parties(3, allowed=allowed(T, kind), links=links) as sessions, trio.open_nursery() as nursery:
        done = [trio.Event() for _ in range(2)]

        async def play(s):
            with suppress(PeerAborted):
                await owners(s)
            done[s.rank].set()

        for s in sessions[:2]:
            nursery.start_soon(play, s)
        try:
            await inside.serve(sessions[2], kind, T, Plain(), ModelSealer(os.urandom(32), b"j" * 32), Quiet())
        except PeerTimeout as error:
            return error, trio.current_time() - began
        else:
            for each in done:
                await each.wait()
            return None, trio.current_time() - began
        finally:
            nursery.cancel_scope.cancel()


async def train(s):
    return await owner.train(s, T, tables(T)[s.rank], Plain(), Quiet())


async def test_a_slow_owner_is_waited_for(autojump_clock):
    """Each has its own time, however long the one before it took."""
    delays = (LONGEST_S[0] - 1, LONGEST_S[0] + LONGEST_S[1] - 3)
    error, lasted = await inside_of("train", train, late(delays))
    assert error is None
    assert lasted >= max(delays)


@pytest.mark.parametrize("rank", [0, 1])
async def test_an_owner_that_sends_nothing_is_named_and_ends_the_job(rank, autojump_clock):
    error, lasted = await inside_of("train", train, late([1e9 if each == rank else 0.0 for each in range(2)]))
    assert isinstance(error, PeerTimeout)
    assert error.message.startswith(f"{T.names[rank]} sent nothing whole in step 'send' within ")
    assert (error.fields["peer"], error.fields["step"]) == (rank, "send")
    assert lasted < LONGEST_S[rank] + 10


def test_the_longest_wait_is_minutes_for_small_tables():
    assert max(LONGEST_S) < 15 * 60


@pytest.mark.parametrize("kind", ["train", "predict"])
async def test_an_owner_that_stalls_earlier_is_named_too(kind, autojump_clock):
    """Before the terms are agreed on, or without the model that it is to hand in."""

    async def stalls(s):
        if kind == "predict":
            await agree(s, kind, T)
        elif s.rank:
            await train(s)
        await trio.sleep_forever()

    error, _ = await inside_of(kind, stalls)
    assert isinstance(error, PeerTimeout)
    assert error.fields["peer"] == 0
    assert error.message.startswith("bank sent nothing whole")


async def test_an_owner_that_takes_no_answer_is_named(autojump_clock):
    """Its link is full: nobody reads at its end."""
    links = network(3)
    links[2][0] = Slow(links[2][0], 1e9)
    error, _ = await inside_of("train", train, links)
    assert isinstance(error, PeerTimeout)
    assert error.message.startswith("bank did not take its answer in step 'outputs' within 1")
    assert error.fields["peer"] == 0
