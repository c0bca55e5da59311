"""What ``OtSender`` and ``OtReceiver`` ask of a source of random OTs: SoftSpokenOT (``extension``) or Ferret (``silent``).

A pad is the hash of a correlated row; it masks a message. Corrections turn random choices into given ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring

Hashed = tuple[Ring, Ring]
"""Input and output of the permutation; their XOR is the hash, which is the pad."""


class _End(Protocol):
    @property
    def trees(self) -> int:
        """Bits of corrections an OT with a given choice; a random OT takes one less."""

    async def prepare(self, n: int) -> None:
        """Before the next ``n`` OTs (whole blocks): both ends call it with the same numbers in the same order."""


class _Sends(_End, Protocol):
    @property
    def ahead(self) -> int:
        """How many pieces are prepared before the first of them is used."""


class OneOf2Sender(_Sends, Protocol):
    """The sender of 1-of-2 OTs: it knows both pads."""

    def pads(self, n: int, corrections: Ring) -> Iterator[tuple[int, Hashed, Hashed]]:
        """(first row, the pad for choice 0, the pad for choice 1) of the next ``n`` OTs, some rows at a time."""


class OneOf2Receiver(_End, Protocol):
    """The receiver of 1-of-2 OTs: it knows the pad that it chose."""

    def expand(self, n: int, choices: Ring | None) -> tuple[Any, Ring, Ring]:
        """Rows for ``pads``, corrections to send, and the choices, (words,), which are random if none are given."""

    def pads(self, rows: Any) -> Iterator[tuple[int, Hashed]]:
        """(first row, the chosen pad), some rows at a time."""


class OneOf16Sender(_Sends, Protocol):
    """The sender of 1-of-16 OTs: it knows all pads."""

    def pads(self, n: int, corrections: Ring) -> Iterator[tuple[int, Hashed]]:
        """(first row, sixteen pads (16, rows, 2)) of the next ``n`` OTs, some rows at a time."""


class OneOf16Receiver(_End, Protocol):
    """The receiver of 1-of-16 OTs: it knows the pad that it chose."""

    def expand(self, n: int, choices: NDArray[np.uint8]) -> tuple[Any, Ring]:
        """Rows for ``pads``, and the corrections to send."""

    def pads(self, rows: Any) -> Iterator[tuple[int, Hashed]]:
        """(first row, the chosen pad), some rows at a time."""
