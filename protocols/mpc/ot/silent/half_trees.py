"""Single-point COT from half-trees: Guo, Yang, Wang, Zhang, Xie, Liu and Zhao, EUROCRYPT 2023, section 4.

A tree of depth d starts with the nodes r and r ^ D. Node x has the children H(x) and H(x) ^ x, so that the nodes of every
level add up to D. For each level the grower has a COT (q; t = q ^ b D) and sends q ^ (the sum of the left children). The other
party adds t and has the sum of side b. So it knows all nodes but those on the path of the opposite bits. The path ends at the
leaf that it lacks; the sum of all other leaves is that leaf ^ D.

Trees grow side by side: node i of tree k is in row i·trees + k; children of one level are all left ones, then all right ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.kernels import silent as kernels
from hansa.protocols.mpc.ot.hash import Permutation

Indices = NDArray[np.int64]


class HalfTrees:
    """Grows trees of at most ``rows`` leaves in all under a public key of H(x) = pi(sigma(x)) ^ sigma(x)."""

    def __init__(self, key: bytes, rows: int) -> None:
        self._pi = Permutation(key, rows // 2)
        self._inputs = np.empty((rows // 2, 2), dtype=np.uint64)

    def grow(self, roots: Ring, delta: Ring, rows: Ring) -> tuple[Ring, Ring]:
        """All leaves, (trees << depth, 2), and the message (depth, trees, 2), from ``roots`` (trees, 2).

        ``rows`` (depth, trees, 2): the grower's half of a COT for each level and tree.
        """
        depth, trees, _ = rows.shape
        nodes = np.concatenate((roots, roots ^ delta))
        message = rows.copy()
        message[0] ^= roots
        for level in range(1, depth):
            nodes, sums = self._split(nodes, trees)
            message[level] ^= sums[0]
        return nodes, message

    def regrow(self, rows: Ring, message: Ring) -> tuple[Ring, Indices]:
        """All leaves but one of each tree, in whose place is that leaf ^ D; and the rows that hold these, (trees,)."""
        depth, trees, _ = rows.shape
        bits = (rows[:, :, 0] & np.uint64(1)).astype(np.int64)
        known = rows ^ message
        each = np.arange(trees)
        nodes = np.zeros((2 * trees, 2), dtype=np.uint64)
        nodes[bits[0] * trees + each] = known[0]
        hole, total = 1 - bits[0], known[0]
        for level in range(1, depth):
            side = len(nodes)
            nodes, sums = self._split(nodes, trees)
            left = hole * trees + each
            beside = left + bits[level] * side
            found = sums[bits[level], each] ^ nodes[beside] ^ known[level]
            nodes[left] = nodes[left + side] = 0
            nodes[beside] = found
            total = sums[0] ^ sums[1] ^ found  # the children of a missing node, H(0) and H(0) ^ 0, cancel
            hole += (1 - bits[level]) << level
        at = hole * trees + each
        nodes[at] = total
        return nodes, at

    def _split(self, nodes: Ring, trees: int) -> tuple[Ring, Ring]:
        inputs = self._inputs[: len(nodes)]
        kernels.sigma(nodes, inputs)
        children = np.empty((2 * len(nodes), 2), dtype=np.uint64)
        sums = np.empty((2, trees, 2), dtype=np.uint64)
        kernels.split_nodes(nodes, inputs, self._pi(inputs), trees, children, sums)
        return children, sums
