"""Proofs and verdicts: what is accepted, what is refused, and of which connection."""

import os
from dataclasses import replace

import pytest
from support.tee.nodes import BANK, TEE, WORD, Heard, two_nodes

from hansa.node.tee.evidence.judge import Judge
from hansa.protocols.errors import PeerLost, PeerMisbehaved
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role, report_data
from hansa.protocols.wire.messages import AttestReply, AttestRequest, Sealed

OTHER = Code(WORD, b"x" * 48)


async def test_a_proof_is_accepted_and_on_record(pair):
    bank, tee = pair
    judged = await bank.node.ask(TEE, Role.PEER)
    code = await tee.node.own_code()
    assert (judged.accepted, Code(judged.platform, judged.code)) == (True, code)
    ((kind, entry),) = bank.audit.entries
    assert (kind, entry["peer"], entry["role"], entry["verdict"]) == ("attestation", "enclave", "peer", "accept")
    assert bank.node.enclaves() == [TEE]
    assert await bank.node.own_code() is None


async def test_a_proof_of_other_code_than_the_contracts_is_refused(pair):
    bank, tee = pair
    code = await tee.node.own_code()
    assert (await bank.node.ask(TEE, Role.DEALER, (code,))).accepted
    judged = await bank.node.ask(TEE, Role.DEALER, (OTHER,))
    assert not judged.accepted
    assert "the contract does not accept the code" in judged.why
    assert [entry["verdict"] for _, entry in bank.audit.entries] == ["accept", "refuse"]


@pytest.mark.parametrize("role", [Role.DEALER, Role.ENCLAVE, Role.SCORER])
async def test_a_jobs_verdict_is_the_jobs_alone(role, pair):
    """Whatever codes a member writes into a contract, the enclave is to this node what it was before."""
    bank, tee = pair
    code = await tee.node.own_code()
    assert (await bank.node.ask(TEE, role, (code,))).accepted
    assert bank.node.standing == {}
    await bank.node.ask(TEE, Role.PEER)
    assert not (await bank.node.ask(TEE, role, (OTHER,))).accepted
    assert bank.node.accepted(TEE) is not None
    await tee.mesh.send(BANK, Sealed((9).to_bytes(8, "big") + tee.node.model_keys.epoch_token()[8:]))
    assert int.from_bytes(bank.node._epochs.tokens_of(TEE)[:8], "big") == 9


@pytest.mark.parametrize(
    "about",
    [{"nonce": b"o" * 32}, {"role": Role.ENCLAVE}, {"identity": BANK}, {"handshake_hash": b"g" * 32}],
    ids=lambda about: next(iter(about)),
)
async def test_evidence_about_anything_else_is_refused(about, pair):
    """Another question, role, node or channel: replayed evidence is about what it was made for."""
    bank, tee = pair

    def change(message):
        if not isinstance(message, AttestReply):
            return message
        asked = next(m for m in reversed(bank.mesh.sent) if isinstance(m, AttestRequest))
        right = {"identity": TEE, "handshake_hash": b"h" * 32, "nonce": asked.nonce, "role": Role.PEER}
        return replace(message, proof=tee.node.prover.prove(report_data(**(right | about))).encode())

    tee.mesh.change = change
    judged = await bank.node.ask(TEE, Role.PEER)
    assert not judged.accepted
    assert "nonce" in judged.why
    assert bank.audit.entries[-1][1]["verdict"] == "refuse"
    assert bank.node.enclaves() == []


async def test_an_answer_given_before_is_refused(pair):
    bank, tee = pair
    kept = []
    tee.mesh.change = lambda message: kept.append(message) or message
    assert (await bank.node.ask(TEE, Role.DEALER)).accepted
    tee.mesh.change = lambda message: replace(kept[0], request=message.request)
    judged = await bank.node.ask(TEE, Role.DEALER)
    assert not judged.accepted
    assert "nonce" in judged.why


async def test_simulated_hardware_is_refused_where_the_settings_do_not_say_the_word(tmp_path):
    async with two_nodes(tmp_path, accept="hardware") as (bank, _):
        judged = await bank.node.ask(TEE, Role.PEER)
        assert not judged.accepted
        assert "insecure-simulated" in judged.why


async def test_older_sealed_state_is_refused_by_who_saw_newer(pair):
    bank, tee = pair
    assert (await bank.node.ask(TEE, Role.PEER)).accepted
    bank.node._epochs.note(TEE, (7).to_bytes(8, "big") + tee.node.model_keys.epoch_token()[8:])
    judged = await bank.node.ask(TEE, Role.SCORER)
    assert not judged.accepted
    assert "rollback: its sealed state was rolled back: it shows epoch 0, and has shown epoch 7" in judged.why
    assert (judged.platform, judged.code) == (
        WORD,
        (await tee.node.own_code()).measurement,
    )  # what it proved is still shown
    assert tee.node.model_keys.describe()["shut"] is None  # the token was none of its own
    assert (await bank.node.proven(TEE, Role.PEER))[0].accepted  # the code is what it was


async def test_an_enclave_that_goes_on_while_it_is_judged_was_not_rolled_back(pair, monkeypatch):
    """It makes a key for another job, and tells the new epoch, before the verdict on the proof with the older one is there."""
    bank, tee = pair
    assert (await bank.node.ask(TEE, Role.PEER)).accepted
    later = (5).to_bytes(8, "big") + tee.node.model_keys.epoch_token()[8:]
    while_judging(monkeypatch, lambda before: bank.node._epochs.note(TEE, later))
    assert (await bank.node.ask(TEE, Role.ENCLAVE)).accepted
    assert bank.node._epochs.tokens_of(TEE) == later  # and the later one is not forgotten
    judged = await bank.node.ask(TEE, Role.ENCLAVE)  # asked when it was known
    assert "shows epoch 0, and has shown epoch 5 before" in judged.why


async def test_on_another_connection_it_is_nobody_until_it_has_proven_itself_anew(pair):
    bank, tee = pair
    await bank.node.ask(TEE, Role.PEER)
    assert bank.node.accepted(TEE) is not None
    bank.mesh.connect(b"n" * 32)
    tee.mesh.connect(b"n" * 32)
    assert bank.node.accepted(TEE) is None
    assert bank.node.enclaves() == []
    assert (await bank.node.ask(TEE, Role.PEER)).accepted
    assert bank.node.accepted(TEE) is not None


def while_judging(monkeypatch, action):
    """The judge works in a thread, and the world goes on: ``action(how many times before)``."""
    real, times = Judge.judge, []

    def judge(self, *args):
        judged = real(self, *args)
        action(len(times))
        times.append(args)
        return judged

    monkeypatch.setattr(Judge, "judge", judge)
    return times


async def test_a_connection_made_while_a_proof_is_judged_is_asked_for_its_own(pair, monkeypatch):
    """Whoever has the node's key outside the enclave may connect at that moment: the proof is not about it."""
    bank, tee = pair

    def replaced(before):
        if not before:
            bank.mesh.connect(b"n" * 32)
            tee.mesh.connect(b"n" * 32)

    judged = while_judging(monkeypatch, replaced)
    assert (await bank.node.ask(TEE, Role.PEER)).accepted
    assert len(judged) == 2
    assert judged[1][1] != judged[0][1]
    assert bank.node.standing[TEE].channel == b"n" * 32


async def test_a_connection_that_is_replaced_without_end_proves_nothing(pair, monkeypatch):
    bank, tee = pair

    def replaced(before):
        bank.mesh.connect(os.urandom(32))
        tee.mesh.now = bank.mesh.now

    while_judging(monkeypatch, replaced)
    with pytest.raises(PeerLost, match="the connection to enclave does not last"):
        await bank.node.ask(TEE, Role.PEER)
    assert bank.node.accepted(TEE) is None
    assert bank.node.standing == {}


async def test_only_the_end_that_cannot_prove_itself_is_nobody(pair, monkeypatch):
    """The host's own connection, with the node's key: it passes nothing on, and the proof before it was of another."""
    bank, _ = pair
    while_judging(monkeypatch, lambda before: None if before else bank.mesh.connect(b"X" * 32))
    judged = await bank.node.ask(TEE, Role.PEER)  # the enclave's end still has the old connection
    assert not judged.accepted
    assert bank.node.accepted(TEE) is None


async def test_what_is_no_proof_is_misbehaviour_and_a_refusal(pair):
    bank, tee = pair
    heard = Heard(bank.node)
    tee.mesh.change = lambda message: replace(message, proof=b"\x80") if isinstance(message, AttestReply) else message
    with pytest.raises(PeerMisbehaved):
        await bank.node.ask(TEE, Role.DEALER)
    await bank.mesh.up(TEE)
    assert not (await heard.next()).accepted
