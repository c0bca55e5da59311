"""Proofs between two daemons: what is asked, what a false answer becomes, and what stands in the audit log."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import trio

from hansa.node.errors import EvidenceError
from hansa.node.tee.attestations import Attestations
from hansa.node.tee.epochs import SeenEpochs
from hansa.node.tee.job_keys import JobKeys
from hansa.node.tee.judge import Judge
from hansa.node.tee.prover import Prover
from hansa.protocols.errors import PeerLost, PeerTimeout
from hansa.protocols.wire import messages
from hansa.protocols.wire.attestation.binding import Role, report_data
from hansa.protocols.wire.contract import Code
from hansa.protocols.wire.messages import AttestReply, AttestRequest

WORD = "insecure-simulated"
BANK, TEE = b"b" * 32, b"t" * 32


class Mesh:
    """Both ends of one connection; everything crosses as bytes. ``change`` may replace what the enclave's node answers."""

    def __init__(self, me):
        self.me, self.handlers, self.ups = me, {}, []
        self.channel, self.sent = b"h" * 32, []
        self.change = lambda message: message

    def handle(self, kind, handler):
        self.handlers[kind] = handler

    def on_up(self, callback):
        self.ups.append(callback)

    def link(self, identity):
        hardware = WORD if identity == TEE else ""
        return self._link(self.channel, hardware)

    def _link(self, channel, hardware):
        if getattr(self, "_kept", None) is None or self._kept.conn.handshake_hash != channel:
            self._kept = SimpleNamespace(
                conn=SimpleNamespace(handshake_hash=channel), hello=SimpleNamespace(hardware=hardware)
            )
        return self._kept

    async def send(self, identity, message):
        message = self.change(message)
        if message is not None:
            self.sent.append(message)
            await self.other.handlers[type(message)](self.me, messages.decode_untrusted(messages.encode(message)))


class Log:
    def __init__(self):
        self.entries = []

    def append(self, kind, body):
        self.entries.append((kind, body))


@pytest.fixture
def pair(tmp_path, nursery):
    """The bank, who asks, and the enclave's node; ``pair()`` starts both."""

    async def make(accept=WORD, backend=WORD, reattest_s=600):
        nodes = []
        for me, own in ((BANK, ""), (TEE, backend)):
            home = tmp_path / me.hex()[:2]
            home.mkdir()
            prover = Prover(own, (), "code") if own else None
            mesh = Mesh(me)
            node = Attestations(
                mesh,
                Log(),
                me=me,
                prover=prover,
                job_keys=JobKeys(home, prover, me),
                epochs=SeenEpochs(home / "epochs"),
                judge=Judge(home / "tee.toml", accept),
                name_of=lambda identity: {BANK: "bank", TEE: "enclave"}[identity],
                reattest_s=reattest_s,
            )
            nodes.append(SimpleNamespace(node=node, mesh=mesh, audit=node._audit))
            await nursery.start(node.serve)
        nodes[0].mesh.other, nodes[1].mesh.other = nodes[1].mesh, nodes[0].mesh
        return nodes

    return make


async def test_a_proof_is_accepted_and_on_record(pair):
    bank, tee = await pair()
    judged = await bank.node.ask(TEE, Role.DEALER)
    code = await tee.node.own_code()
    assert (judged.accepted, Code(judged.platform, judged.code)) == (True, code)
    ((kind, entry),) = bank.audit.entries
    assert (kind, entry["peer"], entry["role"], entry["verdict"]) == ("attestation", "enclave", "dealer", "accept")
    assert [peer.hex() for peer in bank.node.enclaves()] == [TEE.hex()]


async def test_a_proof_of_other_code_than_the_contracts_is_refused(pair):
    bank, tee = await pair()
    code = await tee.node.own_code()
    assert (await bank.node.ask(TEE, Role.DEALER, (code,))).accepted
    judged = await bank.node.ask(TEE, Role.DEALER, (replace(code, measurement=b"x" * 48),))
    assert not judged.accepted
    assert "the contract does not accept the code" in judged.why


@pytest.mark.parametrize(
    "about",
    [
        {"nonce": b"o" * 32},
        {"role": Role.ENCLAVE},
        {"identity": BANK},
        {"handshake_hash": b"g" * 32},
    ],
    ids=lambda about: next(iter(about)),
)
async def test_evidence_about_anything_else_is_refused(about, pair):
    """Another question, role, node or channel: replayed evidence is about what it was made for."""
    bank, tee = await pair()

    def change(message):
        if not isinstance(message, AttestReply):
            return message
        asked = next(m for m in reversed(bank.mesh.sent) if isinstance(m, AttestRequest))
        right = {"identity": TEE, "handshake_hash": tee.mesh.channel, "nonce": asked.nonce, "role": Role.DEALER}
        return replace(message, proof=tee.node.prover.prove(report_data(**(right | about))).encode())

    tee.mesh.change = change
    judged = await bank.node.ask(TEE, Role.DEALER)
    assert not judged.accepted
    assert "nonce" in judged.why
    assert bank.audit.entries[-1][1]["verdict"] == "refuse"
    assert bank.node.enclaves() == []


async def test_an_answer_given_before_is_refused(pair):
    bank, tee = await pair()
    kept = []
    tee.mesh.change = lambda message: kept.append(message) or message
    assert (await bank.node.ask(TEE, Role.DEALER)).accepted
    tee.mesh.change = lambda message: replace(kept[0], request=message.request)
    judged = await bank.node.ask(TEE, Role.DEALER)
    assert not judged.accepted
    assert "nonce" in judged.why


async def test_nobodys_answer_counts_but_to_what_was_asked(pair, autojump_clock):
    bank, tee = await pair()
    tee.mesh.change = lambda message: replace(message, request=message.request + 1)
    with pytest.raises(PeerTimeout, match="did not prove its code within"):
        await bank.node.ask(TEE, Role.DEALER)


async def test_simulated_hardware_is_refused_where_the_settings_do_not_say_the_word(pair):
    bank, _ = await pair(accept="hardware")
    judged = await bank.node.ask(TEE, Role.PEER)
    assert not judged.accepted
    assert "insecure-simulated" in judged.why


async def test_a_node_without_hardware_says_so(pair):
    bank, _ = await pair(backend="")
    with pytest.raises(EvidenceError, match="cannot prove its code: it runs in no trusted hardware"):
        await bank.node.ask(TEE, Role.DEALER)


async def test_whoever_asks_without_end_is_told_to_wait(pair):
    bank, _ = await pair()

    async def ask_often():
        for _ in range(40):
            await bank.node.ask(TEE, Role.PEER)

    with pytest.raises(EvidenceError, match="it was asked too often; wait a while"):
        await ask_often()


async def test_a_peer_is_asked_when_it_comes_and_again_and_listeners_hear(pair):
    bank, tee = await pair(reattest_s=0.05)
    heard, send = trio.open_memory_channel[bool](100)[::-1]

    async def listen(identity, judged):
        send.send_nowait(judged.accepted)

    bank.node.on_judged(listen)
    for callback in bank.mesh.ups:
        await callback(TEE)
    with trio.fail_after(10):
        assert [await heard.receive() for _ in range(3)] == [True] * 3
        assert len(bank.audit.entries) == 1  # a verdict that is as it was is not written again
        tee.mesh.change = lambda message: replace(message, proof=b"", problem="gone")
        while await heard.receive():
            pass
    assert bank.audit.entries[-1][1]["reasons"] == ["malformed: enclave cannot prove its code: gone"]


async def test_older_sealed_state_is_refused_by_who_saw_newer(pair):
    bank, tee = await pair()
    assert (await bank.node.ask(TEE, Role.PEER)).accepted
    bank.node._epochs.note(TEE, (7).to_bytes(8, "big") + tee.node.job_keys.mark()[8:])
    judged = await bank.node.ask(TEE, Role.SCORER)
    assert not judged.accepted
    assert "rollback: its sealed state was rolled back: it shows epoch 0, and has shown epoch 7" in judged.why
    assert tee.node.job_keys.told()["shut"] is None  # the mark was no mark of its own


async def test_on_another_connection_it_is_nobody_until_it_has_proven_itself_anew(pair):
    bank, tee = await pair()
    await bank.node.ask(TEE, Role.PEER)
    assert bank.node.accepted(TEE) is not None
    bank.mesh.channel = tee.mesh.channel = b"n" * 32
    assert bank.node.accepted(TEE) is None
    assert bank.node.enclaves() == []
    assert (await bank.node.ask(TEE, Role.PEER)).accepted
    assert bank.node.accepted(TEE) is not None


async def test_a_listener_that_fails_takes_nobody_along(pair):
    """As when the peer is gone the moment it has proven itself."""
    bank, _ = await pair(reattest_s=0.05)
    heard, send = trio.open_memory_channel[bool](100)[::-1]

    async def fail(identity, judged):
        raise PeerLost("it is gone", remedy="wait")

    async def listen(identity, judged):
        send.send_nowait(judged.accepted)

    bank.node.on_judged(fail)
    bank.node.on_judged(listen)
    for callback in bank.mesh.ups:
        await callback(TEE)
    with trio.fail_after(10):
        assert [await heard.receive() for _ in range(2)] == [True] * 2


async def test_a_device_that_breaks_is_an_answer_and_no_end(pair, monkeypatch):
    bank, tee = await pair()

    def broken(data):
        raise OSError("the device is on fire")

    monkeypatch.setattr(tee.node.prover, "prove", broken)
    with pytest.raises(EvidenceError, match="its hardware gives no evidence"):
        await bank.node.ask(TEE, Role.DEALER)
    monkeypatch.undo()
    assert (await bank.node.ask(TEE, Role.DEALER)).accepted
