"""Boosting with the logistic loss: margins stay shared from the first tree to the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hansa.algorithms.gbdt.params import Params
from hansa.algorithms.gbdt.tree import Bins, Table, Tree, descend, grow
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.hints import most_bits
from hansa.protocols.mpc.operators.arithmetic import square
from hansa.protocols.mpc.shares import Share, concatenate


def gradient_bits(frac_bits: int, rows: int, senders: int) -> int:
    """Bits of gradients, which are below 2 in size: one more than their fraction bits, as many as their sums have room for."""
    return min(frac_bits + 1, most_bits(rows, senders))


AfterTree = Callable[[Sequence[Tree], Share], None]
Start = tuple[Sequence[Tree], Share | None]


async def train(
    e: Engine, table: Table, label: Share, params: Params, *, after_tree: AfterTree, start: Start = ((), None)
) -> tuple[list[Tree], Share]:
    """All trees, and the margins of the rows, both shared. ``label`` (rows,) of 0 and 1 at ``frac_bits``.

    ``after_tree`` is given the trees so far and the margins; ``start`` are these again, to go on from.

    Per tree: a sigmoid and a square; per level histograms, gains and the best of them, and the rows' way down; leaves.
    """
    rows = table.rows
    bits = gradient_bits(e.frac_bits, rows, e.session.n_parties - 1)
    trees = list(start[0])
    margins = _start(e, rows, params.base_score) if start[1] is None else start[1]
    for _ in range(len(trees), params.n_estimators):
        gradients = await _gradients(e, margins, label, bits)
        tree, members = await grow(e, table, gradients, bits, params)
        margins = margins + await _values(e, tree, members)
        trees.append(tree)
        after_tree(trees, margins)
    return trees, margins


async def predict(e: Engine, trees: Sequence[Tree], own: Bins, base_score: float) -> Share:
    """The margins of rows, of which every party gives its own bins (rows, columns): (rows,), shared."""
    margins = _start(e, len(own), base_score)
    for tree in trees:
        margins = margins + await _values(e, tree, await descend(e, tree, own))
    return margins


def _start(e: Engine, rows: int, base_score: float) -> Share:
    base = math.log(base_score / (1 - base_score))
    return e.public(np.full(rows, int(encode(base, e.frac_bits)), dtype=np.uint64))


async def _values(e: Engine, tree: Tree, members: Share) -> Share:
    """The leaf weight of every row, from leaf indicators (leaves, rows)."""
    found = await e.reshare(await e.matmul(members.moveaxis(0, 1), tree.leaves.reshape(-1, 1)))
    return found.reshape(members.shape[1])


async def _gradients(e: Engine, margins: Share, label: Share, bits: int) -> Share:
    """(2, rows): p - y and p - p², with ``bits`` - 1 fraction bits. The truncation rounds stochastically."""
    p = await e.sigmoid(margins, e.frac_bits)
    both = concatenate(((p - label).reshape(1, -1), (p - await square(e, p)).reshape(1, -1)))
    drop = e.frac_bits - (bits - 1)
    return await e.truncate(both, drop) if drop else both
