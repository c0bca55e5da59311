"""What a node makes of its peers' hardware: verdicts, standings, who is looked at, and what stands in the audit log."""

import os
from dataclasses import replace

import pytest
import trio
from support.tee.amd import Encoding, Vendor
from support.tee.nodes import BANK, TEE, WORD, Heard, two_nodes

from hansa.config.errors import ConfigError
from hansa.node.tee.evidence.judge import Judge
from hansa.node.tee.peers.attestations import RETRY_AFTER_S
from hansa.node.tee.peers.responder import NO_EVIDENCE, NO_HARDWARE, TOO_OFTEN
from hansa.protocols.errors import PeerError, PeerLost, PeerMisbehaved, PeerTimeout, SecurityError
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role, report_data
from hansa.protocols.wire.attestation.statements.proof import Proof
from hansa.protocols.wire.messages import AttestReply, AttestRequest, Sealed

OTHER = Code(WORD, b"x" * 48)


@pytest.fixture
async def pair(tmp_path):
    async with two_nodes(tmp_path) as nodes:
        yield nodes


@pytest.fixture
def fast(mock_clock):
    """Seconds pass a hundred times as fast: threads work, and patience is soon over."""
    mock_clock.rate = 100
    return mock_clock


def says(problem):
    """For ``Mesh.change``: the enclave's node gives no proof, and says this."""
    return lambda message: replace(message, proof=b"", problem=problem) if isinstance(message, AttestReply) else message


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
    await tee.mesh.send(BANK, Sealed((9).to_bytes(8, "big") + tee.node.job_keys.epoch_token()[8:]))
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
    bank.node._epochs.note(TEE, (7).to_bytes(8, "big") + tee.node.job_keys.epoch_token()[8:])
    judged = await bank.node.ask(TEE, Role.SCORER)
    assert not judged.accepted
    assert "rollback: its sealed state was rolled back: it shows epoch 0, and has shown epoch 7" in judged.why
    assert (judged.platform, judged.code) == (
        WORD,
        (await tee.node.own_code()).measurement,
    )  # what it proved is still shown
    assert tee.node.job_keys.describe()["shut"] is None  # the token was none of its own
    assert (await bank.node.proven(TEE, Role.PEER))[0].accepted  # the code is what it was


async def test_an_enclave_that_goes_on_while_it_is_judged_was_not_rolled_back(pair, monkeypatch):
    """It makes a key for another job, and tells the new epoch, before the verdict on the proof with the older one is there."""
    bank, tee = pair
    assert (await bank.node.ask(TEE, Role.PEER)).accepted
    later = (5).to_bytes(8, "big") + tee.node.job_keys.epoch_token()[8:]
    while_judging(monkeypatch, lambda before: bank.node._epochs.note(TEE, later))
    assert (await bank.node.ask(TEE, Role.ENCLAVE)).accepted
    assert bank.node._epochs.tokens_of(TEE) == later  # and the later one is not forgotten
    judged = await bank.node.ask(TEE, Role.ENCLAVE)  # asked when it was known
    assert "shows epoch 0, and has shown epoch 5 before" in judged.why


# --- the connection that a proof is about -----------------------------------------------------------------------------


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


# --- peers as they are ------------------------------------------------------------------------------------------------


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
            bank.node.relied_on = lambda: [TEE]
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
        bank.node.relied_on = lambda: [TEE]
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


# --- what cannot be judged --------------------------------------------------------------------------------------------


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


async def test_what_is_no_proof_is_misbehaviour_and_a_refusal(pair):
    bank, tee = pair
    heard = Heard(bank.node)
    tee.mesh.change = lambda message: replace(message, proof=b"\x80") if isinstance(message, AttestReply) else message
    with pytest.raises(PeerMisbehaved):
        await bank.node.ask(TEE, Role.DEALER)
    await bank.mesh.up(TEE)
    assert not (await heard.next()).accepted


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


# --- what a question can come to --------------------------------------------------------------------------------------


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
