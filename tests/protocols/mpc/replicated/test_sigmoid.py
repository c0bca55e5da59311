"""The sigmoid's constants come from the fit they claim, and its error bound from its three parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.fourier import COEFFICIENTS, DOMAIN, HARMONICS, MAX_ERROR, PERIOD_BITS
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.memory import parties, run_parties

SERIES_ERROR = 3.95e-4
SATURATION_ERROR = 1.32e-4
FIXED_POINT_ERROR = 2e-5


def truth(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(x / 2)


def sines(x: np.ndarray) -> np.ndarray:
    return np.sin(np.multiply.outer(x, np.array(HARMONICS)) * (2 * np.pi / 2**PERIOD_BITS))


def minimax_fit(points: int) -> tuple[np.ndarray, float]:
    """The coefficients of least maximal error on a grid of [0, 9] (both functions are odd), by linear programming."""
    x = np.linspace(0, DOMAIN, points)
    basis, target, bound = sines(x), truth(x) - 0.5, -np.ones((points, 1))
    found = linprog(
        np.r_[np.zeros(len(HARMONICS)), 1],
        A_ub=np.vstack((np.hstack((basis, bound)), np.hstack((-basis, bound)))),
        b_ub=np.r_[target, -target],
        bounds=[(None, None)] * len(HARMONICS) + [(0, None)],
        method="highs",
    )
    return found.x[:-1], float(found.x[-1])


def test_no_other_coefficients_do_better() -> None:
    _, best = minimax_fit(4001)
    x = np.linspace(0, DOMAIN, 100_001)
    ours = float(np.abs(sines(x) @ np.array(COEFFICIENTS) + 0.5 - truth(x)).max())
    assert ours <= best * 1.01
    assert ours < SERIES_ERROR


def test_the_bound_is_the_larger_of_series_and_saturation() -> None:
    assert truth(np.array(-(DOMAIN - 1 / 16))) < SATURATION_ERROR
    assert max(SERIES_ERROR, SATURATION_ERROR) + FIXED_POINT_ERROR < MAX_ERROR


async def under_mpc(x: np.ndarray, scale: int) -> np.ndarray:
    async with parties(3) as sessions:

        async def party(session: Any) -> Any:
            e = await ReplicatedEngine.start(session, 18)
            shared = await e.input(2, encode(x, scale) if e.rank == 2 else None, x.shape)
            return await e.open(await e.sigmoid(e.as_product(shared) if scale > 18 else shared, scale), what="test")

        opened = (await run_parties(sessions, party))[0][0]
    return decode(opened, 18)


@pytest.mark.parametrize("scale", [18, 36, 44])
async def test_where_series_and_constant_meet(scale: int) -> None:
    near = DOMAIN + np.linspace(-0.2, 0.2, 4001)
    for x in (near, -near):
        assert np.abs(await under_mpc(x, scale) - truth(x)).max() < MAX_ERROR


@pytest.mark.parametrize("scale", [18, 36])
async def test_beyond_the_domain_it_is_exactly_zero_or_one(scale: int) -> None:
    largest = 2.0 ** (61 - scale)
    x = np.array([DOMAIN + 1 / 32, 16.0, 23.0, 32.0, 41.0, 64.0, 1000.0, largest])
    np.testing.assert_array_equal(await under_mpc(x, scale), np.ones(x.size))
    np.testing.assert_array_equal(await under_mpc(-x, scale), np.zeros(x.size))


@pytest.mark.parametrize("size", [0, 1])
async def test_smallest_sizes(size: int) -> None:
    assert np.abs(await under_mpc(np.zeros(size), 36) - 0.5).max(initial=0.0) < MAX_ERROR
