"""The replicated engine against plain arithmetic, at every party, on adversarial and random values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hansa.protocols.errors import ProtocolError, UndeclaredOpening
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.fourier import MAX_ERROR
from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine
from hansa.protocols.mpc.session.memory import parties, run_parties
from hansa.protocols.mpc.shares import BitShare, Product, Share

EDGES = np.array([0, 1, 2**64 - 1, 2**63, 2**63 - 1, 2**62, 2**62 - 1, 12345, 2**64 - 12345], dtype=np.uint64)


async def compute(protocol: Callable[[ReplicatedEngine], Awaitable[Any]], **options: Any) -> list[Any]:
    async with parties(3, **options) as sessions:

        async def party(session: Any) -> Any:
            return await protocol(await ReplicatedEngine.start(session, 18))

        return await run_parties(sessions, party)


async def share(e: ReplicatedEngine, owner: int, values: np.ndarray) -> Share:
    return await e.input(owner, values if e.rank == owner else None, values.shape)


async def reveal(e: ReplicatedEngine, *shares: Share) -> np.ndarray:
    return (await e.open(*shares, what="test"))[0]


def bits_of(shares: list[BitShare]) -> np.ndarray:
    plane = shares[0].parts[0][0] ^ shares[0].parts[1][0] ^ shares[1].parts[1][0]
    return unpack_bits(plane, shares[0].length)


@pytest.mark.parametrize("owner", [0, 1, 2])
@pytest.mark.parametrize("size", [0, 1, 9])
async def test_input_and_open(owner: int, size: int) -> None:
    values = EDGES[:size]

    async def protocol(e: ReplicatedEngine) -> Any:
        x = await share(e, owner, values)
        mine = await e.open_to(1, x, what="test")
        return await reveal(e, x + e.public(values)), mine

    for rank, (opened, mine) in enumerate(await compute(protocol)):
        np.testing.assert_array_equal(opened, values + values)
        assert (mine is not None) == (rank == 1)


@given(arrays(np.uint64, st.integers(0, 40)), arrays(np.uint64, st.integers(0, 40)))
@settings(max_examples=20, deadline=None)
def test_products(x: np.ndarray, y: np.ndarray) -> None:
    import trio

    n = min(x.size, y.size)
    x, y = x[:n], y[:n]

    async def protocol(e: ReplicatedEngine) -> Any:
        a, b = await share(e, 0, x), await share(e, 1, y)
        product = await e.mul(a, b) + await e.mul(a, a)
        return await reveal(e, await e.reshare(product))

    for opened in trio.run(compute, protocol):
        np.testing.assert_array_equal(opened, x * y + x * x)


async def test_truncation_is_floor_or_one_more_up_to_the_very_bounds() -> None:
    rng = np.random.default_rng(1)
    signed = np.concatenate(
        [
            rng.integers(-(2**62) + 1, 2**62 - 1, 5000),
            np.array([0, 1, -1, 2**62 - 1, -(2**62), 2**18, -(2**18), 2**18 - 1]),
        ]
    ).astype(np.int64)

    async def protocol(e: ReplicatedEngine) -> Any:
        x = await share(e, 2, signed.view(np.uint64))
        return [await reveal(e, await e.truncate(x, bits)) for bits in (1, 18, 36, 61)]

    for results in await compute(protocol):
        for bits, result in zip((1, 18, 36, 61), results, strict=True):
            error = result.view(np.int64) - (signed >> bits)
            assert set(np.unique(error)) <= {0, 1}


@pytest.mark.parametrize("size", [1, 63, 64, 65, 500])
async def test_comparison(size: int) -> None:
    rng = np.random.default_rng(size)
    x = np.resize(np.concatenate([EDGES, rng.integers(0, 2**64, size, dtype=np.uint64)]), size)
    near = np.resize(np.array([0, 1, -1, 2**40, -(2**40), 2**62], dtype=np.int64), size)
    y = x + near.view(np.uint64)

    async def protocol(e: ReplicatedEngine) -> Any:
        a, b = await share(e, 0, x), await share(e, 1, y)
        sign, smaller = await e.msb(a), await e.less(a, b)
        chosen = await e.mux(smaller, a, b)
        return sign, smaller, await reveal(e, await e.b2a(smaller)), await reveal(e, chosen)

    results = await compute(protocol)
    expected = (near > 0).astype(np.uint64)
    np.testing.assert_array_equal(bits_of([r[0] for r in results]), x >> np.uint64(63))
    np.testing.assert_array_equal(bits_of([r[1] for r in results]), expected)
    for _, _, ring, chosen in results:
        np.testing.assert_array_equal(ring, expected)
        np.testing.assert_array_equal(chosen, np.where(near > 0, x, y))


@pytest.mark.parametrize("owner", [0, 1, 2])
async def test_products_with_a_private_matrix(owner: int) -> None:
    rng = np.random.default_rng(owner)
    matrix = rng.integers(0, 2**64, (30, 7), dtype=np.uint64)
    w, r = rng.integers(0, 2**64, 7, dtype=np.uint64), rng.integers(0, 2**64, 30, dtype=np.uint64)
    rows = slice(10, 25)

    async def protocol(e: ReplicatedEngine) -> Any:
        mine = e.rank == owner
        x = await e.private_matrix(owner, matrix if mine else None, matrix.shape)
        ws, rs = await share(e, (owner + 1) % 3, w), await share(e, 0, r)
        before = e.session.transcript.bytes_sent
        forward = (await e.private_linear([x], [ws], rows))[0]
        backward = (await e.private_linear_t([x], [rs[rows]], rows))[0]
        assert e.session.transcript.bytes_sent == before
        return [await reveal(e, await e.reshare(p)) for p in (forward, backward)]

    for forward, backward in await compute(protocol):
        np.testing.assert_array_equal(forward, matrix[rows] @ w)
        np.testing.assert_array_equal(backward, matrix[rows].T @ r[rows])


@pytest.mark.parametrize("as_product", [False, True])
async def test_sigmoid_everywhere(as_product: bool) -> None:
    x = np.concatenate([np.linspace(-12, 12, 4001), np.geomspace(9, 2**24, 200), -np.geomspace(9, 2**24, 200)])
    scale = 36 if as_product else 18

    async def protocol(e: ReplicatedEngine) -> Any:
        shared = await share(e, 1, encode(x, scale))
        argument = await e.mul(shared, e.public(np.ones(x.size, dtype=np.uint64))) if as_product else shared
        assert isinstance(argument, Product) == as_product
        before = e.session.transcript.rounds
        y = await e.sigmoid(argument, scale)
        return await reveal(e, y), e.session.transcript.rounds - before

    with np.errstate(over="ignore"):
        truth = 1 / (1 + np.exp(-x))
    for opened, rounds in await compute(protocol):
        error = np.abs(decode(opened, 18) - truth)
        assert error.max() < MAX_ERROR
        assert rounds == (13 if as_product else 14) or rounds <= 14


async def test_states_return_and_are_checked() -> None:
    async def protocol(e: ReplicatedEngine) -> Any:
        x = await share(e, 0, EDGES)
        state = e.share_state(x)
        with pytest.raises(ProtocolError, match="not of this party"):
            e.share_from_state(bytes([1, 3]) + state[2:])
        with pytest.raises(ProtocolError, match="not of this party"):
            e.share_from_state(state[:-1])
        return await reveal(e, e.share_from_state(state))

    for opened in await compute(protocol):
        np.testing.assert_array_equal(opened, EDGES)


async def test_an_undeclared_opening_is_refused_before_anything_is_sent() -> None:
    async def protocol(e: ReplicatedEngine) -> Any:
        x = await share(e, 0, EDGES)
        await e.open(x, what="metrics")
        before = e.session.transcript.bytes_sent
        try:
            await e.open_to(1, x, what="metrics")
        finally:
            assert e.session.transcript.bytes_sent == before

    with pytest.raises(UndeclaredOpening, match="does not name an opening of 'metrics' to party 1"):
        await compute(protocol, allowed={("metrics", (0, 1, 2))})


async def test_a_share_does_not_print_and_does_not_mix() -> None:
    async def protocol(e: ReplicatedEngine) -> str:
        x = await share(e, 0, EDGES)
        with pytest.raises(TypeError, match="cannot be combined"):
            x + await e.mul(x, x)
        return repr(x)

    assert set(await compute(protocol)) == {"<Share of shape (9,)>"}
