"""What a worker is given for an attempt."""

import time
from types import SimpleNamespace

import pytest
from support.tee.members import NOW, SIGNING_KEYS, VOTERS, contract

from hansa.node.contracts.build import openings_of
from hansa.node.contracts.release_policies import policy_of
from hansa.node.errors import UsageError
from hansa.node.jobs.record import JobRecord
from hansa.node.jobs.start import signed_policy, start_of
from hansa.protocols.wire.attestation.statements.release_policy import ReleasePolicy

JOB = contract()


def test_a_daemon_signs_for_an_hour_at_most_and_puts_it_on_record(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    entries = []
    log = SimpleNamespace(append=lambda kind, body: entries.append(body | {"kind": kind}))
    context = SimpleNamespace(me=VOTERS[0], signing_key=SIGNING_KEYS[0], now=lambda: NOW, audit=log)
    signed = signed_policy(context, SimpleNamespace(contract=JOB, short="j"))
    policy = ReleasePolicy.verified_untrusted(signed)
    assert policy == policy_of(JOB, JOB.parties[0], NOW + 3600)
    assert [(each["kind"], each["until"]) for each in entries] == [("release-policy", NOW + 3600)]


def record_of(league, **changes):
    return JobRecord(league.contract(**changes).encode(), league.identities[0], league.now(), attempt=2, resume_epoch=1)


async def test_a_party_is_given_its_table_and_where_its_files_go(autojump_clock, league_of):
    async with league_of() as league:
        context = league.jobs[1].context
        record = record_of(league)
        start = start_of(context, record)
        assert (start.attempt, start.resume_epoch, start.me) == (2, 1, league.identities[1])
        assert start.dataset == {"path": "/nowhere", "columns": ["age", "income"]}
        assert start.addresses == {league.identities[rank]: ["127.0.0.1:1"] for rank in (0, 2)}
        assert start.scores_file == str(context.scores_file(record.job_id))
        assert (start.model, start.released_file, start.correlation_store, start.release_policy) == (b"", "", "", b"")


async def test_a_prediction_needs_this_nodes_part_of_the_model(autojump_clock, league_of):
    async with league_of() as league:
        context = league.jobs[1].context
        record = record_of(league, kind="predict", model=b"m" * 32, test_fraction=0.0, openings=scored(league))
        with pytest.raises(UsageError, match="the sealed part of model 6d6d6d6d6d6d6d6d is gone"):
            start_of(context, record)
        file = context.model_file(b"m" * 32)
        file.parent.mkdir(parents=True)
        file.write_bytes(b"sealed")
        assert start_of(context, record).model == b"sealed"


def scored(league):
    base = league.contract()
    return openings_of("predict", "lr", base.outputs, base.parties, base.params)
