"""Reviews of peers: who is reviewed and when, what becomes a standing, and what no verdict can be made of."""

from dataclasses import replace

import pytest
import trio
from support.tee.amd import Encoding, Vendor
from support.tee.nodes import TEE, WORD, Heard, says, two_nodes

from hansa.config.errors import ConfigError
from hansa.node.tee.evidence.judge import Judge
from hansa.node.tee.peers.attestations import RETRY_AFTER_S
from hansa.node.tee.peers.responder import NO_EVIDENCE, NO_HARDWARE, TOO_OFTEN
from hansa.protocols.errors import PeerLost
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role, report_data
from hansa.protocols.wire.attestation.statements.proof import Proof
from hansa.protocols.wire.messages import AttestReply, AttestRequest

OTHER = Code(WORD, b"x" * 48)


async def test_a_peer_is_asked_when_it_comes_and_again_and_listeners_hear(tmp_path):
    async with two_nodes(tmp_path, reattest_s=0.05) as (bank, tee):
        heard = Heard(bank.node)
        await bank.mesh.up(TEE)
        assert [(await heard.next()).accepted for _ in range(3)] == [True] * 3
        assert len(bank.audit.entries) == 1  # a verdict that is as it was is not written again
        tee.mesh.change = says(NO_HARDWARE)
        while (await heard.next()).accepted:
            pass
        reasons = bank.audit.entries[-1][1]["reasons"]
        assert reasons == ["malformed: enclave cannot prove its code: it runs in no trusted hardware"]


async def test_a_peer_without_hardware_is_not_looked_at(pair):
    bank, _ = pair
    bank.mesh.connect(b"h" * 32, hardware="")
    await bank.mesh.up(TEE)
    await trio.testing.wait_all_tasks_blocked()
    assert bank.mesh.sent == []


@pytest.mark.parametrize("known_by", ["its standing", "a job"])
async def test_who_has_hardware_does_not_get_away_by_saying_it_has_none(known_by, tmp_path):
    async with two_nodes(tmp_path, backend="") as (bank, _):
        heard = Heard(bank.node)
        if known_by == "a job":
            bank.node.hardware_in_use = lambda: [TEE]
        else:
            bank.node._set_standing(TEE, (await _accepted(tmp_path)), b"before")
        bank.mesh.connect(b"n" * 32, hardware="")
        await bank.mesh.up(TEE)
        judged = await heard.next()
        assert (judged.accepted, judged.why) == (
            False,
            "malformed: enclave cannot prove its code: it runs in no trusted hardware",
        )
        assert bank.node.standing[TEE].judged == judged
        assert bank.audit.entries[-1][1]["verdict"] == "refuse"


async def _accepted(folder):
    (folder / "other").mkdir()
    async with two_nodes(folder / "other") as (bank, _):
        return await bank.node.ask(TEE, Role.PEER)


async def test_the_timer_asks_whom_a_job_relies_on(tmp_path):
    async with two_nodes(tmp_path, reattest_s=0.05) as (bank, _):
        heard = Heard(bank.node)
        bank.mesh.connect(b"h" * 32, hardware="")
        bank.node.hardware_in_use = lambda: [TEE]
        assert (await heard.next()).accepted


@pytest.mark.parametrize("problem", [TOO_OFTEN, NO_EVIDENCE, "the moon is full"])
async def test_no_answer_for_a_while_is_no_verdict(problem, fast, pair):
    bank, tee = pair
    heard = Heard(bank.node)
    await bank.mesh.up(TEE)
    assert (await heard.next()).accepted
    left = [says(problem)] * len(RETRY_AFTER_S)
    tee.mesh.change = lambda message: left.pop()(message) if left else message
    await bank.mesh.up(TEE)
    assert (await heard.next()).accepted
    assert [entry["verdict"] for _, entry in bank.audit.entries] == ["accept"]


async def test_no_answer_again_and_again_is_a_refusal(fast, pair):
    bank, tee = pair
    heard = Heard(bank.node)
    await bank.mesh.up(TEE)
    assert (await heard.next()).accepted
    tee.mesh.change = says(TOO_OFTEN)
    before = len(bank.mesh.sent)
    await bank.mesh.up(TEE)
    judged = await heard.next()
    assert judged.why == f"malformed: enclave cannot prove its code now: {TOO_OFTEN}"
    assert len(bank.mesh.sent) - before == 1 + len(RETRY_AFTER_S)
    tee.mesh.change = lambda message: message
    await bank.mesh.up(TEE)
    assert (await heard.next()).accepted


async def test_silence_is_a_refusal_in_the_end(fast, pair):
    bank, tee = pair
    heard = Heard(bank.node)
    tee.mesh.change = lambda message: None
    began = trio.current_time()
    await bank.mesh.up(TEE)
    assert not (await _next_within(heard, 1000)).accepted
    assert trio.current_time() - began > sum(RETRY_AFTER_S) + 4 * 30


async def _next_within(heard, seconds):
    with trio.fail_after(seconds):
        return await heard._receive.receive()


async def test_a_connection_that_flaps_is_judged_in_the_end(fast, pair):
    """Down for less than a job waits for it: no single question comes to an end, and still it does not go on for ever."""
    bank, tee = pair
    heard = Heard(bank.node)
    tee.mesh.change = lambda message: None
    for n in range(len(RETRY_AFTER_S) + 1):
        bank.mesh.connect(bytes([n]) * 32)
        await bank.mesh.up(TEE)
        await trio.sleep(0.5)
        assert heard.so_far() == []
        bank.mesh.disconnect()
        await trio.sleep(0.5)
    (judged,) = heard.so_far()
    assert judged.why == "malformed: the connection to enclave ended before it proved its code"


async def test_a_peer_that_is_offline_is_not_asked(tmp_path):
    async with two_nodes(tmp_path, reattest_s=0.01) as (bank, _):
        heard = Heard(bank.node)
        await bank.mesh.up(TEE)
        await heard.next()
        bank.mesh.disconnect()
        await trio.sleep(0.1)
        heard.so_far()
        await trio.sleep(0.2)
        assert heard.so_far() == []
        with pytest.raises(PeerLost, match="enclave is offline"):
            await bank.node.ask(TEE, Role.DEALER)


async def test_one_look_at_a_time_and_its_entries_are_bounded(fast, pair):
    """However often a peer connects, and whatever it then proves."""
    bank, tee = pair
    heard = Heard(bank.node)
    lies = iter([says(NO_HARDWARE), lambda same: same] * 500)
    tee.mesh.change = lambda message: next(lies)(message) if isinstance(message, AttestReply) else message
    began = trio.current_time()
    for _ in range(200):
        await bank.mesh.up(TEE)
        await trio.testing.wait_all_tasks_blocked(0.0005)
    lasted = trio.current_time() - began
    assert len(bank.audit.entries) <= 17 + 0.2 * lasted
    assert heard.so_far()[0].accepted is False


async def test_a_disk_that_is_full_is_no_acceptance(pair, monkeypatch):
    bank, _ = pair
    heard = Heard(bank.node)

    def note(identity, token, asked_with):
        raise OSError("no space left")

    monkeypatch.setattr(bank.node._epochs, "note", note)
    await bank.mesh.up(TEE)
    assert not (await heard.next()).accepted


async def test_a_listener_that_fails_takes_nobody_along(tmp_path):
    """As when the peer is gone the moment it has proven itself."""
    async with two_nodes(tmp_path, reattest_s=0.05) as (bank, _):

        async def fail(identity, judged):
            raise PeerLost("it is gone", remedy="wait")

        bank.node.on_judged(fail)
        heard = Heard(bank.node)
        await bank.mesh.up(TEE)
        assert [(await heard.next()).accepted for _ in range(2)] == [True] * 2


async def test_a_certificate_that_no_parser_takes_keeps_no_old_verdict(tmp_path):
    """An SNP report with a certificate of X.509 version 5 beside it, by whoever was accepted before."""
    vendor = Vendor()
    good = vendor.vcek.public_bytes(Encoding.DER)
    at = good.index(bytes.fromhex("a003020102"))
    odd = good[: at + 4] + b"\4" + good[at + 5 :]
    async with two_nodes(tmp_path, accept="hardware") as (bank, tee):
        (bank.home / "tee.toml").write_text(f'[[snp]]\nmeasurement = "{"22" * 48}"\n')
        heard = Heard(bank.node)
        bank.node._set_standing(TEE, await _accepted(tmp_path), b"h" * 32)
        assert bank.node.accepted(TEE) is not None

        def change(message):
            if not isinstance(message, AttestReply):
                return message
            asked = next(m for m in reversed(bank.mesh.sent) if isinstance(m, AttestRequest))
            wanted = report_data(identity=TEE, handshake_hash=b"h" * 32, nonce=asked.nonce, role=Role.PEER)
            return replace(message, proof=Proof("sev-guest", vendor.make(at_50=wanted), (odd,)).encode())

        tee.mesh.change = change
        await bank.mesh.up(TEE)
        assert not (await heard.next()).accepted
        assert bank.node.accepted(TEE) is None


async def test_a_policy_of_our_own_that_cannot_be_read_proves_nothing_and_shows_nothing(tmp_path, caplog):
    """Its path is for this node's people: what listeners hear is told to peers."""
    async with two_nodes(tmp_path, accept="hardware") as (bank, tee):
        heard = Heard(bank.node)
        (bank.home / "tee.toml").write_text("base = 5\n")
        vendor = Vendor()
        proof = Proof("sev-guest", vendor.make(), ()).encode()
        tee.mesh.change = lambda message: replace(message, proof=proof) if isinstance(message, AttestReply) else message
        with pytest.raises(ConfigError, match=r"tee\.toml, line 1: base must be one of"):
            await bank.node.ask(TEE, Role.DEALER)
        await bank.mesh.up(TEE)
        judged = await heard.next()
        assert judged.why == "malformed: this node could not judge its proof"
        assert "tee.toml, line 1" in caplog.text


async def test_what_breaks_the_judge_is_refused_and_told(pair, monkeypatch, caplog):
    bank, _ = pair
    heard = Heard(bank.node)
    await bank.mesh.up(TEE)
    assert (await heard.next()).accepted

    def judge(self, *args):
        raise ValueError("what the evidence did to a parser")

    monkeypatch.setattr(Judge, "judge", judge)
    await bank.mesh.up(TEE)
    judged = await heard.next()
    assert (judged.accepted, judged.why) == (False, "malformed: this node could not judge its proof")
    assert bank.node.accepted(TEE) is None
    assert bank.audit.entries[-1][1]["verdict"] == "refuse"
    assert "what the evidence did to a parser" in caplog.text
    assert not (await bank.node.ask(TEE, Role.DEALER)).accepted
