"""What does not fit is refused before anything is sent, with a remedy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc import operators as op
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.shares import Share

REFUSED: dict[str, Callable[[Engine, Share], Awaitable[Any]]] = {
    "factors of shapes": lambda e, x: op.mul(e, x, x[:2]),
    "an inner product": lambda e, x: op.inner(e, x, x[:2]),
    "matrices of shapes": lambda e, x: op.matmul(e, x.reshape(2, 3), x.reshape(2, 3)),
    "a quotient of shapes": lambda e, x: op.divide(e, x, x[:2]),
    "a comparison of shapes": lambda e, x: op.equal(e, x, x[:2]),
    "a choice between shapes": lambda e, x: op.mux(e, e.public_bits(_words(1), 6), x, x[:2]),
    "bits for 6 numbers": lambda e, x: op.inject(e, e.public_bits(_words(1), 5), x),
    "AND of": lambda e, x: op.or_bits(e, e.public_bits(_words(1), 6), e.public_bits(_words(2), 6)),
    "axis 1": lambda e, x: op.maximum(e, x, 1),
    "axis 2": lambda e, x: op.softmax(e, x.reshape(2, 3), 2),
    "the greatest of no elements": lambda e, x: op.argmax(e, x[:0]),
    "the 7 greatest of 6": lambda e, x: op.top_k(e, x, 7),
    "the 0 greatest of 6": lambda e, x: op.top_k(e, x, 0),
    "not the shape of its keys": lambda e, x: op.sort(e, x, x[:2]),
    "the first 7 of 6": lambda e, x: op.sort(e, x, first=7),
    "only vectors": lambda e, x: op.shuffle(e, x.reshape(2, 3)),
    "random numbers of 65 bits": lambda e, x: op.uniform(e, (3,), 65),
    "scores of shape": lambda e, x: op.rank(e, x, x[:2]),
}


def _words(planes: int) -> Any:
    return np.zeros((planes, 1), dtype=np.uint64)


async def test_operands_that_do_not_fit() -> None:
    async def protocol(e: Engine) -> None:
        x = e.random((6,))
        before = e.session.transcript.bytes_sent
        for match, operator in REFUSED.items():
            with pytest.raises(ProtocolError, match=match) as caught:
                await operator(e, x)
            assert caught.value.remedy
        with pytest.raises(ProtocolError, match="random bits"):
            op.random_bits(e, 5, 0)
        assert e.session.transcript.bytes_sent == before

    await ENGINES["replicated with an input party"](protocol)


@pytest.mark.parametrize("frac_bits", [11, 21])
async def test_precisions_that_operators_are_not_made_for(frac_bits: int) -> None:
    async def protocol(e: Any) -> None:
        e.frac_bits = frac_bits
        for operator in (op.reciprocal, op.sqrt, op.exp, op.log):
            with pytest.raises(ProtocolError, match=f"an engine of {frac_bits} fraction bits"):
                await operator(e, e.random((2,)))

    await ENGINES["replicated"](protocol)
