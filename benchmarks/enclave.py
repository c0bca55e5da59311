"""The enclave engine against plain XGBoost: a job from the last row's arrival to the last answer, over XGBoost's own time.

    python benchmarks/enclave.py [--rows N] [--columns N] [--trees N] [--repeat N]

All members are in one process over an in-memory network. ``transfer_s`` is what comes before: owners' packing and encryption
(here one after the other, as they share a processor), sending, opening. ``ratio`` has alignment, training, scores of the
rows held out, metrics, sealing, answers; XGBoost's time is training and scores of the same rows. Not measured: attestation,
reading files. Prints a JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from functools import partial
from typing import Any

import numpy as np
import trio
from nacl.bindings import crypto_scalarmult_base
from nacl.signing import SigningKey

from hansa.algorithms.enclave import inside, owner
from hansa.algorithms.gbdt import xgboost_adapter
from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.party_table import PartyTable
from hansa.algorithms.terms import Terms
from hansa.node.worker.enclave import ModelSealer
from hansa.protocols.mpc.session.memory import parties, run_parties
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements import parcel
from hansa.protocols.wire.attestation.statements.release_policy import ReleasePolicy

SEED = b"\1" * 32


class Clock:
    """Progress, with the time at which each step began."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}

    def step(self, name: str, total: int = 0) -> None:
        """A step."""
        self.began[name] = time.perf_counter()

    def advance(self, done: int, note: str = "") -> None:
        """Some of it."""


class Parcels:
    """Both ends' encryption, as jobs have it."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._public = crypto_scalarmult_base(self._secret)
        owner_id = bytes(SigningKey(SEED).verify_key)
        code = Code("SEV-SNP", b"c" * 48)
        policy = ReleasePolicy(b"j" * 32, owner_id, b"e" * 32, "enclave", (code,), "clients", ("x",), 2**40)
        self._signed = policy.signed(SEED)

    def seal(self, data: bytes) -> bytes:
        """Close."""
        return parcel.close(self._signed, self._public, data)

    def open_untrusted(self, rank: int, data: Any) -> bytes:
        """Open."""
        return parcel.open_untrusted(data, self._secret, lambda policy: None)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=40)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    half = args.columns // 2
    rng = np.random.default_rng(1)
    x = rng.normal(size=(args.rows, 2 * half)).astype(np.float32).astype(np.float64)
    y = (x[:, 0] + x[:, half] + rng.normal(size=args.rows) > 0).astype(np.float64)
    keys = [f"c{row:09}".encode() for row in range(args.rows)]
    params = {"n_estimators": args.trees, "max_depth": args.depth, "max_bin": 64, "learning_rate": 0.3,
              "reg_lambda": 1.0, "gamma": 0.0, "min_child_weight": 1.0}  # fmt: skip
    columns = tuple(tuple(f"{name}{i}" for i in range(half)) for name in "ab")
    terms = Terms(("a", "b"), columns, 0, bytes(16), 0.2, params, "label-owner", "owner", "all", args.rows, "gbdt")
    tables = [
        PartyTable(keys, x[:, :half], columns[0], y),
        PartyTable(keys, x[:, half:], columns[1]),
    ]
    train = args.rows - args.rows // 5
    jobs, plains, transfers, sent = [], [], [], 0
    for _ in range(args.repeat):
        began = time.perf_counter()
        booster = xgboost_adapter.train(x[:train], y[:train], TreeParams(**params))  # type: ignore[arg-type]
        xgboost_adapter.margins(booster, x[train:])
        plains.append(time.perf_counter() - began)
        began, clock = time.perf_counter(), Clock()
        sent = trio.run(partial(_job, terms, tables, clock))
        jobs.append(time.perf_counter() - clock.began["align"])
        transfers.append(clock.began["align"] - began)
    job, plain, transfer = map(statistics.median, (jobs, plains, transfers))
    told = {"rows": args.rows, "columns": 2 * half, "trees": args.trees, "bytes_sent_per_owner": sent}
    times = {"transfer_s": round(transfer, 3), "job_s": round(job, 3), "xgboost_s": round(plain, 3)}
    print(json.dumps(told | times | {"ratio": round(job / plain, 3)}))


async def _job(terms: Terms, tables: list[PartyTable], clock: Clock) -> int:
    parcels, sealer = Parcels(), ModelSealer(os.urandom(32), b"j" * 32)
    async with parties(3) as sessions:

        async def member(session: Any) -> None:
            if session.rank == 2:
                await inside.serve(session, "train", terms, parcels, sealer, clock)
            else:
                await owner.train(session, terms, tables[session.rank], parcels, Clock())

        await run_parties(sessions, member)
        return int(sessions[0].transcript.bytes_sent)


if __name__ == "__main__":
    main()
