"""Losses of shared margins against shared labels, for early stopping and the training metric. Less is better.

Sample weights do not count.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hansa.algorithms.gbdt.objectives import Objective, Softmax
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.arithmetic import integer_product
from hansa.protocols.mpc.operators.bits import mux
from hansa.protocols.mpc.operators.exponential import exp, log, softmax
from hansa.protocols.mpc.operators.ranking import auc, rank
from hansa.protocols.mpc.shares import Share

_LOSS_BITS: Final = 5
"""A mean log-loss is below 2^5."""
_LEAST: Final = 8
"""Units of fixed point that are added to a probability, so that rounding cannot make it 0."""


async def mean_loss(e: Engine, objective: Objective, metric: str, margins: Share, label: Share) -> Share:
    """1 - AUC, the mean log-loss, or the mean squared error ("rmse"), (1,), at ``frac_bits``; margins and labels (groups, rows).

    Rounds and bytes: ``rank`` and ``auc``; or ``exp`` and ``log`` of each row; or an inner product.
    """
    rows = margins.shape[1]
    if metric == "auc":
        ranked = await rank(e, margins.reshape(rows), label.reshape(rows))
        return e.add_public(-await auc(e, ranked), 1 << e.frac_bits)
    if metric == "rmse":
        return await _squares(e, objective, margins, label)
    losses = await (_of_classes if isinstance(objective, Softmax) else _of_two)(e, margins, label)
    return await _mean(e, losses.sum().reshape(1), rows, _LOSS_BITS)


async def _of_two(e: Engine, margins: Share, label: Share) -> Share:
    """log(1 + exp(m)) - y m, as max(m, 0) + log(1 + exp(-|m|)) - y m."""
    m = margins.reshape(-1)
    positive = await mux(e, await e.msb(m), e.public(np.zeros(m.shape, dtype=np.uint64)), m)
    tail = await log(e, e.add_public(await exp(e, m - positive.times(2)), 1 << e.frac_bits))
    return positive + tail - await integer_product(e, label.reshape(-1), m)


async def _of_classes(e: Engine, margins: Share, label: Share) -> Share:
    """-log of the true class's probability."""
    chosen = (await integer_product(e, label, await softmax(e, margins, 0))).sum(axis=0)
    return -await log(e, e.add_public(chosen, _LEAST))


async def _squares(e: Engine, objective: Objective, margins: Share, label: Share) -> Share:
    """The mean square of residuals, which keep as many fraction bits as the sum of squares has room for."""
    rows = margins.shape[1]
    residuals = (await objective.predictions(e, margins)) - label.reshape(rows)
    top = 2 * objective.residual
    bits = min(e.frac_bits, (61 - top - rows.bit_length()) // 2)
    residuals = await e.truncate(residuals, e.frac_bits - bits) if bits < e.frac_bits else residuals
    total = await e.matmul(residuals.reshape(1, rows), residuals.reshape(rows, 1))
    return await _mean(e, (await e.truncate(total, 2 * bits - e.frac_bits)).reshape(1), rows, top)


async def _mean(e: Engine, total: Share, rows: int, top: int) -> Share:
    """A sum over rows divided by their number, for means below 2^top."""
    more = 61 - e.frac_bits - top
    return await e.truncate(total.times(round((1 << more) / rows)), more)
