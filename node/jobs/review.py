"""What a node checks by itself before it even thinks of signing a contract: nothing in it is taken on trust.

Each check gives the reason of refusal, which every party will read, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hansa.algorithms.errors import DataError
from hansa.config.vocabulary import PREPROCESSING
from hansa.node.contracts.build import openings_of
from hansa.node.contracts.model_terms import departure
from hansa.node.correlations.store import check_room
from hansa.node.errors import UsageError
from hansa.node.jobs.context import JobContext
from hansa.node.jobs.record import JobRecord, JobState
from hansa.protocols.mpc.additive.stored.kinds import weight
from hansa.protocols.wire.consent.contract import Contract, Party
from hansa.protocols.wire.limits import CONTRACT_MAX_BYTES

CLOCK_SLACK_S = 600

FindJob = Callable[[bytes], JobRecord | None]


def objection(contract: Contract, context: JobContext, find: FindJob, active: int) -> str | None:
    """The first reason why this node cannot take part in the contract; ``active`` counts its jobs under way."""
    mine = contract.party(context.me)  # None: this node would deal, which takes neither data nor a model
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
    return departure(trained.contract, contract)


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
