"""What ``OtSender`` and ``OtReceiver`` ask of a source of transfers: SoftSpokenOT (``extension``) or silent (``silent``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring

Hashed = tuple[Ring, Ring]
"""Inputs and outputs of the permutation: the hash is their XOR."""


class _End(Protocol):
    @property
    def trees(self) -> int:
        """Bits of corrections for a transfer whose choice is given; for a random one, one less."""

    async def prepare(self, n: int) -> None:
        """Both ends call it with the same ``n``, whole blocks, before these transfers are made, and in their order."""


class _Sends(_End, Protocol):
    @property
    def ahead(self) -> int:
        """Pieces that are prepared before one is waited for."""


class OneOf2Sender(_Sends, Protocol):
    """1 of 2, where both pads are known."""

    def pads(self, n: int, corrections: Ring) -> Iterator[tuple[int, Hashed, Hashed]]:
        """(first row, the pad for choice 0, the pad for choice 1) of the next ``n`` transfers, some rows at a time."""


class OneOf2Receiver(_End, Protocol):
    """1 of 2, where one is chosen."""

    def expand(self, n: int, choices: Ring | None) -> tuple[Any, Ring, Ring]:
        """What ``pads`` takes, corrections to send, and the choices, (words,); without ``choices`` they are random."""

    def pads(self, rows: Any) -> Iterator[tuple[int, Hashed]]:
        """(first row, the chosen pad), some rows at a time."""


class OneOf16Sender(_Sends, Protocol):
    """1 of 16, where all pads are known."""

    def pads(self, n: int, corrections: Ring) -> Iterator[tuple[int, Hashed]]:
        """(first row, sixteen pads (16, rows, 2)) of the next ``n`` transfers, some rows at a time."""


class OneOf16Receiver(_End, Protocol):
    """1 of 16, where one is chosen."""

    def expand(self, n: int, choices: NDArray[np.uint8]) -> tuple[Any, Ring]:
        """What ``pads`` takes, and the corrections to send."""

    def pads(self, rows: Any) -> Iterator[tuple[int, Hashed]]:
        """(first row, the chosen pad), some rows at a time."""
