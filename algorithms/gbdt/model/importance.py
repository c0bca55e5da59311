"""The importance of columns: how many splits are on each, and the sums of their gains and hessians.

Only a node's owner knows its column. Nobody knows which nodes are stopped, nor what others gain. So the owner's bits choose
from shared facts by ``private_mask``, as they choose rows while trees grow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hansa.algorithms.gbdt.training.tree import Tree
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.shares import Share, concatenate

_ENTRIES = 1 << 20
"""Products at once."""


async def importance(e: Engine, trees: Sequence[Tree], columns: Sequence[int]) -> list[Share]:
    """For each party, sums over the nodes on each of its columns, (3, columns): splits (an integer), gains, hessians ("cover").

    Rounds and bytes: a ``private_mask`` of 3 numbers for each node and column of its owner's, for some trees at a time.
    """
    sums = [e.public(np.zeros((3, count), dtype=np.uint64)) for count in columns]
    at_once = max(1, _ENTRIES // (3 * len(trees[0].owners) * max(columns))) if trees else 1
    for start in range(0, len(trees), at_once):
        some = trees[start : start + at_once]
        owners = np.array([owner for tree in some for owner in tree.owners])
        splits = [tree.splits.get(node) for tree in some for node in range(len(tree.owners))]
        facts = concatenate([tree.facts.moveaxis(1, 0) for tree in some if tree.facts is not None]).moveaxis(1, 0)
        for rank, count in enumerate(columns):
            nodes = np.flatnonzero(owners == rank)
            if not count or not nodes.size:
                continue
            bits = np.zeros((count, nodes.size), dtype=np.uint8)
            if rank == e.session.rank:
                for place, node in enumerate(nodes.tolist()):
                    split = splits[node]
                    assert split is not None
                    bits[split.column, place] = 1
            mine = facts[:, nodes].reshape(1, 3, nodes.size).broadcast((count, 3, nodes.size))
            sums[rank] += (await e.private_mask([rank] * count, bits, mine)).sum(axis=2).moveaxis(1, 0)
    return sums
