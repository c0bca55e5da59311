"""A node's proofs to whoever asks: what they may cost it, and that askers take turns."""

import time

import pytest
import trio
import trio.testing
from support.tee.nodes import TEE, Heard

from hansa.node.tee.evidence import prover as prover_module
from hansa.node.tee.peers.responder import ASKED_AT_ONCE, MOST_WAITING, NO_EVIDENCE, TOO_OFTEN
from hansa.protocols.errors import PeerError
from hansa.protocols.wire.attestation.statements.binding import Role
from hansa.protocols.wire.messages import AttestReply, AttestRequest


async def test_whoever_asks_without_end_is_told_to_wait(pair):
    bank, _ = pair
    for _ in range(int(ASKED_AT_ONCE)):
        await bank.node.ask(TEE, Role.PEER)
    with pytest.raises(PeerError, match="it was asked too often; wait a while"):
        await bank.node.ask(TEE, Role.PEER)


async def test_what_jobs_ask_uses_up_nothing_of_the_regular_questions(pair):
    bank, _ = pair
    for _ in range(int(ASKED_AT_ONCE)):
        await bank.node.ask(TEE, Role.ENCLAVE)
    with pytest.raises(PeerError, match="too often"):
        await bank.node.ask(TEE, Role.ENCLAVE)
    heard, before = Heard(bank.node), len(bank.mesh.sent)
    await bank.mesh.up(TEE)
    assert (await heard.next()).accepted
    assert len(bank.mesh.sent) - before == 1  # at once


async def test_a_device_that_breaks_is_an_answer_and_no_end(pair, monkeypatch, caplog):
    bank, tee = pair

    def broken(data):
        raise OSError("the device in /home/alice is on fire")

    monkeypatch.setattr(tee.node.prover, "prove", broken)
    with pytest.raises(PeerError, match=NO_EVIDENCE) as caught:
        await bank.node.ask(TEE, Role.DEALER)
    assert "alice" not in str(caught.value)
    assert "the device in /home/alice is on fire" in caplog.text
    monkeypatch.undo()
    assert (await bank.node.ask(TEE, Role.DEALER)).accepted


@pytest.fixture
def slow(monkeypatch):
    """A device that takes a while, one at a time; how many were made is in the list."""
    real, made = prover_module.device_of, []

    class Slow:
        def __init__(self, device):
            self.device = device

        def produce(self, data):
            time.sleep(0.1)
            made.append(data)
            return self.device.produce(data)

    monkeypatch.setattr(prover_module, "device_of", lambda *args: Slow(real(*args)))
    return made


async def test_floods_of_others_do_not_starve_who_asks_once(slow, pair):
    """Two members at once ask as much as they may: the third waits for no more than one proof of each."""
    bank, tee = pair
    for n in range(60):
        await tee.mesh.handlers[AttestRequest]((b"m" if n < 30 else b"k") * 32, request(10**6 + n))
    before = len(slow)
    assert (await bank.node.ask(TEE, Role.PEER)).accepted
    assert len(slow) - before <= 4


async def test_what_one_peer_has_waiting_is_bounded(slow, pair):
    _, tee = pair
    for n in range(MOST_WAITING + 3):
        await tee.mesh.handlers[AttestRequest](b"m" * 32, request(n))
    told = [message for message in tee.mesh.sent if isinstance(message, AttestReply)]
    assert [(message.request, message.problem) for message in told] == [(MOST_WAITING + n, TOO_OFTEN) for n in range(3)]
    with trio.fail_after(5):
        while len(tee.mesh.sent) < MOST_WAITING + 3:
            await trio.sleep(0.01)
    await tee.mesh.handlers[AttestRequest](b"m" * 32, request(100))
    assert tee.mesh.sent[-1].problem != TOO_OFTEN or tee.mesh.sent[-1].request != 100


async def test_nothing_is_made_for_a_connection_that_is_gone(slow, pair):
    _, tee = pair
    for n in range(MOST_WAITING):
        await tee.mesh.handlers[AttestRequest](b"m" * 32, request(n))
    await trio.testing.wait_all_tasks_blocked(0.02)
    tee.mesh.connect(b"n" * 32)
    await trio.sleep(0.1 * MOST_WAITING + 0.1)
    assert len(slow) <= 2  # that in the making, and what its epoch token rests on


def request(number):
    return AttestRequest(number, bytes(32), Role.PEER, b"")


async def test_however_many_ask_for_the_own_code_the_device_is_asked_once(slow, pair):
    """Each proposal asks for it: 64 of them must not stand before who wants a proof."""
    _, tee = pair
    before, found = len(slow), []

    async def own():
        found.append(await tee.node.own_code())

    async with trio.open_nursery() as nursery:
        for _ in range(64):
            nursery.start_soon(own)
    assert len(set(found)) == 1
    assert len(slow) - before == 1
