"""Puncturable PRF trees: from w OTs the other party learns all 2^w leaves but one, and the grower does not learn which.

The tree is Goldreich, Goldwasser and Micali's. For each level the grower encrypts the XOR of all left nodes and the XOR of all
right nodes under the two keys of an OT. The other party has the key of the side beside its secret path (Boyle et al., CCS 2019,
as used by SoftSpokenOT, section 5).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import reduce
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Bytes

NODE = 16


def widths_of(bits: int, w: int) -> list[int]:
    """How ``bits`` are cut into trees of depth ``w``, the last one shallower if need be."""
    return [w] * (bits // w) + ([bits % w] if bits % w else [])


def grow(keys: Bytes, widths: Sequence[int]) -> tuple[list[list[bytes]], Bytes]:
    """All leaves of each tree, and the message (sum of widths, 2, 16) under ``keys`` (the same shape)."""
    trees, sums = [], []
    for width in widths:
        nodes = [secrets.token_bytes(NODE)]
        for _ in range(width):
            nodes = [child for node in nodes for child in _children(node)]
            sums += [_xor(nodes[0::2]), _xor(nodes[1::2])]
        trees.append(nodes)
    message = np.frombuffer(b"".join(sums), dtype=np.uint8).reshape(keys.shape) ^ keys
    return trees, message


def regrow(
    keys: Bytes, choices: NDArray[np.bool_], message: Bytes, widths: Sequence[int]
) -> tuple[list[list[bytes]], list[int]]:
    """All leaves but one (empty bytes in its place), and which one: ``keys`` (n, 16) are those that ``choices`` selected.

    The path bit at each level is the opposite of the choice bit, first level first, so uniform choices hide a uniform leaf.
    """
    trees, missing = [], []
    siblings = message[np.arange(len(choices)), choices.astype(np.intp)] ^ keys
    at = 0
    for width in widths:
        nodes, hole = [b""], 0
        for _ in range(width):
            side = int(choices[at])
            nodes = [child for node in nodes for child in (_children(node) if node else (b"", b""))]
            known = [nodes[i] for i in range(side, len(nodes), 2) if i != 2 * hole + side]
            nodes[2 * hole + side] = _xor([siblings[at].tobytes(), *known])
            hole = 2 * hole + 1 - side
            at += 1
        trees.append(nodes)
        missing.append(hole)
    return trees, missing


def _children(node: bytes) -> tuple[bytes, bytes]:
    both = blake2b(node, digest_size=2 * NODE, person=b"hansa-ot-tree").digest()
    return both[:NODE], both[NODE:]


def _xor(nodes: Sequence[bytes]) -> bytes:
    return reduce(lambda total, node: total ^ int.from_bytes(node, "little"), nodes, 0).to_bytes(NODE, "little")
