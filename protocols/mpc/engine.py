"""What algorithms see of an engine: one interface, whatever protocols stand behind it.

Ownership is part of it: on vertically split data a feature matrix stays in plain at its owner, and ``private_linear``
and ``select_sum`` combine it with shared vectors in each engine's own best way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shares import BitShare, Linear, Product, Share


class PrivateMatrix(Protocol):
    """A matrix that one party owns; the others hold what the engine needs of it, which tells them nothing."""

    @property
    def owner(self) -> int:
        """The owner's rank."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...


class Engine(Protocol):
    """Secret arithmetic over Z_2^64. All parties call the same methods in the same order."""

    name: str
    session: Session
    frac_bits: int

    async def input(self, owner: int, values: Ring | None, shape: tuple[int, ...]) -> Share:
        """Share the owner's array; the others pass None."""
        ...

    def public(self, values: Ring) -> Share:
        """A public array as a share."""
        ...

    def add_public(self, x: Share, values: Ring | int) -> Share:
        """x plus a public value; local."""
        ...

    def random(self, shape: tuple[int, ...]) -> Share:
        """Uniform ring elements that no party knows; local. Its parts, taken as a BitShare's, are uniform bits."""
        ...

    async def open(self, *shares: Share, what: str) -> tuple[Ring, ...]:
        """Open to all."""
        ...

    async def open_to(self, to: int, *shares: Share, what: str) -> tuple[Ring, ...] | None:
        """Open to one party; None at the others."""
        ...

    async def mul(self, x: Share, y: Share) -> Product:
        """Elementwise product, unreduced."""
        ...

    async def matmul(self, x: Share, y: Share) -> Product:
        """``x @ y`` of shared matrices, (n, k) and (k, m), unreduced."""
        ...

    def as_product(self, x: Share) -> Product:
        """A share as an unreduced product, to be added to others; local."""
        ...

    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> PrivateMatrix:
        """Prepare the owner's matrix, once a job."""
        ...

    async def private_linear(self, xs: Sequence[Any], ws: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows] @ w`` for each private matrix and its shared vector, in the rounds of one."""
        ...

    async def private_linear_t(self, xs: Sequence[Any], rs: Sequence[Share], rows: slice) -> list[Product]:
        """``x[rows].T @ r``, likewise."""
        ...

    async def select_sum(self, xs: Sequence[Any], v: Share, bits: int) -> list[Share]:
        """Per-bin sums of shared vectors (vectors, rows) over each owner's bins (``private_bins``), or one more; |v| < 2^bits.

        Each result is (vectors, columns, n_bins); the rounds are those of one.
        """
        ...

    async def private_mask(self, owners: Sequence[int], bits: NDArray[np.uint8], x: Share) -> Share:
        """Each line of shared vectors x, (lines, vectors, n), times a line of plain bits (lines, n) that ``owners`` name.

        A party gives the lines that it owns; what it gives for others is not looked at.
        """
        ...

    async def private_bins(
        self, owner: int, bins: NDArray[np.uint8] | None, shape: tuple[int, int], n_bins: int
    ) -> PrivateMatrix:
        """Prepare the owner's bins, once a job."""
        ...

    async def reshare(self, product: Product) -> Share:
        """A product as a share."""
        ...

    async def truncate(self, x: Linear, bits: int) -> Share:
        """x / 2^bits, floor or one more; for |x| < 2^62 never anything else."""
        ...

    async def msb(self, x: Share) -> BitShare:
        """The sign bit."""
        ...

    async def less(self, x: Share, y: Share) -> BitShare:
        """x < y, for |x - y| < 2^63."""
        ...

    def public_bits(self, words: Ring, length: int) -> BitShare:
        """Public bits, (planes, words), as a BitShare; local. XOR with all ones is NOT."""
        ...

    async def and_bits(self, x: BitShare, y: BitShare) -> BitShare:
        """AND, plane by plane, of equal numbers of planes; one round whatever their number."""
        ...

    async def a2b(self, x: Share, bits: int) -> BitShare:
        """The lowest ``bits`` bits (1 to 64) of every element, flat, plane k holding bit k."""
        ...

    async def b2a(self, bits: BitShare) -> Share:
        """One plane of bits as ring elements 0 and 1."""
        ...

    async def mux(self, bits: BitShare, x: Share, y: Share) -> Share:
        """x where the bit is 1, else y."""
        ...

    async def sigmoid(self, x: Linear, scale_bits: int) -> Share:
        """1/(1 + exp(-x)) of fixed point with ``scale_bits`` fraction bits, into ``frac_bits``."""
        ...

    def share_state(self, share: Share) -> bytes:
        """This party's part of a share, to be sealed."""
        ...

    def share_from_state(self, state: bytes) -> Share:
        """The share again."""
        ...
