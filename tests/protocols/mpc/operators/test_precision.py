"""Other numbers of fraction bits: the errors stated hold at both ends of what is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES

from hansa.protocols.mpc import operators as op
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode


@pytest.mark.parametrize("f", [12, 13, 16, 20])
async def test_errors_are_those_stated(f: int) -> None:
    ulp, top = 2.0**-f, 2.0 ** (44 - f)
    x = decode(encode(np.append(np.geomspace(ulp, top - ulp, 200), 2.0 ** np.arange(1 - f, 44 - f)), f), f)
    greatest = (44 - f) * np.log(2) - 2 * ulp
    powers = decode(encode(np.append(np.linspace(-15, greatest, 100), 1 - 2.0 ** min(30 - f, 13)), f), f)
    quotients = 2.0 ** np.linspace(-f, min(36 - f, 18) - 0.1, x.size)
    above = decode(encode(np.clip(quotients * x, -(2.0 ** (61 - f)), 2.0 ** (61 - f)), f), f)

    async def protocol(e: Any) -> Any:
        e.frac_bits = f

        async def put(values: np.ndarray) -> Any:
            return await e.input(0, encode(values, f) if e.session.rank == 0 else None, values.shape)

        shared = await put(x)
        found = [await operator(e, shared) for operator in (op.reciprocal, op.sqrt, op.rsqrt, op.log)]
        found += [await op.exp(e, await put(powers)), await op.divide(e, await put(above), shared)]
        return await e.open(*found, what="test")

    wanted = [1 / x, np.sqrt(x), 1 / np.sqrt(x), np.log(x), np.exp(powers), above / x]
    relative = [2.0**-26] * 3 + [0, 2.0**-24, 2.0**-26]
    for opened, want, rel in zip((await ENGINES["replicated"](protocol))[0], wanted, relative, strict=True):
        assert np.all(np.abs(decode(opened, f) - want) <= rel * np.abs(want) + 2 * ulp)


async def test_nothing_but_the_element_itself_suffers_outside_the_domain() -> None:
    x = np.array([1.0, 0.0, -3.0, 2.0**40, 4.0])

    async def protocol(e: Engine) -> Any:
        shared = await e.input(0, encode(x, 18) if e.session.rank == 0 else None, x.shape)
        found = [await operator(e, shared) for operator in (op.reciprocal, op.sqrt, op.log, op.exp)]
        return await e.open(*found, what="test")

    inverse, root, logarithm, power = (decode(opened, 18) for opened in (await ENGINES["replicated"](protocol))[0])
    np.testing.assert_allclose(inverse[[0, 2, 4]], [1, -1 / 3, 0.25], atol=1e-5)
    np.testing.assert_allclose(root[[0, 1, 4]], [1, 0, 2], atol=1e-5)
    np.testing.assert_allclose(logarithm[[0, 4]], [0, np.log(4)], atol=1e-5)
    np.testing.assert_allclose(power[[0, 1, 2, 4]], np.exp([1, 0, -3, 4]), atol=2e-5)
