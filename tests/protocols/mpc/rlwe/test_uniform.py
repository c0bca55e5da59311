"""Summands are uniform whatever is multiplied, by Pearson's statistic of bytes: 255 degrees of freedom, 400 is beyond 10^-7."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.statistics import chi_square

from hansa.protocols.mpc.rlwe.linear import MatrixEvaluator, MatrixOwner
from hansa.protocols.mpc.rlwe.products import ProductEvaluator, ProductOwner
from hansa.protocols.mpc.session.memory import parties, run_parties
from hansa.protocols.mpc.session.session import Session

UNIFORM = 400


@pytest.mark.parametrize("bits", [22, 64])
@pytest.mark.parametrize("value", [0, 1, 2**21 - 1])
async def test_summands_of_products(bits: int, value: int) -> None:
    numbers = np.full(20_000, value, dtype=np.uint64)

    async def party(session: Session) -> Any:
        return await (ProductEvaluator if session.rank else ProductOwner)(session, 1 - session.rank).cross(
            numbers, numbers, bits
        )

    async with parties(2) as sessions:
        mine, other = await run_parties(sessions, party)
    assert np.array_equal(mine + other, np.uint64(2) * numbers * numbers)
    assert max(chi_square(share.tobytes()) for share in (mine, other)) < UNIFORM


@pytest.mark.parametrize("insecure_unmasked", [False, True])
async def test_summands_of_a_matrix(insecure_unmasked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if insecure_unmasked:
        monkeypatch.setattr(
            "hansa.protocols.mpc.rlwe.scheme.limbs",
            lambda coins, bits, size: np.zeros((-(-bits // 30), size), dtype=np.uint32),
        )
    matrix, vector = np.zeros((8192, 2), dtype=np.uint64), np.full(2, 5, dtype=np.uint64)

    async def party(session: Session) -> Any:
        if session.rank:
            return await (await MatrixEvaluator.start(session, 0)).multiply("x", matrix.shape, vector)
        return await (await MatrixOwner.start(session, 1)).multiply("x", matrix)

    async with parties(2) as sessions:
        mine, other = await run_parties(sessions, party)
    assert not (mine + other).any()
    assert (chi_square(mine.tobytes()) > UNIFORM) == insecure_unmasked
