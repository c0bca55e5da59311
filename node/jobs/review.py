"""What this node says to a contract: by what it checks itself, then by its policy, and last by the hardware in the contract.

Nothing in a contract is taken on trust. Each check gives the reason of refusal, which every party will read, or None.
Proofs are asked for last: not for a contract that is refused, and of one that waits for the operator only when approved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from hansa.algorithms.errors import DataError
from hansa.config.errors import HansaError
from hansa.config.vocabulary import PREPROCESSING
from hansa.node.contracts import hardware as job_hardware
from hansa.node.contracts.explain import openings_of
from hansa.node.contracts.model_terms import incompatibility
from hansa.node.contracts.policy_match import decide
from hansa.node.correlations.store import check_room
from hansa.node.errors import UsageError
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.job import Job
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.store import KEPT_BYTES
from hansa.protocols.mpc.additive.stored.kinds import weight
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Party
from hansa.protocols.wire.limits import CONTRACT_MAX_BYTES

CLOCK_SLACK_S = 600
MAX_WAITING = 64
"""Proposals that may wait for the operator, or for proofs; further ones are refused."""
MAX_WAITING_OF_ONE = 16
"""The same, by one proposer: no member takes all the places."""

log = logging.getLogger(__name__)

FindJob = Callable[[bytes], JobRecord | None]


def reason_to_refuse(contract: Contract, context: JobContext, find: FindJob, active: int) -> str | None:
    """The first reason why this node cannot take part in the contract; ``active`` counts its jobs under way."""
    # None: this node would deal or be the enclave, which takes neither data nor a model
    mine = contract.party(context.me)
    return (
        _length(contract)
        or _clock(contract, context)
        or _strangers(contract, context)
        or _statement(contract)
        or (_data(contract, mine, context) if mine is not None and contract.kind in {"train", "predict"} else None)
        or (_model(contract, find) if mine is not None and contract.model is not None else None)
        or _size(contract, context, active)
    )


def _length(contract: Contract) -> str | None:
    size = len(contract.encode())
    if size > CONTRACT_MAX_BYTES:
        return (
            f"the contract has {size} bytes, and peers read {CONTRACT_MAX_BYTES}: name fewer columns, or shorter ones"
        )
    return None


def _clock(contract: Contract, context: JobContext) -> str | None:
    ahead = contract.created - context.now()
    if ahead > CLOCK_SLACK_S:
        return f"the contract was made {ahead} s in the future by this node's clock"
    return None


def _strangers(contract: Contract, context: JobContext) -> str | None:
    """Every member must be a peer, and none may bear the name that is another's here: operators read names."""
    known = context.peer_names()
    called = {name: identity for identity, name in known.items()} | {context.name: context.me}
    for member in contract.members:
        if member.identity != context.me and member.identity not in known:
            return f"{member.name} is not a peer of this node"
        if called.get(member.name, member.identity) != member.identity:
            own = known.get(member.identity, "this node")
            return f"it calls {own} '{member.name}', and here another node is called so"
    return None


def _statement(contract: Contract) -> str | None:
    try:
        stated = openings_of(
            contract.kind,
            contract.algorithm,
            contract.outputs,
            contract.parties,
            contract.params,
            engine=contract.engine,
        )
    except DataError as error:
        return error.message
    if stated != contract.openings:
        return "its statement of what is opened to whom is not what such a job opens"
    return None


def _data(contract: Contract, mine: Party, context: JobContext) -> str | None:
    info = context.data.info(mine.dataset, mine.schema_digest)
    if info is None:
        return f"this node has no dataset '{mine.dataset}'"
    if info.schema_digest != mine.schema_digest:
        return f"the schema of the dataset '{mine.dataset}' is not the one in the contract: it has changed"
    used = {*mine.columns, *((mine.weight,) if contract.kind == "train" else ())}
    if set(info.key) & used:
        return f"the contract uses a key of the dataset '{mine.dataset}' as a feature or weight"
    if info.label is not None and info.label in used:
        return f"the contract uses the label of the dataset '{mine.dataset}' as a feature or weight"
    return _columns(mine, dict(info.columns), contract.kind == "train")


def _columns(mine: Party, kinds: Mapping[str, str], training: bool) -> str | None:
    """That the dataset has every column the contract uses, of numbers unless they are categories."""
    for column in (*mine.columns, *((mine.label, mine.weight) if training else ())):
        if column is not None and column not in kinds:
            return f"the dataset '{mine.dataset}' has no column '{column}'"
        if column is not None and column not in mine.categorical and kinds[column] != "number":
            return f"the dataset '{mine.dataset}' has no number column '{column}'"
    return None


def _model(contract: Contract, find: FindJob) -> str | None:
    trained = find(contract.model) if contract.model is not None else None
    if trained is None or trained.state is not JobState.DONE or trained.contract.kind != "train":
        return "this node has no such model"
    return incompatibility(trained.contract, contract)


def _size(contract: Contract, context: JobContext, active: int) -> str | None:
    if contract.limits.max_rows > context.max_rows:
        return f"it allows {contract.limits.max_rows} rows, this node at most {context.max_rows}"
    if active >= context.max_jobs:
        return f"this node has {active} jobs under way, its limit"
    if contract.kind == PREPROCESSING:
        try:
            check_room(context.home, weight(contract.params), context.max_correlations_mb)
        except UsageError as error:
            return error.message
    return None


class Decisions:
    """What this node says to each proposal; ``jobs`` are all that it knows, as they come and go."""

    def __init__(self, context: JobContext, jobs: Mapping[bytes, Job]) -> None:
        self._context, self._jobs = context, jobs

    @property
    def active(self) -> int:
        """How many jobs this node has signed and not seen end."""
        return sum(not job.record.state.final and job.consent.signed for job in self._jobs.values())

    def reason_to_refuse(self, contract: Contract) -> str | None:
        """Why this node cannot take part, whatever its policy says; None where it can."""
        return reason_to_refuse(contract, self._context, self._record, self.active) or self._preprocesses(contract)

    async def consider(self, job: Job, *, proven: bool = False) -> None:
        """Check a proposal, then let the policy decide: sign, ask the operator, or refuse.

        ``proven``: the hardware in the contract has just proven its code.
        """
        context, record = self._context, job.record
        contract = record.contract
        record.awaits_operator = False
        problem = self._rival(contract) or self.reason_to_refuse(contract)
        if problem is not None:
            await self._refuse(job, problem)
            return
        decision = decide(context.policy(), contract, context.me, context.peer_names())
        record.decision = f"{decision.action} by policy: {decision.reason}"
        if decision.action == "refuse":
            await job.refuse(f"by policy: {decision.reason}")
        elif decision.action == "approve" and (proven or not contract.codes):
            await job.approve()
        elif (problem := self._too_many_wait(record)) is not None:
            await self._refuse(job, problem)
        else:
            record.awaits_operator = True
            job.save()
            if decision.action == "approve":  # proofs come over the very connection whose message is handled here
                context.nursery.start_soon(self._have_proven, job)
            else:
                job.publish("state", text="waits for this node's approval")

    async def _have_proven(self, job: Job) -> None:
        """Ask, and consider the contract anew: other things may have changed meanwhile, and the operator may have decided."""
        try:
            problem = await job_hardware.reason_to_refuse(job.record.contract, self._context.hardware, self._context.me)
            if job.record.state.final or job.consent.signed:
                return
            if problem is not None:
                await self._refuse(job, problem)
            else:
                await self.consider(job, proven=True)
        except HansaError as error:
            log.warning("a proposal was not considered: %s", error.message)
        except Exception:  # the border of a job: the daemon and its other jobs go on, and the operator decides
            log.exception("considering the proposal %s", job.record.short)

    async def _refuse(self, job: Job, problem: str) -> None:
        job.record.decision = f"refused: {problem}"
        await job.refuse(problem)

    def _rival(self, contract: Contract) -> str | None:
        """Signing a second contract over one nonce would be evidence against this node: whoever asks for it is refused."""
        if any(
            job.record.contract.nonce == contract.nonce and job.record.job_id != contract.job_id
            for job in self._jobs.values()
        ):
            return "its nonce is that of another contract known here"
        return None

    def _preprocesses(self, contract: Contract) -> str | None:
        """One job at a time makes correlations: so that they keep within the room that this node gives them."""
        others = (job for job in self._jobs.values() if job.consent.signed and not job.record.state.final)
        if contract.kind == PREPROCESSING and any(job.record.contract.kind == PREPROCESSING for job in others):
            return "this node makes correlations in another job already"
        return None

    def _too_many_wait(self, newest: JobRecord) -> str | None:
        """What is not signed here waits, and must not fill the memory meanwhile."""
        waiting = [r for job in self._jobs.values() if (r := job.record).awaits_operator or r is newest]
        of_one = [record for record in waiting if record.proposer == newest.proposer]
        for records, most, share in (
            (waiting, MAX_WAITING, 1),
            (of_one, MAX_WAITING_OF_ONE, MAX_WAITING // MAX_WAITING_OF_ONE),
        ):
            if len(records) > most or sum(len(record.contract_bytes) for record in records) > KEPT_BYTES // share:
                return f"{len(records) - 1} proposals wait for this node's operator already"
        return None

    def _record(self, job_id: bytes) -> JobRecord | None:
        job = self._jobs.get(job_id)
        return job.record if job is not None else None
