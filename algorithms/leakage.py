"""The leakage statement: what a job opens, to whom, in words.

Every party derives it from the contract, and all get the same. The session refuses at run time any opening that the
statement does not name. The texts are part of contracts: they never change. Light: the daemon imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from hansa.algorithms.errors import DataError
from hansa.config.params import ALGORITHMS, Param, label_kind
from hansa.config.vocabulary import PREPROCESSING

Entry = tuple[str, tuple[int, ...], str]
"""The name under which a protocol opens something, the ranks that learn it, and the text."""

ALIGNMENT = "alignment"
METRICS = "metrics"
SCORES = "scores"
TEST_SCORES = "test scores"
WEIGHTS = "weights"
COEFFICIENTS = "coefficients"
INTERCEPT = "intercept"
SPLIT_OWNERS = "split owners"
LEAVES = "leaves"
RELEASED_SPLITS = "released splits"
STOP = "stop"
TRAINING_METRIC = "training metric"
LABEL_UNIT = "label unit"
BASE = "base margin"

_UNIT: Final = (
    "the unit of {}'s label: where its zero lies (its mean on the rows trained on, unless base_score says it), and the least "
    "power of two above twice its largest distance from there"
)
_MEASURED: Final = {
    "binary": "AUC, KS, accuracy and log-loss",
    "classes": "accuracy and log-loss",
    "real": "the root mean square and the mean of errors, and R²,",
    "count": "the root mean square and the mean of errors, and the deviance,",
}


class StatedOutputs(Protocol):
    """Who receives what; see ``protocols.wire.consent.terms.Outputs``."""

    @property
    def scores(self) -> str:
        """label-owner, all or none."""
        ...

    @property
    def weights(self) -> str:
        """owner or all."""
        ...

    @property
    def metrics(self) -> str:
        """all or label-owner."""
        ...

    @property
    def importance(self) -> str:
        """owner, all or none."""
        ...

    @property
    def training_metric(self) -> str:
        """none, label-owner or all."""
        ...


def weights_of(rank: int) -> str:
    """The name under which the weights of one party's columns are opened."""
    return f"weights of party {rank}"


def splits_of(rank: int) -> str:
    """The name under which a party learns which of its own columns a node splits, and where."""
    return f"splits of party {rank}"


def importance_of(rank: int) -> str:
    """The name under which the importance of one party's columns is opened."""
    return f"importance of party {rank}"


def receivers(choice: str, n_parties: int, label_rank: int) -> tuple[int, ...]:
    """The ranks that ``all``, ``label-owner`` or ``none`` means."""
    if choice == "none":
        return ()
    return tuple(range(n_parties)) if choice == "all" else (label_rank,)


def openings(
    kind: str,
    algorithm: str,
    outputs: StatedOutputs,
    names: Sequence[str],
    label_rank: int,
    params: Mapping[str, Param],
) -> tuple[Entry, ...]:
    """All that a job of this kind opens. ``names`` are the parties' in rank order, ``params`` the algorithm's."""
    if kind == PREPROCESSING:
        return ()
    if algorithm not in ALGORITHMS:
        raise DataError(
            f"no leakage statement for '{algorithm}'", remedy=f"use {' or '.join(ALGORITHMS)}", field="algorithm"
        )
    task = label_kind(algorithm, params)
    if kind == "release":
        return (
            _of_released_trees(task, params, names, label_rank)
            if algorithm == "gbdt"
            else _of_released_regression(outputs, names, label_rank)
        )
    if kind == "predict":
        return _of_scoring(task, outputs, names, label_rank)
    entries: list[Entry] = [_of_alignment(names)]
    if algorithm == "gbdt":
        entries += _of_trees(outputs, names, label_rank, params)
        if task == "real" and "all" in {outputs.scores, outputs.training_metric}:
            entries.append(_of_unit(names, label_rank))
    else:
        entries += _of_weights(outputs, names, label_rank)
    return *entries, *_of_test(task, outputs, names, label_rank)


def _everyone(names: Sequence[str]) -> tuple[int, ...]:
    return tuple(range(len(names)))


def _of_alignment(names: Sequence[str]) -> Entry:
    return (
        ALIGNMENT,
        _everyone(names),
        "each party learns which of its own rows all have in common, every set's size, and how many rows any group of "
        "parties has in common",
    )


def _of_unit(names: Sequence[str], label_rank: int) -> Entry:
    return LABEL_UNIT, _everyone(names), f"all learn {_UNIT.format(names[label_rank])}"


def _of_scoring(task: str, outputs: StatedOutputs, names: Sequence[str], label_rank: int) -> tuple[Entry, ...]:
    scored = receivers(outputs.scores, len(names), label_rank)
    if not scored:
        raise DataError(
            'this model\'s contract opens scores to nobody (outputs.scores = "none")',
            remedy="train with outputs.scores opened, or release the model",
            field="outputs.scores",
        )
    unit = (_of_unit(names, label_rank),) if task == "real" and outputs.scores == "all" else ()
    return _of_alignment(names), (SCORES, scored, f"{_who(scored, names)} the score of every common row"), *unit


def _of_test(task: str, outputs: StatedOutputs, names: Sequence[str], label_rank: int) -> tuple[Entry, ...]:
    """Scores and metrics of the rows held out; without scores there are no metrics."""
    scored = receivers(outputs.scores, len(names), label_rank)
    if not scored:
        return ()
    told = _everyone(names) if outputs.metrics == "all" else (label_rank,)
    return (
        (TEST_SCORES, scored, f"{_who(scored, names)} the scores of the common rows held out for the test"),
        (METRICS, told, f"{_who(told, names)} {_MEASURED[task]} of the test, from {names[label_rank]}"),
    )


def _of_weights(outputs: StatedOutputs, names: Sequence[str], label_rank: int) -> list[Entry]:
    if outputs.weights == "all":
        text = "all learn the weights of all columns (standardised) and the intercept"
        return [(WEIGHTS, _everyone(names), text)]
    return [
        (
            weights_of(rank),
            (rank,),
            f"{name} learns the weights of its own columns{', and the intercept' if rank == label_rank else ''}",
        )
        for rank, name in enumerate(names)
    ]


def _of_trees(
    outputs: StatedOutputs, names: Sequence[str], label_rank: int, params: Mapping[str, Param]
) -> list[Entry]:
    if outputs.weights == "all":
        raise DataError(
            'boosted trees have no weights to open (outputs.weights = "all")',
            remedy="leave it out, and release the model once it is trained",
            field="outputs.weights",
        )
    everyone = _everyone(names)
    owners: Entry = (
        SPLIT_OWNERS,
        everyone,
        "all learn, of every split of every tree, whose column it is; not how many rows are on either side, nor any sum "
        "or leaf weight",
    )
    entries = [owners]
    entries += [
        (splits_of(rank), (rank,), f"{name} learns which of its own columns a split is on, and where")
        for rank, name in enumerate(names)
    ]
    if params.get("early_stopping_rounds", 0):
        entries.append((STOP, everyone, "all learn after each round whether training stops: one bit"))
    told = receivers(outputs.training_metric, len(names), label_rank)
    if told:
        entries.append((TRAINING_METRIC, told, f"{_who(told, names)} the training metric after each round"))
    if outputs.importance != "none":
        for rank, name in enumerate(names):
            to = everyone if outputs.importance == "all" else (rank,)
            who = _who(to, names).removeprefix("only ")
            whose = f"{name}'s columns" if outputs.importance == "all" else "its own columns"
            what = "how many splits are on it, and what they gain and cover in all trees"
            entries.append((importance_of(rank), to, f"{who} of each of {whose} {what}"))
    return entries


def _of_released_trees(
    task: str, params: Mapping[str, Param], names: Sequence[str], label_rank: int
) -> tuple[Entry, ...]:
    everyone = _everyone(names)
    entries: list[Entry] = [
        (LEAVES, everyone, "all learn the weight of every leaf"),
        (
            RELEASED_SPLITS,
            everyone,
            "all learn the column and the threshold of every split, of every party's columns, and the names of the "
            "categories that have bins of their own",
        ),
    ]
    if task == "real":
        entries.append(_of_unit(names, label_rank))
    if task == "count" and params.get("base_score") is None:
        entries.append((BASE, everyone, "all learn the margin before all trees, the logarithm of the label's mean"))
    return tuple(entries)


def _of_released_regression(outputs: StatedOutputs, names: Sequence[str], label_rank: int) -> tuple[Entry, ...]:
    return (
        *(
            (weights_of(rank), (rank,), f"{name} learns the weights of its own columns")
            for rank, name in enumerate(names)
        ),
        (COEFFICIENTS, _everyone(names), _of_coefficients(outputs)),
        (INTERCEPT, _everyone(names), _of_intercept(outputs, names[label_rank], len(names))),
    )


def _of_coefficients(outputs: StatedOutputs) -> str:
    text = "all learn every column's coefficient in the column's own unit"
    if outputs.weights != "all":
        return text
    return f"{text} and, from the standardised weights that they have, its standard deviation"


def _of_intercept(outputs: StatedOutputs, owner: str, n_parties: int) -> str:
    """Whoever knows the standardised intercept can take it off the released one: the label's owner, or with
    ``weights = "all"`` all parties."""
    who = "all" if outputs.weights == "all" else owner
    others = "the other party" if n_parties == 2 else "all other parties together"
    return (
        "all learn the intercept of the released model; from it "
        f"{who} can tell the sum of coefficient times mean over the columns of {others}"
    )


def trust(engine: str, names: Sequence[str], computing: Sequence[int], dealer: str | None) -> tuple[str, ...]:
    """Who would have to collude to read what a job does not open. ``computing``: ranks of those who compute, empty for all."""
    assumed = "all are taken to follow the protocol and to be no more than curious (semi-honest)"
    if engine == "replicated":
        three = [names[rank] for rank in computing or range(len(names))]
        input_parties = [name for name in names if name not in three]
        only = (f"{_list(input_parties)} only share their inputs in and receive",) if input_parties else ()
        return (
            f"any two of {_list(three)} together could read all inputs; no other group of institutions can",
            *only,
            assumed,
        )
    if dealer is None:
        return (
            f"each of {_list(names)} keeps its inputs even from all the others together; nobody deals",
            assumed,
        )
    return (
        f"{dealer} deals random numbers: it sees no data and no opened value, only sizes",
        f"{dealer} together with any one of {_list(names)} could read all inputs; without {dealer}, each keeps its "
        "inputs even from all the others together",
        assumed,
    )


def of_attested_dealer(dealer: str, *, simulated: bool) -> tuple[str, ...]:
    """What a dealer's proof of its code adds to ``trust``."""
    if simulated:
        return (f"INSECURE: {dealer} only pretends to be in trusted hardware, which adds nothing",)
    return (
        f"{dealer} has to prove that it runs accepted code in trusted hardware, which deals as it should and keeps nothing: to "
        "collude, its operator would have to break that hardware",
    )


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _who(ranks: tuple[int, ...], names: Sequence[str]) -> str:
    if len(ranks) == len(names):
        return "all learn"
    return f"only {' and '.join(names[rank] for rank in ranks)} learns"
