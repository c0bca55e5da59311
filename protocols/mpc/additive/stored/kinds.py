"""What can be made ahead of time and stored: its names, its parcels, and what they weigh. Light: the daemon imports it.

A parcel is a fixed number of units of one kind, one unit being 64 elements; it is made, stored and used up as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from hansa.config.params import Param

UNIT: Final = 64
"""Elements of a unit."""
BATCH_BYTES: Final = 16
MAX_PLACE: Final = 1 << 24


class ParcelId(NamedTuple):
    """A parcel's name among parcels of its kind: the batch it was made in (16 bytes), and its place there."""

    batch: bytes
    place: int


@dataclass(frozen=True, slots=True)
class StoredKind:
    """``units`` of a parcel; ``shapes``: of each array (rows, words a unit); rows = 0 means one flat row."""

    units: int
    shapes: tuple[tuple[int, int], ...]

    @property
    def parcel_bytes(self) -> int:
        """What one party's summands of a parcel weigh."""
        return 8 * self.units * sum(max(rows, 1) * words for rows, words in self.shapes)

    @property
    def elements(self) -> int:
        """Elements of a parcel."""
        return UNIT * self.units

    def parcels(self, elements: int) -> int:
        """How many parcels hold so many elements."""
        return -(-elements // self.elements)


STORED_KINDS: Final[dict[str, StoredKind]] = {
    "triples": StoredKind(1 << 10, ((0, UNIT),) * 3),
    "bit_triples": StoredKind(1 << 14, ((1, 1),) * 3),
    "bit_pairs": StoredKind(1 << 14, ((1, 1), (2, 1), (2, 1))),
    "dabits": StoredKind(1 << 10, ((0, 1), (0, UNIT))),
}
"""Beaver triples, bit triples of width 1 and 2, daBits; the arrays are those that ``PairwiseCorrelations`` makes."""


def weight(amounts: Mapping[str, Param]) -> int:
    """Bytes of one party's parcels for so many elements of each kind."""
    return sum(STORED_KINDS[kind].parcels(int(n)) * STORED_KINDS[kind].parcel_bytes for kind, n in amounts.items())


def packed(parcels: Iterable[ParcelId]) -> bytes:
    """Names of parcels as one message."""
    return b"".join(parcel.batch + parcel.place.to_bytes(4, "big") for parcel in parcels)


PACKED: Final = BATCH_BYTES + 4


def unpacked_untrusted(data: bytes) -> list[ParcelId] | None:
    """The names again; None for what is no list of them, each once."""
    if len(data) % PACKED:
        return None
    pieces = [data[at : at + PACKED] for at in range(0, len(data), PACKED)]
    found = [ParcelId(piece[:BATCH_BYTES], int.from_bytes(piece[BATCH_BYTES:], "big")) for piece in pieces]
    return found if len(set(found)) == len(found) and all(p.place < MAX_PLACE for p in found) else None
