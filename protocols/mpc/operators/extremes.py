"""The greatest elements along an axis, and where they are: tournaments, ceil(log2 n) levels for one of n."""

from __future__ import annotations

import numpy as np

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.operators.sorting import sort
from hansa.protocols.mpc.shares import Share


async def maximum(e: Engine, x: Share, axis: int = -1) -> Share:
    """The greatest element along an axis, which goes; elements must differ by less than 2^63.

    Rounds: ceil(log2 n) times those of ``less`` and ``mux``, n the axis' length. Bytes: a ``less`` and a ``mux`` for each
    element but one of each line.
    """
    front = _front(x, axis)
    return (await sort(e, front, largest_first=True, first=1))[0].reshape(*front.shape[1:])


async def minimum(e: Engine, x: Share, axis: int = -1) -> Share:
    """The least element along an axis; as ``maximum``."""
    front = _front(x, axis)
    return (await sort(e, front, first=1))[0].reshape(*front.shape[1:])


async def argmax(e: Engine, x: Share, axis: int = -1) -> tuple[Share, Share]:
    """The greatest element along an axis and its place, an integer; of equal ones one of them.

    Rounds as ``maximum``; bytes: a ``less`` and two ``mux`` for each element but one of each line.
    """
    values, places = await top_k(e, x, 1, axis)
    front = _front(values, axis), _front(places, axis)
    return front[0].reshape(*front[0].shape[1:]), front[1].reshape(*front[1].shape[1:])


async def top_k(e: Engine, x: Share, k: int, axis: int = -1) -> tuple[Share, Share]:
    """The k greatest elements along an axis, greatest first, and their places; the axis keeps k elements.

    Rounds and bytes: those of ``sort`` with ``first`` k: log2 n levels for k = 1, up to log2 n (log2 n + 1)/2 for more.
    """
    front = _front(x, axis)
    if not 0 < k <= front.shape[0]:
        raise ProtocolError(f"the {k} greatest of {front.shape[0]} elements", remedy="ask for one up to all of them")
    index = np.arange(front.shape[0], dtype=np.uint64).reshape(-1, *[1] * (len(front.shape) - 1))
    places = e.public(np.ascontiguousarray(np.broadcast_to(index, front.shape)))
    values, where = await sort(e, front, places, largest_first=True, first=k)
    place = axis % len(x.shape)
    return values.moveaxis(0, place), where.moveaxis(0, place)


def axis_of(x: Share, axis: int) -> int:
    """An axis counted from 0; raises ``ProtocolError`` for one that is not there, or has no element."""
    if not -len(x.shape) <= axis < len(x.shape):
        raise ProtocolError(f"axis {axis} of a shape {x.shape}", remedy="name an axis that is there")
    return axis % len(x.shape)


def _front(x: Share, axis: int) -> Share:
    place = axis_of(x, axis)
    if not x.shape[place]:
        raise ProtocolError(f"the greatest of no elements, of a shape {x.shape}", remedy="name an axis with elements")
    return x.moveaxis(place, 0)
