"""Everything a node remembers of one job: what it writes down before it acts on it, so that kill -9 loses nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import msgpack

from hansa.node.worker.verdict import FailureVerdict, Priority
from hansa.protocols.mpc.additive.stored.kinds import STORED_KINDS
from hansa.protocols.wire.consent.contract import Contract


class JobState(StrEnum):
    """Where a job stands at this node. node.jobs.lifecycle has the table of what leads from one state to the next."""

    PROPOSED = "proposed"
    COMMITTED = "committed"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """It has ended here; only what outranks this end can still change it."""
        return self in {JobState.DONE, JobState.FAILED, JobState.REFUSED, JobState.EXPIRED, JobState.CANCELLED}


@dataclass(slots=True)
class JobRecord:
    """One job at one node. ``created`` is unix seconds of when this node first saw it.

    ``offer`` and ``ends`` are the consent known so far, as encoded control messages; ``job_secret`` is this node's
    secret job key of ``attempt``, ``offered_secret`` that of ``offered``, the attempt it last offered to resume with;
    ``verdict`` is why the last attempt ended; ``result`` is what this node's worker made of ``result_attempt``,
    ``done_by`` who else has theirs, and its digest.
    """

    contract_bytes: bytes
    proposer: bytes
    created: int
    state: JobState = JobState.PROPOSED
    awaits_operator: bool = False
    decision: str = ""
    offer: bytes = b""
    ends: list[bytes] = field(default_factory=list)
    attempt: int = 0
    job_secret: bytes = field(default=b"", repr=False)
    certificate: bytes = b""
    offered: int = 0
    offered_secret: bytes = field(default=b"", repr=False)
    resume_epoch: int = -1
    step: str = ""
    error: dict[str, Any] | None = None
    verdict: FailureVerdict | None = None
    result: dict[str, Any] | None = field(default=None, repr=False)
    result_attempt: int = -1
    done_by: dict[bytes, bytes] = field(default_factory=dict)
    finished: int = 0
    contract: Contract = field(init=False)

    def __post_init__(self) -> None:
        self.contract = Contract.decode_untrusted(self.contract_bytes)

    @property
    def job_id(self) -> bytes:
        """The job's full id."""
        return self.contract.job_id

    @property
    def short(self) -> str:
        """The job's id as people type it."""
        return self.job_id.hex()[:16]

    @property
    def identities(self) -> list[bytes]:
        """All members, in rank order."""
        return [member.identity for member in self.contract.members]

    def others(self, me: bytes) -> list[bytes]:
        """All members but this node."""
        return [identity for identity in self.identities if identity != me]

    def role(self, me: bytes) -> str:
        """What this node is in the job: party, dealer or enclave."""
        if self.contract.party(me) is not None:
            return "party"
        return "dealer" if self.contract.dealer is not None else "enclave"

    @property
    def drawn(self) -> dict[str, int]:
        """How many correlations of each stored kind the job used at this node; empty where it is not done, or used none."""
        drawn = (self.result or {}).get("drawn") if self.state is JobState.DONE else None
        return {kind: int(n) for kind, n in (drawn or {}).items() if kind in STORED_KINDS and n}

    def done_by_all(self, attempt: int) -> bool:
        """Whether this node and every other member have the result of this attempt."""
        return self.result_attempt == attempt and len(self.done_by) == len(self.contract.members) - 1

    def name_of(self, identity: bytes | None) -> str:
        """A member's name in the contract."""
        return next((m.name for m in self.contract.members if m.identity == identity), "an unknown party")

    def encode(self) -> bytes:
        """The record as bytes, for the store."""
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        data["state"] = self.state.value
        if self.verdict is not None:
            verdict = self.verdict
            data["verdict"] = [int(verdict.priority), verdict.culprit, verdict.step, verdict.error]
        packed: bytes = msgpack.packb(data)
        return packed

    @classmethod
    def decode(cls, body: bytes) -> JobRecord:
        """The record again (our own bytes, from our own store)."""
        data = msgpack.unpackb(body, strict_map_key=False)
        data["state"] = JobState(data["state"])
        if data["verdict"] is not None:
            priority, culprit, step, error = data["verdict"]
            data["verdict"] = FailureVerdict(Priority(priority), culprit, step, error)
        return cls(**data)
