import os
from contextlib import closing

import pytest

from hansa.node.jobs import store as job_store
from hansa.node.jobs.failure import node_lost
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.store import JobStore
from hansa.node.store import Store


@pytest.fixture
def store(tmp_path):
    with closing(Store(tmp_path)) as opened:
        yield JobStore(opened)


async def record_of(league_of):
    async with league_of() as league:
        contract = league.contract()
        return JobRecord(contract.encode(), league.identities[0], 1_800_000_000)


async def test_a_record_survives_with_everything_in_it(autojump_clock, league_of, tmp_path):
    record = await record_of(league_of)
    record.state = JobState.INTERRUPTED
    record.verdict = node_lost(record.identities[1], "bureau", step="train", job=record.short)
    record.error = record.verdict.error
    record.result = {"rows": 3, "metrics": {"auc": 0.5}, "scores": ""}
    record.done_by = {record.identities[2]: b"d" * 32}
    record.ends = [b"end"]
    record.job_secret = os.urandom(32)
    assert JobRecord.decode(record.encode()) == record
    (tmp_path / "store").mkdir()
    with closing(Store(tmp_path / "store")) as opened:
        JobStore(opened).save_job(record)
        record.state = JobState.RUNNING
        JobStore(opened).save_job(record)
    with closing(Store(tmp_path / "store")) as opened:
        assert JobStore(opened).load_jobs() == [record]


async def test_a_job_that_this_version_would_not_sign_does_not_keep_the_daemon_from_starting(
    autojump_clock, league_of, store, caplog
):
    """Contracts are checked again when they are read: a rule added since must cost this job only."""
    record = await record_of(league_of)
    store.save_job(record)
    body = record.encode()
    store._store.write("INSERT INTO jobs VALUES (?, 1, ?)", b"o" * 32, body.replace(b"replicated", b"antiquated"))
    store._store.write("INSERT INTO jobs VALUES (?, 1, ?)", b"p" * 32, body[:-9])
    assert store.load_jobs() == [record]
    assert caplog.text.count("cannot be read by this version") == 2


def test_events_are_kept_in_order_and_bounded(store, monkeypatch):
    monkeypatch.setattr(job_store, "MAX_EVENTS", 3)
    for number in range(5):
        store.append_event(b"j" * 32, {"number": number})
        store.append_event(b"k" * 32, {"number": -number})
    assert [event["number"] for event in store.events(b"j" * 32)] == [2, 3, 4]
    assert len(store.events(b"k" * 32)) == 3
    assert store.events(b"x" * 32) == []


def test_final_states_are_those_in_which_nothing_more_happens():
    final = {state.value for state in JobState if state.final}
    assert final == {"done", "failed", "refused", "expired", "cancelled"}
