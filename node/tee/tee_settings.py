"""What proves this node's code and judges the proofs of others, by its settings' [tee]."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from hansa.config.settings import TeeSettings
from hansa.node.tee.evidence.judge import Judge
from hansa.node.tee.evidence.prover import Prover, prover_from
from hansa.protocols.wire.attestation.platforms import Code


def prover_of(home: Path, tee: TeeSettings, version: str) -> Prover | None:
    """What proves this node's code; None where nothing does."""
    return prover_from(worker_settings(home, tee, version))


def judge_of(home: Path, tee: TeeSettings, endorsed: Callable[[], Collection[Code]]) -> Judge:
    """What judges the proofs of others; ``endorsed``: the codes that enough members voted for."""
    return Judge(home / tee.policy, tee.accept, endorsed)


def worker_settings(home: Path, tee: TeeSettings, version: str) -> dict[str, Any]:
    """The same for a worker, which reads no settings: plain data for ``prover_from`` and a ``Judge``."""
    return {
        "backend": tee.backend,
        "collateral": [str(home / path) for path in tee.collateral],
        "code": tee.simulated_code or f"hansa {version}",
        "policy": str(home / tee.policy),
        "accept": tee.accept,
    }
