"""Proposals that a member makes up: judged alone, counted, named as this node names people, and forgotten."""

import dataclasses

import pytest
import trio

from hansa.config.policy import Policy
from hansa.node.contracts.explain import openings_of
from hansa.node.errors import UsageError
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.registry import NEW_AT_ONCE
from hansa.node.jobs.review import MAX_WAITING, MAX_WAITING_OF_ONE
from hansa.node.jobs.store import KEPT_PROPOSALS, KEPT_S, forgettable
from hansa.protocols.wire.consent.certificate import Signature
from hansa.protocols.wire.consent.statements import Offer
from hansa.protocols.wire.consent.terms import Outputs


async def test_a_proposal_signed_for_another_contract_is_no_proposal(autojump_clock, league_of):
    async with league_of() as league:
        elsewhere = league.contract()
        borrowed = Signature.make(league.signing_keys[0], league.identities[0], elsewhere, 0, b"k" * 32)
        contract = league.contract()
        await league.jobs[2].context.mesh.send(league.identities[1], Offer(contract.encode(), (borrowed,)))
        await trio.sleep(1)
        assert league.jobs[1].all() == []
        job = await league.jobs[0].submit(contract)  # and the true proposal is judged as any other
        await league.settled(job.record.job_id, "done")


def of(parties):
    """These parties, and the statement that goes with them."""
    outputs = Outputs("label-owner", "owner", "all")
    return {"parties": parties, "openings": openings_of("train", "lr", outputs, parties, {})}


def proposal(league, rank, **changes):
    """What a node sends that signs whatever it likes."""
    contract = league.contract(**changes)
    signature = Signature.make(league.signing_keys[rank], league.identities[rank], contract, 0, b"k" * 32)
    return Offer(contract.encode(), (signature,))


async def test_proposals_that_wait_for_an_operator_take_no_place(autojump_clock, league_of):
    async with league_of(max_jobs=2) as league:
        league.policies[:2] = [Policy("ask")] * 2
        await league.kill(2)
        for number in range(3):
            await league.jobs[1].on_offer(league.identities[2], proposal(league, 2, name=f"{number}"))
        await trio.sleep(1)
        assert [job.record.awaits_operator for job in league.jobs[1].all()] == [True] * 3
        league.policies[1] = Policy("approve")
        job = await league.jobs[0].submit(league.contract(name="wanted"))
        await league.until(lambda: league.record(1, job.record.job_id) is not None)
        assert league.record(1, job.record.job_id).decision.startswith("approve")
        await league.jobs[1].all()[0].approve()
        with pytest.raises(UsageError, match="2 jobs under way"):
            league.jobs[1].refuse_one_more()


async def test_only_so_many_proposals_wait_for_an_operator(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[:2] = [Policy("ask")] * 2
        for number in range(MAX_WAITING_OF_ONE + 2):
            await league.jobs[1].on_offer(league.identities[2], proposal(league, 2, name=f"{number}"))
        jobs = league.jobs[1].all()
        assert sum(job.record.awaits_operator for job in jobs) == MAX_WAITING_OF_ONE
        assert "16 proposals wait" in jobs[-1].record.error["message"]
        await league.jobs[1].on_offer(league.identities[0], proposal(league, 0, name="another's"))
        assert league.jobs[1].all()[-1].record.awaits_operator  # one proposer takes its own places only
        for job in league.jobs[1].all():
            job.record.proposer = b"%032d" % id(job)  # as if each were another's
        for number in range(MAX_WAITING):
            offer = proposal(league, (0, 2)[number % 2], name=f"more {number}")
            await league.jobs[1].on_offer(league.identities[(0, 2)[number % 2]], offer)
            league.jobs[1].all()[-1].record.proposer = b"%032d" % number
        assert sum(job.record.awaits_operator for job in league.jobs[1].all()) == MAX_WAITING
        league.policies[1] = Policy("approve")
        await league.jobs[1].on_offer(league.identities[0], proposal(league, 0, name="approved"))
        assert league.jobs[1].all()[-1].consent.signed  # what need not wait needs no place


async def test_a_flood_of_proposals_is_neither_judged_nor_kept(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[1] = Policy("refuse")
        for number in range(int(NEW_AT_ONCE) + 20):
            await league.jobs[1].on_offer(league.identities[2], proposal(league, 2, name=f"{number}"))
        assert sum(kind == "contract" for kind, _ in league.audits[1].entries) == NEW_AT_ONCE
        assert len(league.jobs[1].all()) == KEPT_PROPOSALS + 1
        assert len(league.jobs[1].context.store.load_jobs()) == KEPT_PROPOSALS + 1
        assert league.jobs[1].all()[-1].record.contract.name == f"{int(NEW_AT_ONCE) - 1}"


async def test_a_contract_that_expired_long_ago_is_not_even_kept(autojump_clock, league_of):
    async with league_of() as league:
        old = league.now() - 2 * 24 * 3600
        await league.jobs[1].on_offer(league.identities[2], proposal(league, 2, created=old, expires=old + 60))
        assert league.jobs[1].all() == []


async def test_refused_proposals_are_forgotten_in_time_and_signed_ones_not_before_they_expire(
    autojump_clock, league_of
):
    async with league_of() as league:
        records = []
        for number, (secret, certificate) in enumerate([(b"", b""), (b"s", b""), (b"s", b"c")]):
            record = JobRecord(league.contract(name=f"{number}").encode(), league.identities[2], league.now())
            record.state, record.finished = JobState.CANCELLED, league.now()
            record.job_secret, record.certificate = secret, certificate
            records.append(record)
        refused, signed, started = records
        assert forgettable(records, league.now()) == []
        assert forgettable(records, league.now() + KEPT_S + 1) == [signed.job_id, refused.job_id]
        many = [refused, signed, started, *[refused] * KEPT_PROPOSALS]
        assert forgettable(many, league.now()) == [refused.job_id]
        assert signed.job_id in forgettable(many, league.now() + 2 * 24 * 3600)


async def test_a_contract_may_not_call_a_member_by_anothers_name(autojump_clock, league_of):
    """An operator reads names: "bureau" in a contract must not be somebody else than the bureau known here."""
    async with league_of() as league:
        bank, bureau, telecom = league.contract().parties
        parties = (bank, dataclasses.replace(bureau, name="clinic"), dataclasses.replace(telecom, name="bureau"))
        offer = proposal(league, 0, **of(parties))
        await league.jobs[1].on_offer(league.identities[0], offer)
        assert "another node is called so" in league.jobs[1].all()[0].record.error["message"]


async def test_a_name_that_begins_like_another_jobs_id_is_ambiguous(autojump_clock, league_of):
    async with league_of() as league:
        one = await league.jobs[0].submit(league.contract())
        prefix = one.record.job_id.hex()[:6]
        await league.jobs[0].submit(league.contract(name=prefix))
        with pytest.raises(UsageError, match="2 jobs are called"):
            league.jobs[0].find(prefix)


async def test_the_label_of_a_dataset_is_nobodys_feature(autojump_clock, league_of):
    async with league_of() as league:
        bank, bureau, telecom = league.contract().parties
        parties = (
            dataclasses.replace(bank, label=None, columns=("age", "default")),
            dataclasses.replace(bureau, label="default"),
            telecom,
        )
        offer = proposal(league, 1, **of(parties))
        await league.jobs[0].on_offer(league.identities[1], offer)
        assert "uses the label of the dataset" in league.jobs[0].all()[0].record.error["message"]
