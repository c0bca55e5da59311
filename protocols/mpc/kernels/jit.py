"""The one way kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def kernel(function: F) -> F:
    """Compile without the GIL, cached on disk; never ``parallel`` (its thread layer aborts when entered twice)."""
    return cast(F, numba.njit(nogil=True, cache=True)(function))
