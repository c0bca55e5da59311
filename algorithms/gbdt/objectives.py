"""Objectives: the gradients and hessians of each loss, their bounds, and what margins mean. Names and formulas are XGBoost's.

Margins and labels are shared, (groups, rows), a group for each tree of a round: one, or one for each class of
``multi:softprob``. Labels of classes are integers, 0 or 1. The label's ``Unit`` stays with its owner. All else is public.

To add an objective: write a class here that satisfies ``Objective``, and name it in ``objective_of``, in ``config.params``
(what its label and metric are) and in ``model.xgboost_format``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from hansa.algorithms.gbdt.params import TreeParams
from hansa.algorithms.lr.plaintext import sigmoid
from hansa.protocols.arrays import Vector
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.operators.arithmetic import square
from hansa.protocols.mpc.operators.bits import mux
from hansa.protocols.mpc.operators.exponential import exp, softmax
from hansa.protocols.mpc.shares import Share

MOST_COUNT: Final = 254.0
"""Means of counts are clipped to it: then neither gradients nor hessians exceed 2^9."""
MAX_STEP: Final = 0.7
"""XGBoost's max_delta_step of Poisson regression: leaf weights are clipped to it, and hessians are exp(0.7) times as large."""
_ROOM: Final = 2.0 - 2.0**-6
"""Gradients of the squared error are clipped to it, in the label's unit; labels are within 1/2."""


class Unit(NamedTuple):
    """The label is shared as (label - ``center``) / ``scale``; ``base`` is the margin before all trees."""

    center: float
    scale: float
    base: float


class Objective(Protocol):
    """One loss. Gradients and hessians stay below 2^``bound``; hessians do not exceed ``hessian``."""

    @property
    def groups(self) -> int:
        """Trees a round."""
        ...

    @property
    def bound(self) -> int: ...
    @property
    def hessian(self) -> float: ...
    @property
    def max_step(self) -> float:
        """Leaf weights are clipped to it either side of 0; 0: they are not."""
        ...

    @property
    def residual(self) -> int:
        """A prediction and a label differ by at most 2 to this power."""
        ...

    @property
    def integral(self) -> bool:
        """Whether labels are shared as integers, not in fixed point."""
        ...

    def unit(self, label: Vector, base_score: float | None) -> Unit:
        """The label's unit, which its owner finds from the rows trained on."""
        ...

    def public_base(self, base_score: float | None) -> float | None:
        """The margin before all trees where it is no secret, else None."""
        ...

    def targets(self, label: Vector, unit: Unit) -> Vector:
        """Labels as numbers to share, (groups, rows)."""
        ...

    async def derivatives(self, e: Engine, margins: Share, label: Share) -> tuple[Share, Share]:
        """Gradients and hessians, (groups, rows) each."""
        ...

    async def predictions(self, e: Engine, margins: Share) -> Share:
        """What is opened as scores, (rows,) or (rows, classes); before the unit is applied."""
        ...

    def plain_derivatives(self, margins: Vector, label: Vector) -> tuple[Vector, Vector]:
        """``derivatives`` in plain."""
        ...

    def plain_predictions(self, margins: Vector) -> Vector:
        """``predictions`` in plain."""
        ...


@dataclass(frozen=True, slots=True)
class Logistic:
    """binary:logistic: g = p - y, h = p - p²."""

    groups: int = 1
    bound: int = 1
    hessian: float = 0.25
    max_step: float = 0.0
    residual: int = 0
    integral: bool = True

    def unit(self, label: Vector, base_score: float | None) -> Unit:
        base = self.public_base(base_score)
        return Unit(0.0, 1.0, base)

    def public_base(self, base_score: float | None) -> float:
        base = 0.5 if base_score is None else base_score
        return math.log(base / (1 - base))

    def targets(self, label: Vector, unit: Unit) -> Vector:
        return label[None]

    async def derivatives(self, e: Engine, margins: Share, label: Share) -> tuple[Share, Share]:
        p = (await e.sigmoid(margins.reshape(-1), e.frac_bits)).reshape(*margins.shape)
        return p - label.times(1 << e.frac_bits), p - await square(e, p)

    async def predictions(self, e: Engine, margins: Share) -> Share:
        return await e.sigmoid(margins.reshape(-1), e.frac_bits)

    def plain_derivatives(self, margins: Vector, label: Vector) -> tuple[Vector, Vector]:
        p = sigmoid(margins)
        return p - label, p * (1 - p)

    def plain_predictions(self, margins: Vector) -> Vector:
        return sigmoid(np.asarray(margins[0]))


@dataclass(frozen=True, slots=True)
class SquaredError:
    """reg:squarederror: g = margin - y, h = 1, in the label's unit.

    The unit is a power of two, at least twice the label's largest distance from its center. Gradients beyond about four
    times that distance are clipped; only trees that diverge have such.
    """

    groups: int = 1
    bound: int = 1
    hessian: float = 1.0
    max_step: float = 0.0
    residual: int = 2
    integral: bool = False

    def unit(self, label: Vector, base_score: float | None) -> Unit:
        center = float(label.mean()) if base_score is None else base_score
        furthest = float(np.abs(label - center).max())
        return Unit(center, 2.0 * 2.0 ** math.ceil(math.log2(furthest)) if furthest > 0 else 1.0, 0.0)

    def public_base(self, base_score: float | None) -> float:
        return 0.0

    def targets(self, label: Vector, unit: Unit) -> Vector:
        return np.clip((label - unit.center) / unit.scale, -1.0, 1.0)[None]  # rows held out may lie further

    async def derivatives(self, e: Engine, margins: Share, label: Share) -> tuple[Share, Share]:
        ones = e.public(np.full(margins.shape, 1 << e.frac_bits, dtype=np.uint64))
        return await between(e, margins - label, -_ROOM, _ROOM), ones

    async def predictions(self, e: Engine, margins: Share) -> Share:
        return margins.reshape(-1)

    def plain_derivatives(self, margins: Vector, label: Vector) -> tuple[Vector, Vector]:
        return np.clip(margins - label, -_ROOM, _ROOM), np.ones_like(margins)

    def plain_predictions(self, margins: Vector) -> Vector:
        return np.asarray(margins[0])


@dataclass(frozen=True, slots=True)
class Softmax:
    """multi:softprob: of each class g = p - [y is it], h = 2 (p - p²)."""

    groups: int
    bound: int = 1
    hessian: float = 0.5
    max_step: float = 0.0
    residual: int = 0
    integral: bool = True

    def unit(self, label: Vector, base_score: float | None) -> Unit:
        return Unit(0.0, 1.0, self.public_base(base_score))

    def public_base(self, base_score: float | None) -> float:
        return 0.5 if base_score is None else base_score

    def targets(self, label: Vector, unit: Unit) -> Vector:
        hot: Vector = np.equal(label[None], np.arange(self.groups)[:, None]).astype(np.float64)
        return hot

    async def derivatives(self, e: Engine, margins: Share, label: Share) -> tuple[Share, Share]:
        p = await softmax(e, margins, 0)
        return p - label.times(1 << e.frac_bits), (p - await square(e, p)).times(2)

    async def predictions(self, e: Engine, margins: Share) -> Share:
        return (await softmax(e, margins, 0)).moveaxis(0, 1)

    def plain_derivatives(self, margins: Vector, label: Vector) -> tuple[Vector, Vector]:
        p = self.plain_predictions(margins).T
        return p - label, 2 * p * (1 - p)

    def plain_predictions(self, margins: Vector) -> Vector:
        powers = np.exp(margins - margins.max(axis=0))
        found: Vector = np.ascontiguousarray((powers / powers.sum(axis=0)).T)
        return found


@dataclass(frozen=True, slots=True)
class Poisson:
    """count:poisson: g = exp(margin) - y, h = exp(margin + 0.7). Means are clipped to ``MOST_COUNT``, leaf weights to 0.7."""

    groups: int = 1
    bound: int = 9
    hessian: float = MOST_COUNT * math.exp(MAX_STEP)
    max_step: float = MAX_STEP
    residual: int = 8
    integral: bool = False

    def unit(self, label: Vector, base_score: float | None) -> Unit:
        return Unit(0.0, 1.0, math.log(float(label.mean()) if base_score is None else base_score))

    def public_base(self, base_score: float | None) -> float | None:
        return None if base_score is None else math.log(base_score)

    def targets(self, label: Vector, unit: Unit) -> Vector:
        return label[None]

    async def derivatives(self, e: Engine, margins: Share, label: Share) -> tuple[Share, Share]:
        mean = await self._means(e, margins)
        larger = await e.truncate(mean.times(round(math.exp(MAX_STEP) * (1 << e.frac_bits))), e.frac_bits)
        return mean - label, larger

    async def _means(self, e: Engine, margins: Share) -> Share:
        return await exp(e, await between(e, margins, -_SMALLEST, math.log(MOST_COUNT)))

    async def predictions(self, e: Engine, margins: Share) -> Share:
        return (await self._means(e, margins)).reshape(-1)

    def plain_derivatives(self, margins: Vector, label: Vector) -> tuple[Vector, Vector]:
        mean = self.plain_predictions(margins)[None]
        return mean - label, mean * math.exp(MAX_STEP)

    def plain_predictions(self, margins: Vector) -> Vector:
        return np.asarray(np.exp(np.minimum(margins[0], math.log(MOST_COUNT))))


_SMALLEST: Final = 30.0
"""exp(-30) is 0 in fixed point."""


def objective_of(name: str, num_class: int) -> Objective:
    """The objective of this name."""
    found: dict[str, Objective] = {
        "binary:logistic": Logistic(),
        "reg:squarederror": SquaredError(),
        "multi:softprob": Softmax(num_class),
        "count:poisson": Poisson(),
    }
    return found[name]


def base_score(objective: Objective, params: TreeParams, unit: Unit) -> float:
    """XGBoost's ``base_score``: where all margins begin, as a probability, a mean, or a number in the label's own unit."""
    if isinstance(objective, SquaredError):
        return unit.center
    if isinstance(objective, Poisson):
        return math.exp(unit.base)
    return 0.5 if params.base_score is None else params.base_score


def sample_weights(label: Vector, weights: Vector | None, scale_pos_weight: float) -> Vector | None:
    """Sample weights times the weight of the positive class; None where all are 1."""
    if scale_pos_weight == 1:
        return weights
    return np.where(label == 1, scale_pos_weight, 1.0) * (1.0 if weights is None else weights)


async def between(e: Engine, x: Share, low: float, high: float) -> Share:
    """x clipped to [low, high], in its shape. Rounds: those of two ``less`` and ``mux``."""
    flat = x.reshape(-1)
    for bound, above in ((high, True), (low, False)):
        edge = e.public(np.full(flat.shape, int(encode(bound, e.frac_bits)), dtype=np.uint64))
        beyond = await e.less(*((edge, flat) if above else (flat, edge)))
        flat = await mux(e, beyond, edge, flat)
    return flat.reshape(*x.shape)
