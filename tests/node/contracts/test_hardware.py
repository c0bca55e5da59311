"""A job that relies on a member in trusted hardware: who signs, and what ends when the proof does."""

import os
from types import SimpleNamespace

import pytest
import trio

from hansa.config.errors import ConfigError
from hansa.config.policy import Policy, Rule
from hansa.node.contracts.explain import openings_of
from hansa.node.contracts.hardware import AT_FAULT
from hansa.node.errors import EvidenceError, UsageError
from hansa.node.jobs.review import MAX_WAITING_OF_ONE
from hansa.node.worker.messages import Attested, Finished
from hansa.protocols.errors import PeerTimeout
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.consent import Consent
from hansa.protocols.wire.consent.contract import VERSION
from hansa.protocols.wire.consent.statements import Offer
from hansa.protocols.wire.consent.terms import Dealer, Outputs

CODE = Code("SGX", b"c" * 32)
POLICY = Policy("refuse", (Rule("approve", peers=("bank", "bureau", "telecom")), Rule("approve", roles=("dealer",))))


def judged(accepted=True, code=CODE.measurement, platform="SGX", why="as asked"):
    return SimpleNamespace(accepted=accepted, code=code, platform=platform, why=why)


def dealt(league, **changes):
    parties = league.contract().parties[:2]
    outputs = Outputs("label-owner", "owner", "all")
    fields = {
        "version": VERSION,
        "engine": "additive",
        "parties": parties,
        "outputs": outputs,
        "openings": openings_of("train", "lr", outputs, parties, {}),
        "dealer": Dealer(league.identities[2], "telecom"),
        "codes": (CODE,),
    }
    return league.contract(**(fields | changes))


@pytest.fixture
def league_in_hardware(league_of):
    """The telecom deals in hardware, which both others accept."""

    def make(verdicts=None, codes=None, **more):
        scripts = {(2, attempt): [20, Finished({"rows": 0, "test_rows": 0}, b"")] for attempt in range(3)}
        fields = {
            "policies": [POLICY] * 3,
            "scripts": scripts | more.pop("scripts", {}),
            "verdicts": {0: judged(), 1: judged()} | (verdicts or {}),
            "codes": {2: CODE} | (codes or {}),
        }
        return league_of(**(fields | more))

    return make


async def test_everybody_asks_for_itself_before_it_signs(autojump_clock, league_in_hardware):
    async with league_in_hardware() as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.settled(job, "done")
        assert sorted(league.asked) == [(0, 2, "dealer", (CODE,)), (1, 2, "dealer", (CODE,))]
        for audit in league.audits:
            assert dict(audit.entries)["contract"]["codes"] == [f"SGX:{CODE.measurement.hex()}"]


async def test_a_proposer_does_not_propose_what_it_cannot_rely_on(autojump_clock, league_in_hardware):
    async with league_in_hardware(verdicts={0: judged(False, why="debug: it can be debugged")}) as league:
        with pytest.raises(UsageError, match="telecom is refused as dealer: debug: it can be debugged"):
            await league.jobs[0].submit(dealt(league))
        assert not league.jobs[0].all()


async def test_one_party_that_is_not_convinced_refuses_for_all(autojump_clock, league_in_hardware):
    async with league_in_hardware(verdicts={1: judged(False, why="tcb: OutOfDate")}) as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.settled(job, "refused")
        assert league.starts == []
        decision = league.jobs[1].get(job).record.decision
        assert decision == "refused: telecom is refused as dealer: tcb: OutOfDate"


async def test_an_operator_cannot_approve_what_is_not_proven(autojump_clock, league_in_hardware):
    asks = Policy("ask")
    async with league_in_hardware(policies=[POLICY, asks, POLICY]) as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await trio.sleep(1)
        there = league.jobs[1].get(job)
        assert there.record.awaits_operator
        league.verdicts[1] = judged(False, why="revoked")
        with pytest.raises(UsageError, match="telecom is refused as dealer: revoked"):
            await league.jobs[1].refuse_unproven(there)
        league.verdicts[1] = judged()
        await league.jobs[1].refuse_unproven(there)


def proposal(league, **changes):
    """The bank proposes; nothing of it is checked at the bank itself."""
    contract = dealt(league, **({"nonce": os.urandom(16)} | changes))
    consent = Consent(contract, me=league.identities[0], signing_key=league.signing_keys[0])
    consent.approve(os.urandom(32), league.now())
    return contract, Offer(contract.encode(), consent.signatures)


@pytest.mark.parametrize(
    ("policy", "changes", "decision"),
    [
        (Policy("refuse"), {}, "refuse by policy"),
        (Policy("ask"), {}, "ask by policy"),
        (Policy("ask", (Rule("approve", purposes=("other",), dealers=("*",)),)), {}, "ask by policy"),
        (POLICY, {"openings": ()}, "refused: its statement of what is opened"),
    ],
)
async def test_nobody_is_asked_for_proofs_before_checks_and_policy_agree(
    policy, changes, decision, autojump_clock, league_in_hardware
):
    """Else any member could have this node ask a third one, as often as it likes."""
    async with league_in_hardware(policies=[POLICY, policy, POLICY]) as league:
        contract, offer = proposal(league, **changes)
        await league.jobs[1].on_offer(league.identities[0], offer)
        await trio.sleep(5)
        assert league.record(1, contract.job_id).decision.startswith(decision)
        assert [rank for rank, *_ in league.asked if rank == 1] == []


async def test_what_waits_for_proofs_is_bounded_and_holds_up_nothing(autojump_clock, league_in_hardware):
    proven = trio.Event()

    async def slowly():
        await proven.wait()
        return judged()

    async with league_in_hardware(verdicts={1: slowly}, max_jobs=MAX_WAITING_OF_ONE + 9) as league:
        jobs = []
        for number in range(MAX_WAITING_OF_ONE + 2):
            contract, offer = proposal(league, name=f"{number}")
            await league.jobs[1].on_offer(league.identities[0], offer)
            jobs.append(contract.job_id)
        await trio.sleep(1)
        records = [league.record(1, job) for job in jobs]
        assert [record.awaits_operator for record in records] == [True] * MAX_WAITING_OF_ONE + [False] * 2
        assert records[-1].decision == f"refused: {MAX_WAITING_OF_ONE} proposals wait for this node's operator already"
        assert len([rank for rank, *_ in league.asked if rank == 1]) == MAX_WAITING_OF_ONE
        await league.jobs[1].get(jobs[0]).refuse("not today")
        proven.set()
        await trio.sleep(1)
        assert records[0].state == "refused"
        assert all(league.jobs[1].get(job).consent.signed for job in jobs[1:MAX_WAITING_OF_ONE])


@pytest.mark.parametrize("change", ["policy", "rival"])
async def test_what_changed_while_a_proof_was_made_counts(change, autojump_clock, league_in_hardware):
    async def slowly():
        await trio.sleep(5)
        return judged()

    async with league_in_hardware(verdicts={1: slowly}) as league:
        contract, offer = proposal(league)
        await league.jobs[1].on_offer(league.identities[0], offer)
        if change == "policy":
            league.policies[1] = Policy("refuse")
        else:
            _, rival = proposal(league, nonce=contract.nonce, name="rival")
            await league.jobs[1].on_offer(league.identities[0], rival)
        await trio.sleep(6)
        assert not league.jobs[1].get(contract.job_id).consent.signed
        assert league.record(1, contract.job_id).state == "refused"


async def test_a_peer_that_gives_no_proof_is_named_to_all(autojump_clock, league_in_hardware):
    silent = PeerTimeout("telecom did not prove its code within 30 s", remedy="look at its log")
    async with league_in_hardware(verdicts={1: silent}) as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.settled(job, "refused")
        assert "telecom did not prove its code within 30 s" in league.errors(job)[0]["message"]


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("/home/alice/tee.toml, line 1: base must be one of strict, report", remedy="edit it"),
        EvidenceError("the collateral /home/alice/vcek.der cannot be read", remedy="correct it"),
    ],
)
async def test_what_is_wrong_with_own_files_is_told_to_own_people_only(
    error, autojump_clock, league_in_hardware, caplog
):
    async with league_in_hardware(verdicts={1: error}) as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.settled(job, "refused")
        assert AT_FAULT in league.errors(job)[0]["message"]
        assert "alice" not in str(league.errors(job)) + league.record(1, job).decision
        assert error.message in caplog.text
        with pytest.raises(UsageError, match="alice"):
            await league.jobs[1].submit(dealt(league, nonce=b"n" * 16))


async def test_a_fault_of_the_judge_ends_no_daemon(autojump_clock, league_in_hardware):
    async with league_in_hardware(verdicts={1: ValueError("a parser")}) as league:
        contract, offer = proposal(league)
        await league.jobs[1].on_offer(league.identities[0], offer)
        await trio.sleep(5)
        assert league.record(1, contract.job_id).awaits_operator
        league.verdicts[1] = judged()
        await league.jobs[1].refuse_unproven(league.jobs[1].get(contract.job_id))


async def test_hardware_is_in_use_while_its_job_runs(autojump_clock, league_in_hardware):
    async with league_in_hardware() as league:
        assert league.jobs[0].hardware_in_use() == set()
        plain = (await league.jobs[0].submit(dealt(league, codes=(), nonce=b"o" * 16))).record.job_id
        await league.until(lambda: league.jobs[0].get(plain).running is not None)
        assert league.jobs[0].hardware_in_use() == set()
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.until(lambda: league.jobs[0].get(job).running is not None)
        assert league.jobs[0].hardware_in_use() == {league.identities[2]}
        await league.settled(job, "done")
        assert league.jobs[0].hardware_in_use() == set()


@pytest.mark.parametrize(
    ("own", "why"),
    [
        (None, "this node runs in no trusted hardware"),
        (Code("SGX", b"d" * 32), f"this node runs the code {(b'd' * 32).hex()} on SGX"),
        (Code("insecure-simulated", b"c" * 32), "on insecure-simulated, which the contract does not accept"),
    ],
)
async def test_a_dealer_of_other_code_refuses_itself(own, why, autojump_clock, league_in_hardware):
    async with league_in_hardware(codes={2: own}) as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await league.settled(job, "refused")
        assert why in league.jobs[2].get(job).record.decision


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (judged(False, code=b"", why="tcb: Revoked"), "telecom is no longer attested: tcb: Revoked"),
        (judged(code=b"d" * 32), f"telecom now runs other code than the contract accepts: {(b'd' * 32).hex()}"),
    ],
)
async def test_a_member_that_loses_its_proof_ends_its_job_and_no_other(later, why, autojump_clock, league_in_hardware):
    async with league_in_hardware(scripts={(rank, 0): [30] for rank in range(3)}) as league:
        relies = (await league.jobs[0].submit(dealt(league))).record.job_id
        other = (await league.jobs[0].submit(dealt(league, codes=(), nonce=b"o" * 16))).record.job_id
        await trio.sleep(2)
        assert league.jobs[0].get(relies).running is not None
        await league.jobs[0].hardware_judged(league.identities[2], later)
        await league.settled(relies, "failed")
        assert {error["message"] for error in league.errors(relies)} == {why}
        assert [league.jobs[rank].get(other).record.state for rank in range(3)] == ["running"] * 3


async def test_a_verdict_as_it_was_ends_nothing(autojump_clock, league_in_hardware):
    async with league_in_hardware() as league:
        job = (await league.jobs[0].submit(dealt(league))).record.job_id
        await trio.sleep(1)
        await league.jobs[0].hardware_judged(league.identities[2], judged())
        await league.jobs[0].hardware_judged(league.identities[1], judged(False))  # nobody relies on its hardware
        await league.settled(job, "done")


async def test_what_a_worker_made_of_a_proof_is_on_record(autojump_clock, league_in_hardware):
    def told(league):
        return Attested(league.identities[2], "dealer", {"verdict": "accept", "platform": "SGX"})

    async with league_in_hardware() as league:
        league.scripts[1, 0] = [told(league), *league.honest()]
        job = await league.jobs[0].submit(dealt(league))
        await league.settled(job.record.job_id, "done")
        entries = [body for kind, body in league.audits[1].entries if kind == "attestation"]
        assert entries == [
            {
                "peer": "telecom",
                "role": "dealer",
                "job": job.record.short,
                "verdict": "accept",
                "platform": "SGX",
            }
        ]
