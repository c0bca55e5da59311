"""The leakage statement of a job in an enclave, and whom it takes trust in; ``algorithms.leakage`` has those of MPC.

The enclave tells each party what is opened to it, and both ends declare it under the statement's names. The texts are part
of contracts: they never change. Light: the daemon imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hansa.algorithms import leakage
from hansa.algorithms.leakage import Entry, StatedOutputs
from hansa.config.params import Param, label_kind

MODEL_SIZE: Final = "model size"
_NOT_TOLD: Final = {leakage.SPLIT_OWNERS, leakage.STOP, leakage.LABEL_UNIT}
"""What MPC opens while it computes; an enclave opens none of it."""


def openings(
    kind: str,
    algorithm: str,
    outputs: StatedOutputs,
    names: Sequence[str],
    label_rank: int,
    params: Mapping[str, Param],
) -> tuple[Entry, ...]:
    """All that a job of this kind opens in an enclave: what it would under MPC, less what only MPC has to open."""
    everyone = tuple(range(len(names)))
    not_told = _NOT_TOLD | {leakage.splits_of(rank) for rank in everyone}
    entries = [
        each
        for each in leakage.openings(kind, algorithm, outputs, names, label_rank, params)
        if each[0] not in not_told and not (kind == "release" and each[0] in {leakage.weights_of(r) for r in everyone})
    ]
    found = [
        (what, to, "each party learns which of its own rows all have in common")
        if what == leakage.ALIGNMENT
        else (what, to, text)
        for what, to, text in entries
    ]
    if kind == "release" and algorithm == "gbdt" and label_kind(algorithm, params) == "real":
        found.append((leakage.BASE, everyone, "all learn the margin before all trees, the label's mean or base_score"))
    if kind == "train":
        text = "all learn the length of the sealed model, to 4 KiB or 12 percent, and how long it was trained"
        about = ", and so about how many nodes trees have" if algorithm == "gbdt" else ""
        found.append((MODEL_SIZE, everyone, text + about))
    return tuple(found)


def trust(enclave: str, names: Sequence[str], votes: int, *, simulated: bool) -> tuple[str, ...]:
    """Who could read what a job does not open. ``votes``: how many parties have to vote to move the model's key."""
    everyone = f"{', '.join(names[:-1])} and {names[-1]}"
    moved = (
        f"the model's key goes to an enclave that runs other code once all {votes} parties vote for that code"
        if votes == len(names)
        else f"the model's key goes to an enclave that runs other code once any {votes} of the {len(names)} parties "
        f"{'votes' if votes == 1 else 'vote'} for that code, whatever the others say"
    )
    if simulated:
        return (
            f"INSECURE: {enclave} only pretends to be in trusted hardware: whoever runs it reads all inputs of {everyone}",
            moved,
        )
    return (
        f"{enclave} gets the inputs of {everyone}, encrypted for the code that it proved to run in trusted hardware, and "
        "computes with them in plain in there",
        "whoever breaks that hardware, its maker among them, or finds a fault in that code could read all inputs; no party "
        "needs to trust another, and nothing is assumed of how many collude",
        moved,
        f"{enclave}'s operator sees when and how much is sent, and can stop it; side channels are described in docs/tee.md",
    )
