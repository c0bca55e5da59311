"""The dry run of a contract: what it would tell whom, and what it would cost on the links as measured."""

from __future__ import annotations

from typing import Any

from hansa.algorithms.cost.estimate import Estimate, estimate
from hansa.node.contracts.explain import trust_of
from hansa.node.data.catalog import Catalog, Dataset, info_of
from hansa.node.net.mesh import Mesh
from hansa.protocols.wire.consent.contract import Contract

FEW_ROWS = 500
SHOWN_COLUMNS = 5
ASSUMED_ROWS = 10_000
ASSUMED_LATENCY_S = 0.02
ASSUMED_BYTES_PER_S = 100e6
OPENED_TO_ALL = {
    "weights": "the weights of every party's columns are opened to all",
    "importance": "the importance of every party's columns is opened to all",
    "training_metric": "the metric on the training rows is told to all parties after every tree",
    "scores": "scores of single rows are opened to all parties, not only to the label's owner",
}
"""What `hansa job plan` warns of, by the output of the job file."""

Json = dict[str, Any]


class DryRun:
    """Plans contracts at one node, whose identity is ``me``."""

    def __init__(self, me: bytes, catalog: Catalog, mesh: Mesh) -> None:
        self._me, self._catalog, self._mesh = me, catalog, mesh

    def plan(self, contract: Contract) -> Json:
        """What the contract means, before anybody is asked."""
        own, latency = self._own_dataset(contract), self._latency(contract)
        rows = ASSUMED_ROWS if own is None else int(own["rows"])
        costs = _estimate(contract, rows, ASSUMED_LATENCY_S if latency is None else latency)
        guess = "a guess: this node has no table in it"
        notes = [
            f"for {rows} common rows, {guess if own is None else 'as many as this node has'}",
            f"a round trip of {1000 * latency:.1f} ms, as measured"
            if latency is not None
            else f"a round trip of {1000 * ASSUMED_LATENCY_S:.0f} ms, assumed: nobody could be measured",
            f"{ASSUMED_BYTES_PER_S / 1e6:.0f} MB/s assumed",
            *_correlations(contract, costs.preprocessing_bytes),
        ]
        return {
            "contract": contract.describe(),
            "leakage": [opening.text for opening in contract.openings],
            "trust": list(trust_of(contract)),
            "cost": {
                "rounds": costs.rounds,
                "bytes_per_party": costs.bytes_per_party,
                "preprocessing_bytes": costs.preprocessing_bytes,
                "memory_mb": costs.memory_mb,
                "seconds": round(costs.seconds, 1),
                "notes": notes,
            },
            "warnings": self._warnings(contract, own),
        }

    def _own_dataset(self, contract: Contract) -> Dataset | None:
        """What this node brings to the contract."""
        mine = contract.party(self._me)
        return next((d for d in self._catalog.all() if mine is not None and d["name"] == mine.dataset), None)

    def _latency(self, contract: Contract) -> float | None:
        links = [self._mesh.link(party.identity) for party in contract.members]
        measured = [link.conn.latency_s for link in links if link is not None and link.conn.latency_s is not None]
        return max(measured, default=None)

    def _warnings(self, contract: Contract, own: Dataset | None) -> list[str]:
        warnings = []
        if contract.rank_of(self._me) is None:
            warnings.append("this node is not a party of the job and cannot submit it")
        if own is not None and own["rows"] < FEW_ROWS:
            warnings.append(
                f"{own['rows']} rows are few: weights and scores of a small table tell more about single rows"
            )
        outputs = contract.outputs
        warnings += [text for name, text in OPENED_TO_ALL.items() if getattr(outputs, name) == "all"]
        warnings += [f"{party.name} brings no feature column" for party in contract.parties if not party.columns]
        return warnings + self._left_out(contract, own)

    def _left_out(self, contract: Contract, own: Dataset | None) -> list[str]:
        """This node's columns of text, which trees could take, and which the job does not name."""
        mine = contract.party(self._me)
        if mine is None or own is None or contract.algorithm != "gbdt":
            return []
        described = info_of(own)
        used = {*described.key, *mine.columns, mine.label, described.label}
        text = [name for name, kind in described.columns if kind == "text" and name not in used]
        more = f" and {len(text) - SHOWN_COLUMNS} more" if len(text) > SHOWN_COLUMNS else ""
        named = f"{', '.join(text[:SHOWN_COLUMNS])}{more}"
        return [f"{mine.name}'s columns of text are left out: {named}; `categorical` takes them in"] if text else []


def _estimate(contract: Contract, rows: int, latency: float) -> Estimate:
    owner_first = sorted(contract.parties, key=lambda party: party.label is None)
    columns = [len(party.columns) for party in owner_first]
    return estimate(
        algorithm=contract.algorithm,
        engine=contract.engine,
        dealer=contract.dealer is not None,
        rows=rows,
        columns=columns,
        params=contract.params,
        test_fraction=contract.test_fraction,
        latency_s=latency,
        bytes_per_s=ASSUMED_BYTES_PER_S,
        training_metric=contract.outputs.training_metric != "none",
    )


def _correlations(contract: Contract, made: int) -> list[str]:
    """What the correlations cost, where the engine needs some."""
    if contract.dealer is not None:
        return [f"{made / 1e6:.1f} MB more sent by {contract.dealer.name}, who deals"]
    return [f"{made / 1e6:.1f} MB more sent by each party for correlated random numbers"] if made else []
