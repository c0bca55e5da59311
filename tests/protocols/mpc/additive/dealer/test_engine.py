"""The additive engine with a dealer against plain arithmetic, for every number of parties, on adversarial values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.engines import additive_dealt

from hansa.protocols.errors import ProtocolError, UndeclaredOpening
from hansa.protocols.mpc.additive.engine import AdditiveEngine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.fourier import MAX_ERROR
from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.shares import BitShare, Product, Share

EDGES = np.array([0, 1, 2**64 - 1, 2**63, 2**63 - 1, 2**62, 2**62 - 1, 12345, 2**64 - 12345], dtype=np.uint64)
PARTIES = [2, 3, 4, 5]


async def share(e: AdditiveEngine, owner: int, values: np.ndarray) -> Share:
    return await e.input(owner, values if e.rank == owner else None, values.shape)


async def reveal(e: AdditiveEngine, *shares: Any) -> np.ndarray:
    settled = [await e.reshare(s) if isinstance(s, Product) else s for s in shares]
    return (await e.open(*settled, what="test"))[0]


def bits_of(shares: list[BitShare]) -> np.ndarray:
    return unpack_bits(np.bitwise_xor.reduce([s.parts[0][0] for s in shares]), shares[0].length)


@pytest.mark.parametrize("n", PARTIES)
@pytest.mark.parametrize("size", [0, 1, 9])
async def test_input_open_and_linear_work(n: int, size: int) -> None:
    values = EDGES[:size]

    async def protocol(e: AdditiveEngine) -> Any:
        x, y = await share(e, n - 1, values), await share(e, 0, values)
        mine = await e.open_to(1, x, y, what="test")
        return await reveal(e, e.add_public(x.times(3) - y, 7) + e.public(values)), mine

    for rank, (opened, mine) in enumerate(await additive_dealt(n)(protocol)):
        np.testing.assert_array_equal(opened, values * np.uint64(3) + np.uint64(7))
        assert (mine is not None) == (rank == 1)
        if mine is not None:
            np.testing.assert_array_equal(mine, [values, values])


@pytest.mark.parametrize("n", PARTIES)
@pytest.mark.parametrize("size", [0, 1, 65])
async def test_products(n: int, size: int) -> None:
    rng = np.random.default_rng(size)
    x = np.resize(np.concatenate([EDGES, rng.integers(0, 2**64, 60, dtype=np.uint64)]), size)
    y = x[::-1].copy()

    async def protocol(e: AdditiveEngine) -> Any:
        a, b = await share(e, 0, x), await share(e, 1, y)
        return await reveal(e, await e.mul(a, b) + await e.mul(a, a) + e.as_product(b))

    for opened in await additive_dealt(n)(protocol):
        np.testing.assert_array_equal(opened, x * y + x * x + y)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 1, 1), (2, 0, 3), (0, 2, 1), (1030, 2, 3), (2, 1025, 1)])
async def test_matrix_products(n: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(n)
    x, y = (rng.integers(0, 2**64, size, dtype=np.uint64) for size in (shape[:2], shape[1:]))

    async def protocol(e: AdditiveEngine) -> Any:
        a, b = await share(e, 0, x), await share(e, 1, y)
        sent, rounds = e.session.transcript.bytes_sent, e.session.transcript.rounds
        product = await e.matmul(a, b)
        costs = e.session.transcript.bytes_sent - sent, e.session.transcript.rounds - rounds
        with pytest.raises(ProtocolError, match="matrices of shapes"):
            await e.matmul(a, a.reshape(-1))
        return await reveal(e, product), costs

    tiles = [-(-extent // 1024) for extent in shape]
    opened = 8 * (x.size * tiles[2] + y.size * tiles[0]) * (n - 1)
    for rank, (product, (sent, rounds)) in enumerate(await additive_dealt(n)(protocol)):
        np.testing.assert_array_equal(product, x @ y)
        if rank == 0 and x.size and y.size:  # the last party sends requests and waits for the dealer as well
            assert (sent, rounds) == (opened, 1)


@pytest.mark.parametrize("n", PARTIES)
async def test_truncation_is_floor_or_one_more_up_to_the_very_bounds(n: int) -> None:
    rng = np.random.default_rng(1)
    near = [0, 1, -1, 2**62 - 1, -(2**62), 2**18, -(2**18), 2**18 - 1, 2**18 + 1, -(2**18) - 1]
    signed = np.concatenate([rng.integers(-(2**62) + 1, 2**62 - 1, 5000), np.array(near)]).astype(np.int64)

    async def protocol(e: AdditiveEngine) -> Any:
        x = await share(e, 1, signed.view(np.uint64))
        return [await reveal(e, await e.truncate(x, bits)) for bits in (1, 18, 36, 61)]

    for results in await additive_dealt(n)(protocol):
        for bits, result in zip((1, 18, 36, 61), results, strict=True):
            assert set(np.unique(result.view(np.int64) - (signed >> bits))) <= {0, 1}


async def test_truncation_is_exact_on_multiples_and_unbiased_between() -> None:
    x = np.full(40_000, (5 << 18) + (1 << 16), dtype=np.uint64)

    async def protocol(e: AdditiveEngine) -> Any:
        return await reveal(e, await e.truncate(await share(e, 0, x), 18)), await reveal(
            e, await e.truncate(await share(e, 0, x & np.uint64(0xFFFFFFFFFFFC0000)), 18)
        )

    rounded, exact = (await additive_dealt(2)(protocol))[0]
    assert (exact == 5).all()
    assert abs(rounded.mean() - 5.25) < 0.015  # seven deviations of a quarter's mean over 40,000


@pytest.mark.parametrize("n", PARTIES)
@pytest.mark.parametrize("size", [1, 63, 64, 65, 500])
async def test_comparison(n: int, size: int) -> None:
    rng = np.random.default_rng(size)
    x = np.resize(np.concatenate([EDGES, rng.integers(0, 2**64, size, dtype=np.uint64)]), size)
    near = np.resize(np.array([0, 1, -1, 2**40, -(2**40), 2**62, 2**63 - 1, -(2**63) + 1], dtype=np.int64), size)
    y = x + near.view(np.uint64)

    async def protocol(e: AdditiveEngine) -> Any:
        a, b = await share(e, 0, x), await share(e, 1, y)
        sign, smaller = await e.msb(a), await e.less(a, b)
        chosen = await e.mux(smaller, a, b)
        return sign, smaller, await reveal(e, await e.b2a(smaller)), await reveal(e, chosen)

    results = await additive_dealt(n)(protocol)
    expected = (near > 0).astype(np.uint64)
    np.testing.assert_array_equal(bits_of([r[0] for r in results]), x >> np.uint64(63))
    np.testing.assert_array_equal(bits_of([r[1] for r in results]), expected)
    for _, _, ring, chosen in results:
        np.testing.assert_array_equal(ring, expected)
        np.testing.assert_array_equal(chosen, np.where(near > 0, x, y))


async def test_nothing_can_be_compared_chosen_and_converted() -> None:
    async def protocol(e: AdditiveEngine) -> Any:
        x = await share(e, 0, EDGES[:0])
        bits = await e.less(x, x)
        return (await e.mux(bits, x, x)).size, (await e.b2a(bits)).size, (await e.truncate(x, 3)).size

    assert await additive_dealt(2)(protocol) == [(0, 0, 0)] * 2


@pytest.mark.parametrize("n", PARTIES)
@pytest.mark.parametrize("owner", [0, 1])
async def test_private_matrix_and_bins(n: int, owner: int) -> None:
    rng = np.random.default_rng(owner)
    owner = owner * (n - 1)
    matrix = rng.integers(0, 2**64, (30, 7), dtype=np.uint64)
    bins = rng.integers(0, 5, (30, 4)).astype(np.uint8)
    w, r = rng.integers(0, 2**64, 7, dtype=np.uint64), rng.integers(0, 2**64, 30, dtype=np.uint64)
    rows = slice(11, 24)
    v = rng.integers(-(2**20) + 1, 2**20, 30).view(np.uint64)

    async def protocol(e: AdditiveEngine) -> Any:
        mine = e.rank == owner
        x = await e.private_matrix(owner, matrix if mine else None, matrix.shape)
        b = await e.private_bins(owner, bins if mine else None, bins.shape, 5)
        ws, rs, vs = await share(e, 1, w), await share(e, 0, r), await share(e, 0, v)
        found = []
        for _ in range(4):  # on demand, and from stock
            forward = await reveal(e, (await e.private_linear([x], [ws], rows))[0])
            backward = await reveal(e, (await e.private_linear_t([x], [rs[rows]], rows))[0])
            found.append((forward, backward, await reveal(e, (await e.select_sum([b], vs.reshape(1, 30), 20))[0][0])))
        return found

    sums = np.stack([[v[bins[:, j] == b].sum(dtype=np.uint64) for b in range(5)] for j in range(4)])
    for found in await additive_dealt(n)(protocol):
        for forward, backward, histogram in found:
            np.testing.assert_array_equal(forward, matrix[rows] @ w)
            np.testing.assert_array_equal(backward, matrix[rows].T @ r[rows])
            assert np.all(histogram - sums <= 1)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
async def test_smallest_matrices(shape: tuple[int, int]) -> None:
    async def protocol(e: AdditiveEngine) -> Any:
        x = await e.private_matrix(0, np.ones(shape, np.uint64) if e.rank == 0 else None, shape)
        w, r = e.public(np.ones(shape[1], np.uint64)), e.public(np.ones(shape[0], np.uint64))
        everything = slice(0, shape[0])
        return [
            (await reveal(e, (await multiply([x], [v], everything))[0])).tolist()
            for multiply, v in ((e.private_linear, w), (e.private_linear_t, r))
        ]

    for found in await additive_dealt(2)(protocol):
        assert found == [[shape[1]] * shape[0], [shape[0]] * shape[1]]


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("scale", [16, 18, 36, 44])
async def test_sigmoid_everywhere(n: int, scale: int) -> None:
    largest = 2.0 ** (61 - scale)
    far = np.geomspace(9, largest, 200)
    near = 9 + np.linspace(-0.2, 0.2, 401)
    x = np.concatenate([np.linspace(-12, 12, 2001), far, -far, near, -near])

    async def protocol(e: AdditiveEngine) -> Any:
        z = await share(e, 1, encode(x, scale))
        return await reveal(e, await e.sigmoid(e.as_product(z) if scale > 18 else z, scale))

    truth = 0.5 + 0.5 * np.tanh(x / 2)
    for opened in await additive_dealt(n)(protocol):
        y = decode(opened, 18)
        assert np.abs(y - truth).max() < MAX_ERROR
        assert (y[x > 9.1] == 1).all()
        assert (y[x < -9.1] == 0).all()


@pytest.mark.parametrize("size", [0, 1])
async def test_smallest_sigmoids(size: int) -> None:
    async def protocol(e: AdditiveEngine) -> Any:
        return await reveal(e, await e.sigmoid(e.public(np.zeros(size, np.uint64)), 36))

    assert np.abs(decode((await additive_dealt(3)(protocol))[0], 18) - 0.5).max(initial=0.0) < MAX_ERROR


async def test_states_return_and_are_checked() -> None:
    async def protocol(e: AdditiveEngine) -> Any:
        x = await share(e, 0, EDGES)
        state = e.share_state(x)
        for wrong in (state[:1] + b"\x09" + state[2:], state[:2] + b"\x03" + state[3:], state[:-1], b""):
            with pytest.raises(ProtocolError, match="not of this party"):
                e.share_from_state(wrong)
        return await reveal(e, e.share_from_state(state))

    for opened in await additive_dealt(2)(protocol):
        np.testing.assert_array_equal(opened, EDGES)


async def test_an_undeclared_opening_is_refused_before_anything_is_sent() -> None:
    async def protocol(e: AdditiveEngine) -> Any:
        x = await share(e, 0, EDGES)
        await e.open(x, what="metrics")
        before = e.session.transcript.bytes_sent
        try:
            await e.open_to(1, x, what="metrics")
        finally:
            assert e.session.transcript.bytes_sent == before

    with pytest.raises(UndeclaredOpening, match="does not name an opening of 'metrics' to party 1"):
        await additive_dealt(2)(protocol, allowed={("metrics", (0, 1))})


async def test_protocols_open_nothing_that_is_not_declared() -> None:
    """What is opened under masks is no opening: the record stays empty."""

    async def protocol(e: AdditiveEngine) -> Any:
        x = await share(e, 0, EDGES)
        await e.mux(await e.msb(x), x, x)
        await e.sigmoid(await e.mul(x, x), 36)
        await e.truncate(x, 5)
        return len(e.session.transcript.openings)

    assert await additive_dealt(2)(protocol) == [0, 0]
