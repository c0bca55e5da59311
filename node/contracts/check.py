"""What a job file names must exist and fit: its parties, datasets and columns.

Each refusal names the party, dataset or column of the job file, and the nearest one that there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hansa.config.jobfile import EVERY, JobFile, PartyEntry
from hansa.config.vocabulary import LEAST_PARTIES, MOST_PARTIES
from hansa.node.errors import UsageError, nearest
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Party
from hansa.protocols.wire.messages import DatasetInfo


@dataclass(frozen=True, slots=True)
class KnownParty:
    """One party as this node knows it: its identity and the datasets its catalog shows (None: not reachable)."""

    name: str
    identity: bytes
    datasets: tuple[DatasetInfo, ...] | None


def check_parties(job: JobFile, offers: Mapping[str, KnownParty], engine: str) -> None:
    """Raise UsageError unless the job file's members are known, can be reached, and are as many as the engine takes."""
    for entry in job.parties:
        if entry.name not in offers:
            raise UsageError(
                f"the party '{entry.name}' is neither this node nor one of its peers{nearest(entry.name, offers)}",
                remedy="see `hansa peer list`; a new peer comes in with `hansa peer invite`",
                party=entry.name,
            )
        _check_reachable(entry.name, offers[entry.name])
    check_helper(job, offers)
    names = [entry.name for entry in job.parties]
    identities = {offers[name].identity for name in names}
    if len(identities) != len(names):
        raise UsageError("one party stands twice in the job file", remedy="give each party one [[party]] section")
    helper = job.dealer or job.enclave
    if helper is not None and offers[helper].identity in identities:
        role = "dealer" if job.dealer is not None else "enclave"
        raise UsageError(
            f"the {role} '{helper}' is a party of the job too", remedy="name a peer that has no data in the job"
        )
    least = LEAST_PARTIES[engine]
    if not least <= len(job.parties) <= MOST_PARTIES:
        raise UsageError(
            f"the engine '{engine}' takes {least} to {MOST_PARTIES} parties, the job file has {len(job.parties)}",
            remedy=f"name {least} parties or more in [[party]] sections",
        )


def check_helper(job: JobFile, offers: Mapping[str, KnownParty]) -> None:
    """Raise UsageError unless the dealer or enclave of the job file is known here."""
    for role, name in (("dealer", job.dealer), ("enclave", job.enclave)):
        if name is not None and name not in offers:
            raise UsageError(
                f"the {role} '{name}' is neither this node nor one of its peers{nearest(name, offers)}",
                remedy="see `hansa peer list`; a new peer comes in with `hansa peer invite`",
                party=name,
            )


def check_members(trained: Contract, offers: Mapping[str, KnownParty]) -> None:
    """Raise UsageError unless the parties and the dealer of a model's training are still known, under their names."""
    for member in (*trained.parties, *((trained.dealer,) if trained.dealer is not None else ())):
        offer = offers.get(member.name)
        if offer is None or offer.identity != member.identity:
            raise UsageError(
                f"{member.name}, who trained this model with you, is no longer among your peers",
                remedy="add it with `hansa peer join CODE`, or see `hansa peer list`",
                peer=member.name,
            )


def _check_reachable(party: str, offer: KnownParty) -> None:
    if offer.datasets is None:
        raise UsageError(
            f"the node of {party} cannot be reached, so its datasets cannot be looked up",
            remedy="see `hansa doctor`, and try again when it is online",
            party=party,
        )


def check_labels(parties: Sequence[Party]) -> None:
    """Raise UsageError unless one party has the label, and any a feature."""
    holders = [party.name for party in parties if party.label is not None]
    if len(holders) != 1:
        found = "no party has a label" if not holders else f"{' and '.join(holders)} have a label each"
        raise UsageError(f"{found}: exactly one must", remedy="write `label = COLUMN` in one [[party]] section")
    if not any(party.columns for party in parties):
        raise UsageError("no party has a feature column", remedy="name columns in the [[party]] sections")


def dataset_of(party: str, name: str, offer: KnownParty) -> DatasetInfo:
    """A dataset that a party shows. Raises UsageError where it shows none of that name."""
    datasets = offer.datasets or ()
    info = next((d for d in datasets if d.name == name), None)
    if info is None:
        raise UsageError(
            f"{party} shows no dataset '{name}'{nearest(name, (d.name for d in datasets))}",
            remedy=f"see `hansa data list` at {party}; a private dataset is not shown to peers",
            party=party,
            dataset=name,
        )
    return info


def check_numbers(entry: PartyEntry, info: DatasetInfo) -> None:
    """Raise UsageError unless label and weight are columns of numbers, and the weight serves nothing else."""
    _check_number(entry.name, info, "label", entry.label, "write the label as numbers in the file")
    _check_number(entry.name, info, "weight", entry.weight, "write the weights as numbers in the file")
    if entry.weight is not None and entry.weight in {*info.key, info.label}:
        role = "a key" if entry.weight in info.key else "the dataset's label"
        raise UsageError(
            f"the weight '{entry.weight}' of {entry.name} is {role}",
            remedy="name another column as `weight`, or leave it out: then all rows weigh the same",
            party=entry.name,
            column=entry.weight,
        )


def columns_of(entry: PartyEntry, info: DatasetInfo) -> tuple[str, ...]:
    """The features that a party brings. Raises UsageError where a column is missing, taken, or of text and no category."""
    left_out = {*info.key, entry.label, info.label, entry.weight}
    usable = [
        name for name, kind in info.columns if name not in left_out and (kind == "number" or name in entry.categorical)
    ]
    every = entry.columns == (EVERY,)
    kinds = dict(info.columns)
    for column in entry.categorical if every else entry.columns:
        if column not in kinds:
            raise _no_column(entry.name, info, column)
        if column in left_out:
            role = "a key" if column in info.key else "the label"
            raise UsageError(
                f"the column '{column}' of {entry.name} is {role} and cannot be a feature",
                remedy='take it out of `columns` and `categorical`, or write columns = ["*"]',
                party=entry.name,
                column=column,
            )
        if kinds[column] != "number" and column not in entry.categorical:
            raise UsageError(
                f"the column '{column}' of {entry.name}'s dataset '{info.name}' holds text, not numbers",
                remedy=f'with gbdt write categorical = ["{column}"], or leave it out; the number columns are: '
                f"{', '.join(usable)}",
                party=entry.name,
                column=column,
            )
    if every:
        return tuple(usable)
    if len(set(entry.columns)) != len(entry.columns):
        raise UsageError(f"{entry.name}'s columns name one twice", remedy="name each column once", party=entry.name)
    return entry.columns


def same_columns(party: Party, dataset: str, offer: KnownParty) -> DatasetInfo:
    """The dataset that a model's party now brings. Raises UsageError unless it has the columns of the training."""
    _check_reachable(party.name, offer)
    info = dataset_of(party.name, dataset, offer)
    kinds = dict(info.columns)
    for column in party.columns:
        if column not in kinds:
            raise _no_column(party.name, info, column)
        if kinds[column] != "number" and column not in party.categorical:
            raise UsageError(
                f"the column '{column}' of {party.name}'s dataset '{info.name}' holds text (or nothing), not numbers as "
                "the model was trained on",
                remedy="correct the file, then `hansa data add` it anew",
                party=party.name,
                column=column,
            )
    return info


def _check_number(party: str, info: DatasetInfo, role: str, column: str | None, remedy: str) -> None:
    kinds = dict(info.columns)
    if column is None:
        return
    if column not in kinds:
        raise _no_column(party, info, column)
    if kinds[column] != "number":
        raise UsageError(
            f"the {role} '{column}' of {party}'s dataset '{info.name}' holds text, not numbers",
            remedy=f"{remedy}, then `hansa data add` it anew",
            party=party,
            column=column,
        )


def _no_column(party: str, info: DatasetInfo, column: str) -> UsageError:
    return UsageError(
        f"{party}'s dataset '{info.name}' has no column '{column}'{nearest(column, (name for name, _ in info.columns))}",
        remedy=f"see `hansa data show {info.name}` at {party}",
        party=party,
        column=column,
    )
