"""What a contract says to the algorithms, and the check that it says the same to every party."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from hansa.config.params import Param
from hansa.protocols.mpc.session.session import Session


@dataclass(frozen=True, slots=True)
class Terms:
    """A rank is a place in ``names``. ``column_names``: each party's features. ``seed``: 16 public bytes.

    Who learns what: ``scores`` "label-owner", "all" or "none"; ``weights`` "owner" or "all"; ``metrics`` "all" or
    "label-owner"; ``importance`` "owner", "all" or "none"; ``training_metric`` "none", "label-owner" or "all".
    ``categorical``: of each party's columns those that hold categories. ``weighted``: the label's owner has sample weights.
    """

    names: tuple[str, ...]
    column_names: tuple[tuple[str, ...], ...]
    label_rank: int
    seed: bytes
    test_fraction: float
    params: Mapping[str, Param]
    scores: str
    weights: str
    metrics: str
    max_rows: int
    algorithm: str = "lr"
    categorical: tuple[tuple[str, ...], ...] = ()
    weighted: bool = False
    importance: str = "owner"
    training_metric: str = "none"

    @property
    def n_parties(self) -> int:
        """How many parties."""
        return len(self.names)

    @property
    def columns(self) -> tuple[int, ...]:
        """How many feature columns each party has."""
        return tuple(len(names) for names in self.column_names)


async def agree(s: Session, kind: str, terms: Terms, *more: int) -> None:
    """Check that every party runs the same job, before anything depends on it. Rounds: 1."""
    values = [getattr(terms, f.name) for f in fields(terms) if f.name != "params"]
    await s.check_public("terms of the job", kind, values, dict(terms.params), *more)
