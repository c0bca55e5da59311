"""Vertical logistic regression by mini-batch SGD, on any engine.

Features stay in plain with their owners. The label is shared once. Weights exist only as shares. The intercept is the weight
of a column of ones that the label's owner adds; L2 does not shrink it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.lr.step_size import PRODUCT_BITS, step_size
from hansa.algorithms.split import batches
from hansa.algorithms.terms import Terms
from hansa.config.vocabulary import FRAC_BITS
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.shares import Share, concatenate

AfterEpoch = Callable[[int, Share], None]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Every party's prepared matrix, in rank order, and where its weights lie."""

    matrices: tuple[Any, ...]
    places: tuple[slice, ...]

    @property
    def width(self) -> int:
        """Weights in all."""
        return int(self.places[-1].stop)


def places(terms: Terms) -> tuple[slice, ...]:
    """Where each party's weights lie; the intercept is the last of the label owner's."""
    widths = [count + (rank == terms.label_rank) for rank, count in enumerate(terms.columns)]
    ends = np.cumsum(widths).tolist()
    return tuple(slice(end - width, end) for end, width in zip(ends, widths, strict=True))


async def prepare_blocks(e: Engine, terms: Terms, standardised: NDArray[np.float64], rows: int) -> Blocks:
    """Hand every party's standardised rows to the engine, once a job; the rows to train on first.

    A party without columns gives a matrix of no columns.
    """
    where = places(terms)
    matrices = []
    for rank, place in enumerate(where):
        mine = None
        if rank == e.session.rank:
            ones = np.ones((rows, 1 if rank == terms.label_rank else 0))
            mine = encode(np.hstack((standardised, ones)), FRAC_BITS)
        matrices.append(await e.private_matrix(rank, mine, (rows, place.stop - place.start)))
    return Blocks(tuple(matrices), where)


async def scores(e: Engine, blocks: Blocks, w: Share, rows: slice) -> Share:
    """Probabilities of some rows."""
    z = await _margins(e, blocks, w, rows)
    return await e.sigmoid(z, 2 * FRAC_BITS)


async def _margins(e: Engine, blocks: Blocks, w: Share, rows: slice) -> Any:
    first, *others = await e.private_linear(blocks.matrices, [w[place] for place in blocks.places], rows)
    return sum(others, start=first)


async def train(
    e: Engine,
    terms: Terms,
    blocks: Blocks,
    label: Share,
    *,
    start: tuple[int, Share] | None,
    after_epoch: AfterEpoch,
    after_batch: Callable[[int], None],
) -> Share:
    """The shared weights after all epochs. ``start``: epochs that are done, and the weights after them, to resume from.

    Per batch: the margins (local), a sigmoid, the gradient (local), and one truncation that also divides by the batch.
    Rounds per batch: 14 on the replicated engine, 9 on the additive one with a dealer.

    Right while weights stay below ``step_size.MOST_WEIGHT`` = 2^9 and margins below 2^26. Standardised columns and the
    bounds of the learning rate see to that (docs/protocols.md). A model beyond is refused once its weights are opened.
    """
    epochs, size, train_rows = int(terms.params["epochs"]), int(terms.params["batch_size"]), label.size
    first = 0 if start is None else start[0]
    w = e.public(np.zeros(blocks.width, dtype=np.uint64)) if start is None else start[1]
    decayed = np.ones(blocks.width, dtype=np.uint64)
    decayed[blocks.places[terms.label_rank].stop - 1] = 0  # no L2 on the intercept
    done = 0
    for epoch in range(first, epochs):
        for rows in batches(terms.seed, epoch, train_rows, size):
            step = step_size(
                float(terms.params["learning_rate"]), float(terms.params["l2"]), rows.stop - rows.start, train_rows
            )
            residual = await scores(e, blocks, w, rows) - label[rows]
            parts = await e.private_linear_t(blocks.matrices, [residual] * len(blocks.matrices), rows)
            change = concatenate(parts).times(step.factor)
            if step.decay:
                change += e.as_product(w.times(decayed * np.uint64(step.decay << FRAC_BITS)))
            w -= await e.truncate(change, PRODUCT_BITS - FRAC_BITS + step.shift)
            done += rows.stop - rows.start
            after_batch(done)
        after_epoch(epoch + 1, w)
    return w
