"""Jobs as JSON-like data, for the admin socket."""

from __future__ import annotations

from typing import Any

from hansa.node.contracts.explain import trust_of
from hansa.node.jobs.job import Job
from hansa.node.jobs.record import JobRecord, JobState
from hansa.protocols.wire.signing import fingerprint

SHOWN_EVENTS = 50
Json = dict[str, Any]


def summary(job: Job) -> Json:
    """One line of `job list`."""
    record = job.record
    error = record.error if record.state is not JobState.DONE else None
    return {
        "job": record.short,
        "name": record.contract.name,
        "kind": record.contract.kind,
        "state": record.state.value,
        "proposer": record.name_of(record.proposer),
        "created": record.created,
        "parties": [party.name for party in record.contract.parties],
        "waiting_for": waiting_for(job),
        "approval_needed": record.awaits_operator,
        "error": error["message"] if error else None,
    }


def at_a_glance(job: Job, now: int) -> Json:
    """One line of `status`."""
    record = job.record
    mine = job.context.events.latest(record.job_id).get(record.name_of(job.context.me), {})
    return {
        "job": record.short,
        "name": record.contract.name,
        "kind": record.contract.kind,
        "state": record.state.value,
        "waiting_for": waiting_for(job),
        "step": mine.get("step", record.step),
        "done": mine.get("done", 0),
        "total": mine.get("total", 0),
        "age_s": max(0, now - record.created),
    }


def approval(job: Job, now: int) -> Json:
    """A job that waits for this node's operator."""
    record = job.record
    return {
        "job": record.short,
        "name": record.contract.name,
        "kind": record.contract.kind,
        "proposer": record.name_of(record.proposer),
        "purpose": record.contract.purpose,
        "role": record.role(job.context.me),
        "trust": list(trust_of(record.contract)),
        "expires_in_s": max(0, record.contract.expires - now),
    }


def waiting_for(job: Job) -> list[str]:
    """The parties whose word or presence the job waits for."""
    record = job.record
    if record.state is JobState.PROPOSED:
        identities: tuple[bytes, ...] = job.consent.waiting_for
    elif record.state is JobState.INTERRUPTED:
        mesh = job.context.mesh
        identities = tuple(i for i in record.others(job.context.me) if not mesh.online(i))
    else:
        identities = ()
    return [record.name_of(identity) for identity in identities]


def full(job: Job) -> Json:
    """Everything about a job."""
    record, contract = job.record, job.record.contract
    result = record.result if record.state is JobState.DONE else None
    return {
        **summary(job),
        "id": record.job_id.hex(),
        "purpose": contract.purpose,
        "expires": contract.expires,
        "finished": record.finished or None,
        "attempt": record.attempt,
        "decision": record.decision,
        "parties": [_member(job, rank) for rank in range(len(contract.members))],
        "leakage": [opening.text for opening in contract.openings],
        "trust": list(trust_of(contract)),
        "contract": contract.describe(),
        "events": job.context.events.history(record.job_id)[-SHOWN_EVENTS:],
        "error": record.error if record.state is not JobState.DONE else None,
        "result": result,
        "metrics": result["metrics"] if result else None,
        "model": _model(record) if record.role(job.context.me) == "party" else None,
        "scores": result["scores"] or None if result else None,
    }


def _member(job: Job, rank: int) -> Json:
    """A member; a dealer or enclave brings nothing."""
    record, context = job.record, job.context
    member = record.contract.members[rank]
    party = record.contract.party(member.identity)
    latest = context.events.latest(record.job_id).get(member.name, {})
    return {
        "rank": rank,
        "name": member.name,
        "role": record.role(member.identity),
        "fingerprint": fingerprint(member.identity),
        "me": member.identity == context.me,
        "online": member.identity == context.me or context.mesh.online(member.identity),
        "consent": _consent(job, member.identity),
        "dataset": party.dataset if party is not None else None,
        "columns": list(party.columns) if party is not None else [],
        "label": party.label if party is not None else None,
        "categorical": list(party.categorical) if party is not None else [],
        "weight": party.weight if party is not None else None,
        "step": latest.get("step"),
        "done": latest.get("done"),
        "total": latest.get("total"),
        "rounds": latest.get("rounds"),
        "bytes_sent": latest.get("bytes_sent"),
        "elapsed_s": latest.get("elapsed_s"),
    }


def _consent(job: Job, identity: bytes) -> str:
    for end in job.consent.ends:
        if end.identity == identity:
            return end.kind
    return "waiting" if identity in job.consent.waiting_for else "signed"


def _model(record: JobRecord) -> str | None:
    if record.contract.model is not None:
        return record.contract.model.hex()[:16]
    return record.short if record.state is JobState.DONE and record.contract.kind == "train" else None
