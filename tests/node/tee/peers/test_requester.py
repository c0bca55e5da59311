"""What a request for a proof can come to."""

from dataclasses import replace

import pytest
import trio
from support.tee.nodes import TEE, WORD, Heard, says

from hansa.node.tee.peers.responder import NO_EVIDENCE, NO_HARDWARE, TOO_OFTEN
from hansa.protocols.errors import PeerError, PeerTimeout, SecurityError
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role

OTHER = Code(WORD, b"x" * 48)


@pytest.mark.parametrize(
    ("problem", "error"), [(NO_HARDWARE, SecurityError), (TOO_OFTEN, PeerError), (NO_EVIDENCE, PeerError)]
)
async def test_a_peer_without_a_proof_says_why(problem, error, pair):
    bank, tee = pair
    tee.mesh.change = says(problem)
    with pytest.raises(error, match=problem):
        await bank.node.ask(TEE, Role.DEALER)


async def test_nobodys_answer_counts_but_to_what_was_asked(fast, pair):
    bank, tee = pair
    tee.mesh.change = lambda message: replace(message, request=message.request + 1)
    with pytest.raises(PeerTimeout, match="did not prove its code within 30 s"):
        await bank.node.ask(TEE, Role.DEALER)


async def test_a_question_dies_with_its_connection_and_is_asked_on_the_next(pair):
    bank, tee = pair
    tee.mesh.change = lambda message: None
    heard, got = Heard(bank.node), []
    async with trio.open_nursery() as nursery:

        async def ask():
            got.append(await bank.node.ask(TEE, Role.DEALER))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0.05)
        tee.mesh.change = lambda message: message
        bank.mesh.connect(b"n" * 32)
        tee.mesh.connect(b"n" * 32)
        await bank.mesh.up(TEE)
    assert got[0].accepted
    assert (await heard.next()).accepted
    assert bank.mesh.requests._pending == {}


async def test_jobs_questions_keep_nobody_from_asking_what_a_peer_is(pair):
    bank, tee = pair
    tee.mesh.change = lambda message: message if message.request > 1 else None
    with trio.move_on_after(2) as too_long:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bank.node.ask, TEE, Role.ENCLAVE, (OTHER,))  # never answered
            await trio.testing.wait_all_tasks_blocked()
            assert (await bank.node.ask(TEE, Role.PEER)).accepted
            nursery.cancel_scope.cancel()
    assert not too_long.cancelled_caught
