"""Long arrays are worked on piece by piece: the same results, and memory that does not grow with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES, FRAC_BITS

from hansa.protocols.mpc import operators as op
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.operators import normalise


@pytest.mark.parametrize("size", [0, 1, 128, 129, 300])
async def test_any_number_of_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise, "PIECE", 128)
    x = np.linspace(0.5, 9, size)

    async def protocol(e: Engine) -> Any:
        shared = await e.input(0, encode(x, FRAC_BITS) if e.session.rank == 0 else None, x.shape)
        found = [await operator(e, shared) for operator in (op.reciprocal, op.sqrt, op.rsqrt, op.log, op.exp)]
        found.append(await op.divide(e, shared.times(2), shared))
        return await e.open(*found, what="test")

    wanted = [1 / x, np.sqrt(x), 1 / np.sqrt(x), np.log(x), np.exp(x), np.full(size, 2.0)]
    for opened, want in zip((await ENGINES["replicated"](protocol))[0], wanted, strict=True):
        np.testing.assert_allclose(decode(opened, FRAC_BITS), want, rtol=3e-6, atol=3e-5)
