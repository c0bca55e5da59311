"""An owner's plain bits times shared vectors, on engines for which an owner's input is cheap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.shares import Share, concatenate

Bits = NDArray[np.uint8]


def checked_bits(owners: Sequence[int], bits: Bits, x: Share, rank: int) -> Bits:
    """The lines of ``bits`` that this party owns, (lines, n) uint8; raises ``ProtocolError`` where shapes do not fit."""
    if len(x.shape) != 3 or bits.shape != (x.shape[0], x.shape[2]) or len(owners) != x.shape[0]:
        raise ProtocolError(f"bits {bits.shape} for vectors {x.shape}", remedy="report this as a bug")
    mine = np.array([owner == rank for owner in owners], dtype=bool)
    own: Bits = bits[mine]
    if own.size and int(own.max()) > 1:
        raise ProtocolError("bits other than 0 and 1", remedy="report this as a bug")
    return own


async def shared_mask(e: Engine, owners: Sequence[int], bits: Bits, x: Share) -> Share:
    """``Engine.private_mask``: the owners share their bits, and all are multiplied.

    Rounds: those of ``input`` for each owner, of ``mul`` and ``reshare``. Bytes: of as many elements.
    """
    checked_bits(owners, bits, x, e.session.rank)
    lines, vectors, n = x.shape
    order = sorted(range(lines), key=lambda line: owners[line])
    parts = []
    for owner in sorted(set(owners)):
        own = [line for line in order if owners[line] == owner]
        values = bits[own].astype(np.uint64) if e.session.rank == owner else None
        parts.append(await e.input(owner, values, (len(own), n)))
    chosen = concatenate(parts)[np.argsort(np.array(order))]
    return await e.reshare(await e.mul(chosen.reshape(lines, 1, n).broadcast((lines, vectors, n)), x))
