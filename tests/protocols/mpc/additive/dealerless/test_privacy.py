"""Without a dealer, what a party receives and what it takes out of transfers and products tells it nothing of the inputs.

Received bytes have the same distribution under every input (ciphertexts are not uniform bytes, but do not depend on
them); what comes out of transfers, products and openings is uniform. And the tests can fail.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.additive import INPUTS
from support.engines import additive_direct
from support.statistics import UNIFORM, chi_square, chi_square_of_two
from support.taps import PayloadTap

from hansa.protocols.mpc.additive.dealerless import two_party
from hansa.protocols.mpc.additive.dealerless.engine import DealerlessEngine
from hansa.protocols.mpc.additive.dealerless.pairs import Pair
from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.ot import OtReceiver
from hansa.protocols.mpc.session.memory import network

OPERATIONS = ["mul", "truncate", "less", "sigmoid", "matrix", "bits", "mux"]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What transfers and products give, and what is opened under masks, at all parties."""
    kept: list[bytes] = []

    def watch(owner: Any, name: str, keep: Any) -> None:
        plain = getattr(owner, name)

        async def watched(*arguments: Any, **options: Any) -> Any:
            result = await plain(*arguments, **options)
            if name != "_merged" or arguments[0].first:  # all parties see the same openings: count them once
                kept.append(keep(result))
            return result

        monkeypatch.setattr(owner, name, watched)

    watch(OtReceiver, "correlated", lambda share: share.tobytes() if int(share.max(initial=0)) >> 62 else b"")
    watch(two_party, "_choose", lambda planes: planes.tobytes())
    watch(Pair, "cross", lambda share: share.tobytes())
    watch(DealerlessEngine, "_merged", lambda opened: b"".join(part.tobytes() for part in opened))
    return kept


async def views(operation: str, values: np.ndarray, n: int) -> list[bytes]:
    """What each party receives while it computes."""
    heard: list[list[bytes]] = [[] for _ in range(n)]
    ends = [
        {peer: PayloadTap(link, heard[rank]) for peer, link in links.items()} for rank, links in enumerate(network(n))
    ]

    async def protocol(e: DealerlessEngine) -> None:
        x = await e.input(0, encode(values, 18) if e.rank == 0 else None, values.shape)
        match operation:
            case "mul":
                await e.mul(x, x)
            case "truncate":
                await e.truncate(x, 9)
            case "less":
                await e.less(x, x.times(2))
            case "sigmoid":
                await e.sigmoid(x, 18)
            case "mux":
                await e.mux(await e.less(x, x.times(2)), x, x.times(2))
            case "matrix":
                table = encode(values, 18).reshape(-1, 8)
                matrix = await e.private_matrix(0, table if e.rank == 0 else None, table.shape)
                await e.private_linear_t([matrix], [x[: len(table)]], slice(0, len(table)))
            case "bits":
                bits = (values > np.median(values)).astype(np.uint8)[None]
                await e.private_mask((n - 1,), bits, x.reshape(1, 1, -1))

    await additive_direct(n)(protocol, links=ends)
    return [b"".join(messages) for messages in heard]


@pytest.mark.parametrize("n", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_views_do_not_depend_on_the_inputs(operation: str, n: int, taken: list[bytes]) -> None:
    reference: list[bytes] = []
    for values in INPUTS.values():
        taken.clear()
        received = await views(operation, values, n)
        own = b"".join(taken)
        assert len(own) < 4096 or chi_square(own) < UNIFORM
        for one, other in zip(reference, received, strict=bool(reference)):
            assert len(one) == len(other)
            assert chi_square_of_two(one, other) < UNIFORM
        reference = reference or received


class Zeros:
    """A keystream that is none."""

    def __init__(self, *_: Any) -> None: ...

    def words(self, *shape: int) -> np.ndarray:
        return np.zeros(shape, dtype=np.uint64)


async def test_unmasked_leaves_are_caught(taken: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_party, "Keystream", Zeros)
    await views("less", INPUTS["equal"], 2)
    assert chi_square(b"".join(taken)) > UNIFORM


async def test_products_of_small_numbers_are_masked_over_the_whole_ring(taken: list[bytes]) -> None:
    """Sines are small; the summands of their products are not."""
    await views("sigmoid", INPUTS["zeros"], 2)
    shares = np.frombuffer(max(taken, key=len), dtype=np.uint64)
    assert abs(np.unpackbits(shares.view(np.uint8)).mean() - 0.5) < 0.01
