"""Consent and lifecycle over three nodes: what everybody ends up believing."""

import dataclasses

import pytest
import trio

from hansa.config.policy import Policy, Rule
from hansa.node.contracts.explain import openings_of
from hansa.node.errors import UsageError
from hansa.protocols.errors import ConsentError
from hansa.protocols.wire.consent.certificate import Signature
from hansa.protocols.wire.consent.statements import Offer
from hansa.protocols.wire.consent.terms import Outputs
from hansa.protocols.wire.messages import ProgressNote


async def test_a_job_that_all_approve_runs_to_done(autojump_clock, league_of):
    async with league_of() as league:
        job = await league.jobs[1].submit(league.contract())
        await league.settled(job.record.job_id, "done")
        assert sorted(league.starts) == [(rank, 0, -1) for rank in range(3)]
        for rank in range(3):
            record = league.record(rank, job.record.job_id)
            assert record.result["rows"] == 10
            assert record.certificate == league.record(0, job.record.job_id).certificate
            kinds = [kind for kind, _ in league.audits[rank].entries]
            assert kinds.count("consent") == 3
            assert {"contract", "job-started", "job-done"} <= set(kinds)
            assert league.jobs[rank].context.model_file(job.record.job_id).read_bytes() == b"sealed model"
            assert league.jobs[rank].context.routes == {}


async def test_every_party_sees_every_partys_progress(autojump_clock, league_of):
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract())
        await league.settled(job.record.job_id, "done")
        events = league.jobs[2].context.events.history(job.record.job_id)
        steps = {(event["party"], event["step"]) for event in events if event["kind"] == "step"}
        assert steps == {(name, step) for name in ("bank", "bureau", "telecom") for step in ("align", "train")}


async def test_progress_told_after_the_end_is_not_heard(autojump_clock, league_of):
    async with league_of() as league:
        job_id = (await league.jobs[0].submit(league.contract())).record.job_id
        await league.settled(job_id, "done")
        events = league.jobs[2].context.events
        before = events.history(job_id)
        await league.jobs[2].on_progress(league.identities[0], ProgressNote(job_id, 0, "again", 1, 2, 3, 4, 5))
        assert events.history(job_id) == before
        assert events.latest(job_id) == {}


async def test_a_policy_that_refuses_ends_it_everywhere_with_the_reason(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[2] = Policy("approve", (Rule("refuse", peers=("bank", "bureau"), weights=("owner",)),))
        job = await league.jobs[0].submit(league.contract())
        await league.settled(job.record.job_id, "refused")
        messages = {error["message"] for error in league.errors(job.record.job_id)}
        assert messages == {"telecom refused the job: by policy: rule 1 of policy.toml says refuse"}
        assert league.starts == []


async def test_an_operator_is_asked_and_may_approve(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[1] = Policy("ask")
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.until(lambda: league.states(job_id) == ["proposed"] * 3)
        await league.until(lambda: job.consent.waiting_for == (league.identities[1],))
        asked = league.jobs[1].get(job_id)
        assert asked.record.awaits_operator
        await asked.approve()
        assert not asked.record.awaits_operator
        await league.settled(job_id, "done")


async def test_an_operator_may_refuse_but_not_after_signing(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[1] = Policy("ask")
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.until(lambda: league.record(1, job_id) is not None)
        await league.jobs[1].get(job_id).refuse("not this month")
        await league.settled(job_id, "refused")
        assert {e["message"] for e in league.errors(job_id)} == {"bureau refused the job: not this month"}
        with pytest.raises(ConsentError, match="final"):
            await job.refuse("too late")


async def test_an_unsigned_contract_expires_alike_everywhere(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[2] = Policy("ask")
        job = await league.jobs[0].submit(league.contract(expires=league.now() + 60))
        await league.settled(job.record.job_id, "expired")
        assert {e["message"] for e in league.errors(job.record.job_id)} == {
            "the contract expired before every party had signed"
        }


async def test_cancel_while_it_runs_stops_every_worker(autojump_clock, league_of):
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.settled(job_id, "running")
        await league.jobs[2].get(job_id).cancel("wrong table")
        await league.settled(job_id, "cancelled")
        assert {e["message"] for e in league.errors(job_id)} == {"telecom cancelled the job: wrong table"}
        await league.until(lambda: all(jobs.context.routes == {} for jobs in league.jobs))
        with pytest.raises(ConsentError, match="cancelled already"):
            await league.jobs[1].get(job_id).cancel("again")


async def test_a_done_job_cannot_be_cancelled(autojump_clock, league_of):
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract())
        await league.settled(job.record.job_id, "done")
        with pytest.raises(ConsentError, match="done already"):
            await job.cancel("x")


async def test_the_proposer_may_die_after_commit(autojump_clock, league_of):
    """The others hold the full certificate: they run into the loss, and finish once the proposer is back."""
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract())
        job_id = job.record.job_id
        await league.settled(job_id, "running")
        await league.kill(0)
        await league.until(lambda: league.states(job_id)[1:] == ["interrupted"] * 2)
        await league.start(0)
        await league.settled(job_id, "done")


async def test_a_proposal_made_while_a_party_is_away_reaches_it_later(autojump_clock, league_of):
    async with league_of() as league:
        await league.kill(2)
        job = await league.jobs[0].submit(league.contract())
        await trio.sleep(5)
        assert league.states(job.record.job_id)[:2] == ["proposed"] * 2
        await league.start(2)
        await league.settled(job.record.job_id, "done")


async def test_two_contracts_over_one_nonce_are_evidence_everywhere(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[2] = Policy("ask")
        nonce = b"n" * 16
        one = league.contract(nonce=nonce)
        other = league.contract(nonce=nonce, name="another")
        await league.jobs[0].submit(one)
        await trio.sleep(1)
        forged = Signature.make(league.signing_keys[0], league.identities[0], other, 0, b"k" * 32)
        offer = Offer(other.encode(), (forged,))
        await league.jobs[0].context.mesh.send(league.identities[1], offer)
        await league.settled(one.job_id, "refused")
        for error in league.errors(one.job_id):
            assert "the contract differs between parties: bank signed two contracts" in error["message"]
        assert any(kind == "evidence" for kind, _ in league.audits[2].entries)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda league: {"expires": league.now() + 90, "created": league.now() + 80}, None),
        (lambda league: {"created": league.now() + 3600, "expires": league.now() + 7200}, "in the future"),
    ],
)
async def test_a_contract_from_the_future_is_refused(autojump_clock, league_of, change, match):
    async with league_of() as league:
        contract = league.contract(**change(league))
        if match is None:
            await league.jobs[0].submit(contract)
            return
        with pytest.raises(UsageError, match=match):
            await league.jobs[0].submit(contract)


async def propose_past_own_checks(league, contract):
    """What a node with a hand-made proposal could send."""
    job = league.jobs[0]._add(contract, league.identities[0])
    await job.approve()
    return job


def party(league, rank, **changes):
    contract = league.contract()
    parties = list(contract.parties)
    parties[rank] = dataclasses.replace(parties[rank], **changes)
    return {"parties": tuple(parties)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lg: {"openings": ()}, "its statement of what is opened to whom is not what such a job opens"),
        (lambda lg: party(lg, 2, dataset="nothing"), "this node has no dataset 'nothing'"),
        (lambda lg: party(lg, 2, schema_digest=b"x" * 32), "the schema of the dataset 'clients' is not the one"),
        (lambda lg: party(lg, 2, columns=("city",)), "the dataset 'clients' has no number column 'city'"),
        (lambda lg: party(lg, 2, columns=("agee",)), "the dataset 'clients' has no column 'agee'"),
        (lambda lg: {"kind": "release", "model": b"m" * 32}, "its statement|this node has no such model"),
    ],
)
async def test_a_contract_that_does_not_fit_is_refused_with_the_reason(autojump_clock, league_of, change, reason):
    async with league_of() as league:
        job = await propose_past_own_checks(league, league.contract(**change(league)))
        await league.settled(job.record.job_id, "refused")
        (message,) = {error["message"] for error in league.errors(job.record.job_id)}
        assert any(text in message for text in reason.split("|"))


async def test_a_contract_longer_than_peers_read_is_refused_where_it_is_made(autojump_clock, league_of):
    async with league_of() as league:
        columns = tuple(f"{number:>250}" for number in range(5000))
        with pytest.raises(UsageError, match="peers read 1048576: name fewer columns"):
            await league.jobs[0].submit(league.contract(**party(league, 2, columns=columns)))


async def test_a_stranger_among_the_parties_is_refused(autojump_clock, league_of):
    async with league_of() as league:
        with pytest.raises(UsageError, match="eve is not a peer"):
            await league.jobs[0].submit(league.contract(**party(league, 2, identity=b"e" * 32, name="eve")))


async def test_a_proposal_without_signature_or_for_others_is_ignored(autojump_clock, league_of):
    async with league_of() as league:
        contract = league.contract()
        await league.jobs[1].on_offer(league.identities[0], Offer(contract.encode(), ()))
        assert league.jobs[1].all() == []


async def test_more_jobs_than_the_limit_are_refused(autojump_clock, league_of):
    async with league_of(max_jobs=1) as league:
        await league.jobs[0].submit(league.contract())
        with pytest.raises(UsageError, match="has 1 jobs under way"):
            await league.jobs[0].submit(league.contract(name="second"))


async def test_the_bound_on_rows_is_the_nodes_own(autojump_clock, league_of):
    async with league_of() as league:
        limits = dataclasses.replace(league.contract().limits, max_rows=1001)
        with pytest.raises(UsageError, match="allows 1001 rows, this node at most 1000"):
            await league.jobs[0].submit(league.contract(limits=limits))


async def test_jobs_are_found_by_prefix_or_name(autojump_clock, league_of):
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract())
        text = job.record.job_id.hex()
        assert league.jobs[0].find(text[:8]) is job
        assert league.jobs[0].find(text) is job
        assert league.jobs[0].find("credit") is job
        for unknown in ("", "zzzz", text[:2]):
            with pytest.raises(UsageError, match="no job is called"):
                league.jobs[0].find(unknown)
        await league.jobs[0].submit(league.contract())
        with pytest.raises(UsageError, match="2 jobs are called"):
            league.jobs[0].find("credit")


async def test_outputs_that_a_rule_does_not_name_are_asked_about(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[1] = Policy("ask", (Rule("approve", scores=("label-owner",)),))
        outputs = Outputs("all", "owner", "all")
        contract = league.contract(outputs=outputs)
        contract = dataclasses.replace(
            contract,
            openings=openings_of("train", "lr", outputs, contract.parties, {}),
        )
        job = await league.jobs[0].submit(contract)
        await league.until(lambda: (r := league.record(1, job.record.job_id)) is not None and r.awaits_operator)
