"""Owners and an enclave in one process; parcels and boxes as jobs have them, with keys made here."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from nacl.bindings import crypto_scalarmult_base
from support.job_ends import Quiet

from hansa.algorithms.enclave import inside, owner, statement
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.pipeline import TrainOutcome
from hansa.algorithms.terms import Terms
from hansa.node.worker.enclave import ModelSealer
from hansa.protocols.mpc.session.memory import parties, run_parties

LR = {"epochs": 3, "batch_size": 64, "learning_rate": 0.5, "l2": 0.01}
GBDT = {
    "n_estimators": 8,
    "max_depth": 3,
    "learning_rate": 0.3,
    "reg_lambda": 1.0,
    "gamma": 0.0,
    "min_child_weight": 1.0,
    "max_bin": 32,
}
NAMES = ("bank", "bureau", "telecom")


class Plain:
    """A parcel that is not closed, for what is not about parcels; ``seen`` holds what was sent."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def seal(self, data: bytes) -> bytes:
        self.seen.append(data)
        return data

    def open_untrusted(self, rank: int, parcel: Any) -> bytes:
        return bytes(parcel)


def keys() -> tuple[bytes, bytes]:
    secret = os.urandom(32)
    return secret, crypto_scalarmult_base(secret)


def terms(algorithm: str = "gbdt", n: int = 2, **changes: Any) -> Terms:
    values: dict[str, Any] = {
        "names": NAMES[:n],
        "column_names": tuple(tuple(f"{name}_{i}" for i in range(3)) for name in NAMES[:n]),
        "label_rank": 0,
        "seed": bytes(range(16)),
        "test_fraction": 0.25,
        "params": LR if algorithm == "lr" else GBDT,
        "scores": "label-owner",
        "weights": "owner",
        "metrics": "all",
        "max_rows": 2000,
        "algorithm": algorithm,
    }
    return Terms(**(values | changes))


def tables(t: Terms, rows: int = 400, own: int = 30, task: str = "binary") -> list[PartyTable]:
    """Rows in common and some of each party's own, each in an order of its own."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(rows + own * t.n_parties, sum(t.columns)))
    margin = x @ rng.normal(size=x.shape[1]) + 0.5 * rng.normal(size=len(x))
    label = {
        "binary": (margin > 0).astype(np.float64),
        "classes": np.digitize(margin, [-1.0, 1.0]).astype(np.float64),
        "real": 10 + margin,
        "count": rng.poisson(np.exp(0.3 * margin)).astype(np.float64),
    }[task]
    out, at = [], 0
    for rank, (columns, names) in enumerate(zip(t.columns, t.column_names, strict=True)):
        mine = np.concatenate((np.arange(rows), rows + own * rank + np.arange(own)))
        mine = rng.permutation(mine)
        out.append(
            PartyTable(
                keys=[f"customer-{row:06}".encode() for row in mine],
                features=x[mine, at : at + columns],
                columns=names,
                label=label[mine] if rank == t.label_rank else None,
            )
        )
        at += columns
    return out


def allowed(t: Terms, kind: str) -> set[tuple[str, tuple[int, ...]]]:
    stated = statement.openings(kind, t.algorithm, t, t.names, t.label_rank, t.params)
    return {(what, to) for what, to, _ in stated}


async def run(
    t: Terms, kind: str, party: Any, *, sealer: ModelSealer, parcels: Any = None, sessions_seen: Any = None
) -> list[Any]:
    """``party(session)`` at each owner, the enclave's own code at the last rank; the owners' results."""
    async with parties(t.n_parties + 1, allowed=allowed(t, kind)) as sessions:
        if sessions_seen is not None:
            sessions_seen.extend(sessions)

        async def member(session: Any) -> Any:
            if session.rank == t.n_parties:
                return await inside.serve(session, kind, t, parcels or Plain(), sealer, Quiet())
            return await party(session)

        return (await run_parties(sessions, member))[:-1]


async def train(t: Terms, data: list[PartyTable], sealer: ModelSealer, **more: Any) -> list[TrainOutcome]:
    return await run(
        t, "train", lambda s: owner.train(s, t, data[s.rank], more.get("seal", Plain()), Quiet()), sealer=sealer,
        sessions_seen=more.get("sessions_seen"),
    )  # fmt: skip


def pool(t: Terms, data: list[PartyTable], outcomes: list[TrainOutcome], rows: list[np.ndarray]) -> np.ndarray:
    return np.hstack([table.features[some] for table, some in zip(data, rows, strict=True)])
