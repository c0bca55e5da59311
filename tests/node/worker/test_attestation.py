"""A member's proof over a job's own links: to whom it counts, and who is named where it does not come."""

from functools import partial
from types import SimpleNamespace

import pytest
import trio
from nacl.bindings import crypto_scalarmult_base
from support.tee.members import VOTERS, contract

from hansa.config.settings import TeeSettings
from hansa.node.tee.evidence.devices import insecure_measurement
from hansa.node.tee.evidence.prover import Prover, worker_settings
from hansa.node.worker import attestation as worker_hardware
from hansa.node.worker.attestation import attest
from hansa.protocols.errors import PeerMisbehaved, PeerTimeout, SecurityError
from hansa.protocols.mpc.session.group import culprit
from hansa.protocols.mpc.session.memory import outcomes_of_parties, parties
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import NONCE_BYTES
from hansa.protocols.wire.limits import ATTESTATION_DEADLINE_S

WORD = "insecure-simulated"
CODE, OTHER = (Code(WORD, insecure_measurement(name)) for name in ("this", "another"))
SNP = Code("SEV-SNP", b"\x22" * 48)
JOB = contract(codes=(CODE,))
TEE = len(JOB.parties)


class Members:
    """The three owners and the enclave of a job; a test changes what one of them has before they meet."""

    def __init__(self, home):
        tee = TeeSettings(backend=WORD, accept=WORD, simulated_code="this")
        settings = worker_settings(home, tee, "1") | {"endorsed": []}
        self.tee = [dict(settings) for _ in range(4)]
        self.hashes = {}
        self.verdicts = [[] for _ in range(4)]
        self.parts = {}
        self.done_at = {}

    async def prove(self, session, job=JOB):
        """One member's honest part."""
        rank = session.rank
        start = SimpleNamespace(me=(*VOTERS, b"e" * 32)[rank], tee=self.tee[rank])
        links = {
            peer: SimpleNamespace(
                handshake_hash=self.hashes.get((rank, peer), bytes([min(rank, peer), max(rank, peer)] * 16))
            )
            for peer in session.peers
        }
        reporter = SimpleNamespace(step=lambda name: None, attested=self.verdicts[rank].append)
        proven = await attest(start, job, session, links, reporter)
        self.done_at[rank] = trio.current_time()
        return proven

    async def meet(self, job=JOB):
        """All of them; the outcomes by rank. Who has its proof then waits for the others, as a job does."""

        async def member(session):
            proven = await self.parts.get(session.rank, partial(self.prove, job=job))(session)
            for peer in session.peers:
                await session.send_bytes(peer, b"go")
            for peer in session.peers:
                await session.recv_bytes(peer, 2)
            return proven

        async with parties(4) as sessions:
            return await outcomes_of_parties(sessions, member)


@pytest.fixture
def members(tmp_path):
    return Members(tmp_path)


@pytest.fixture
def waiting_clock():
    """It jumps once nothing happens, in threads either."""
    return trio.testing.MockClock(autojump_threshold=0.1)


def refusals(outcomes):
    """The owners' own errors, by rank."""
    return {rank: error for rank, error in enumerate(outcomes[:TEE]) if isinstance(error, SecurityError)}


async def test_all_send_to_the_key_of_the_code_that_was_proven(members):
    *owners, inside = await members.meet()
    assert inside.public_key == crypto_scalarmult_base(inside.secret_key)
    assert [(owner.code, owner.public_key, owner.secret_key) for owner in owners] == [
        (CODE, inside.public_key, b"")
    ] * 3
    assert inside.code == CODE
    for rank in range(TEE):
        (verdict,) = members.verdicts[rank]
        assert (verdict.member, verdict.role, verdict.verdict["verdict"]) == (b"e" * 32, "enclave", "accept")
    again = await members.meet()
    assert again[0].public_key != inside.public_key


async def test_without_a_code_in_the_contract_nothing_is_sent(members):
    async with parties(4) as sessions:
        before = [session.transcript.bytes_sent for session in sessions]
        outcomes = await outcomes_of_parties(sessions, partial(members.prove, job=contract(codes=())))
        assert [session.transcript.bytes_sent for session in sessions] == before
    assert outcomes == [None] * 4


async def test_a_refused_proof_is_on_record_and_ends_the_job(members):
    members.tee[1]["accept"] = "hardware"
    outcomes = await members.meet()
    (error,) = refusals(outcomes).values()
    assert error.message.startswith("tee is refused as enclave: simulated: simulated evidence is refused")
    assert error.fields["peer"] == TEE
    assert [found.verdict["verdict"] for found in members.verdicts[1]] == ["refuse"]
    assert [culprit(outcome, rank) for rank, outcome in enumerate(outcomes)] == [TEE] * 4


async def test_code_that_the_contract_does_not_name_is_refused(members):
    outcomes = await members.meet(contract(codes=(OTHER,)))
    assert len(refusals(outcomes)) > 0
    for error in refusals(outcomes).values():
        assert f"the contract does not accept the code {CODE}" in error.message


@pytest.mark.parametrize("listed", [True, False])
async def test_code_that_members_endorsed_is_accepted_by_its_votes(listed, members, proof, monkeypatch, tmp_path):
    prover = SimpleNamespace(prove=proof, own_code=lambda: (SNP.platform, SNP.measurement))
    monkeypatch.setattr(worker_hardware, "prover_from", lambda settings: prover)
    (tmp_path / "tee.toml").write_text("")
    for settings in members.tee:
        settings["endorsed"] = [[SNP.platform, (SNP if listed else OTHER).measurement]]
    outcomes = await members.meet(contract(codes=(SNP,)))
    if listed:
        assert [outcome.code for outcome in outcomes] == [SNP] * 4
    else:
        assert "measurement" in next(iter(refusals(outcomes).values())).message


async def test_no_two_proofs_answer_the_same_question(members, monkeypatch):
    """Of one enclave, even over links of one handshake: an old proof never fits."""
    asked, prove = [], Prover.prove
    monkeypatch.setattr(Prover, "prove", lambda self, data: (asked.append(data), prove(self, data))[1])
    members.hashes = {pair: b"h" * 32 for rank in range(TEE) for pair in ((rank, TEE), (TEE, rank))}
    await members.meet()
    assert len(set(asked)) == len(asked) == 3


async def test_a_proof_over_another_link_is_refused(members):
    members.hashes[1, TEE] = b"m" * 32
    (error,) = refusals(await members.meet()).values()
    assert "nonce" in error.message


@pytest.mark.parametrize("length", [0, NONCE_BYTES - 1, NONCE_BYTES + 1])
async def test_a_nonce_of_another_length_is_misbehaviour(length, members):
    async def odd(session):
        with session.step(worker_hardware.STEP):
            await session.send_bytes(TEE, bytes(length))
            await session.recv_bytes(TEE, 1 << 20)

    members.parts[1] = odd
    outcomes = await members.meet()
    assert isinstance(outcomes[TEE], PeerMisbehaved)
    assert [culprit(outcome, rank) for rank, outcome in enumerate(outcomes)] == [1] * 4


async def test_a_member_without_hardware_says_so(members):
    members.tee[TEE]["backend"] = ""
    outcomes = await members.meet()
    assert "runs in no trusted hardware" in outcomes[TEE].message
    assert [culprit(outcome, rank) for rank, outcome in enumerate(outcomes)] == [TEE] * 4


async def silent(session):
    """A process that was stopped: its links live, and it says nothing."""
    with session.step(worker_hardware.STEP):
        while True:
            await session.recv_bytes(TEE if session.rank != TEE else 0, 1 << 20)


@pytest.mark.parametrize("rank", [0, 1, 2])
async def test_a_silent_party_is_named_by_all_and_holds_up_no_other(rank, members, waiting_clock):
    members.parts[rank] = silent
    outcomes = await members.meet()
    assert isinstance(outcomes[TEE], PeerTimeout)
    assert outcomes[TEE].message.startswith(f"party-{rank} did not ask for the proof")
    assert [culprit(outcome, of) for of, outcome in enumerate(outcomes)] == [rank] * 4
    assert sorted(members.done_at) == [other for other in range(TEE) if other != rank]
    assert max(members.done_at.values()) < 1
    assert trio.current_time() <= ATTESTATION_DEADLINE_S + 1


async def test_a_silent_enclave_is_named_by_all(members, waiting_clock):
    members.parts[TEE] = silent
    outcomes = await members.meet()
    assert [culprit(outcome, rank) for rank, outcome in enumerate(outcomes)] == [TEE] * 4
    assert "tee did not prove its code in time" in outcomes[0].message
    assert trio.current_time() <= ATTESTATION_DEADLINE_S * 4 + 1
