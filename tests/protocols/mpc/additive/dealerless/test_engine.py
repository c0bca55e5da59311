"""The additive engine without a dealer against plain arithmetic, on adversarial values; one set-up serves many checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.engines import additive_direct

from hansa.protocols.errors import ProtocolError, UndeclaredOpening
from hansa.protocols.mpc.additive.dealerless.engine import DealerlessEngine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.fourier import MAX_ERROR
from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.shares import Product, Share

EDGES = np.array([0, 1, 2**64 - 1, 2**63, 2**63 - 1, 2**62, 2**62 - 1, 12345, 2**64 - 12345], dtype=np.uint64)
PARTIES = [2, 3]
rng = np.random.default_rng(7)


async def share(e: DealerlessEngine, owner: int, values: np.ndarray) -> Share:
    return await e.input(owner, values if e.rank == owner else None, values.shape)


async def reveal(e: DealerlessEngine, x: Any) -> np.ndarray:
    return (await e.open(await e.reshare(x) if isinstance(x, Product) else x, what="test"))[0]


def uniform(*shape: int) -> np.ndarray:
    return rng.integers(0, 2**64, shape, dtype=np.uint64)


@pytest.mark.parametrize("n", PARTIES)
async def test_products(n: int) -> None:
    x, tall, wide = np.concatenate([EDGES, uniform(60)]), uniform(5, 3), uniform(3, 2)

    async def protocol(e: DealerlessEngine) -> Any:
        a, b = await share(e, 0, x), await share(e, 1, x[::-1].copy())
        np.testing.assert_array_equal(await reveal(e, await e.mul(a, b) + await e.mul(a, a)), x * x[::-1] + x * x)
        assert (await e.mul(a[:0], b[:0])).size == 0
        product = await e.matmul(await share(e, n - 1, tall), await share(e, 0, wide))
        np.testing.assert_array_equal(await reveal(e, product), tall @ wide)
        return len(e.session.transcript.openings)

    assert await additive_direct(n)(protocol) == [2] * n


@pytest.mark.parametrize("n", PARTIES)
async def test_comparison(n: int) -> None:
    near = np.array([0, 1, -1, 2**40, -(2**40), 2**62, 2**63 - 1, -(2**63) + 1], dtype=np.int64)

    async def protocol(e: DealerlessEngine) -> Any:
        for size in (0, 1, 63, 64, 65, 500):
            x = np.resize(np.concatenate([EDGES, np.arange(size, dtype=np.uint64) * np.uint64(2**57 + 3)]), size)
            difference = np.resize(near, size)
            a, b = await share(e, 0, x), await share(e, n - 1, x + difference.view(np.uint64))
            smaller = await e.less(a, b)
            chosen = await reveal(e, await e.mux(smaller, a, b))
            np.testing.assert_array_equal(await reveal(e, await e.b2a(smaller)), difference > 0)
            np.testing.assert_array_equal(await reveal(e, await e.b2a(await e.msb(a))), x >> np.uint64(63))
            np.testing.assert_array_equal(chosen, np.where(difference > 0, x, x + difference.view(np.uint64)))

    await additive_direct(n)(protocol)


@pytest.mark.parametrize("n", PARTIES)
async def test_truncation_is_floor_or_one_more_up_to_the_very_bounds(n: int) -> None:
    edges = [0, 1, -1, 2**62 - 1, -(2**62), 2**18, -(2**18), 2**18 - 1, 2**18 + 1, -(2**18) - 1]
    signed = np.concatenate([rng.integers(-(2**62) + 1, 2**62 - 1, 5000), np.array(edges)]).astype(np.int64)
    quarter = np.full(40_000, (5 << 18) + (1 << 16), dtype=np.uint64)

    async def protocol(e: DealerlessEngine) -> Any:
        x, y = await share(e, 1, signed.view(np.uint64)), await share(e, 0, quarter)
        results = [await reveal(e, await e.truncate(x, bits)) for bits in (1, 18, 36, 61)]
        return results, await reveal(e, await e.truncate(y, 18)), await reveal(e, await e.truncate(x.times(2**10), 10))

    for results, rounded, exact in await additive_direct(n)(protocol):
        for bits, result in zip((1, 18, 36, 61), results, strict=True):
            assert set(np.unique(result.view(np.int64) - (signed >> bits))) <= {0, 1}
        assert abs(rounded.mean() - 5.25) < 0.015 or n > 2  # seven deviations of a quarter's mean over 40,000
        whole = np.abs(signed) < 2**51
        np.testing.assert_array_equal(exact.view(np.int64)[whole], signed[whole])


@pytest.mark.parametrize("n", PARTIES)
@pytest.mark.parametrize("owner", [0, 1])
async def test_private_matrix_and_bins(n: int, owner: int) -> None:
    owner = owner * (n - 1)
    matrix, w, r = uniform(30, 7), uniform(7), uniform(30)
    bins = rng.integers(0, 5, (30, 4)).astype(np.uint8)
    v = rng.integers(-(2**20) + 1, 2**20, 30).view(np.uint64)
    rows = slice(11, 24)

    async def protocol(e: DealerlessEngine) -> Any:
        mine = e.rank == owner
        x = await e.private_matrix(owner, matrix if mine else None, matrix.shape)
        b = await e.private_bins(owner, bins if mine else None, bins.shape, 5)
        ws, rs, vs = await share(e, 1, w), await share(e, 0, r), await share(e, 0, v)
        found, sent = [], []
        for _ in range(2):
            before = e.session.transcript.bytes_sent
            products = await e.private_linear([x], [ws], rows) + await e.private_linear_t([x], [rs[rows]], rows)
            sent.append(e.session.transcript.bytes_sent - before)
            (sums,) = await e.select_sum([b], vs.reshape(1, 30), 20)
            found.append([await reveal(e, result) for result in (*products, sums[0])])
        assert not mine or sent[1] == 0  # the matrix is encrypted once
        with pytest.raises(ProtocolError, match="does not fit"):
            await e.private_linear([x], [rs], rows)
        empty = await e.private_matrix(owner, matrix[:0] if mine else None, (0, 7))
        assert ((await e.private_linear([empty], [ws], slice(0, 0)))[0]).size == 0
        assert not (await reveal(e, (await e.private_linear_t([empty], [rs[:0]], slice(0, 0)))[0])).any()
        return found

    sums = np.stack([[v[bins[:, j] == b].sum(dtype=np.uint64) for b in range(5)] for j in range(4)])
    for found in await additive_direct(n)(protocol):
        for forward, backward, histogram in found:
            np.testing.assert_array_equal(forward, matrix[rows] @ w)
            np.testing.assert_array_equal(backward, matrix[rows].T @ r[rows])
            assert np.all(histogram - sums <= 1)


@pytest.mark.parametrize("n", [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)])
async def test_sigmoid_everywhere(n: int) -> None:
    async def protocol(e: DealerlessEngine) -> Any:
        found = []
        for scale in (16, 18, 36, 44):
            x = arguments(scale)
            z = await share(e, 1, encode(x, scale))
            found.append(await reveal(e, await e.sigmoid(e.as_product(z), scale)))
        assert (await e.sigmoid(z[:0], 36)).size == 0
        return found

    for opened in await additive_direct(n)(protocol):
        for scale, result in zip((16, 18, 36, 44), opened, strict=True):
            x, y = arguments(scale), decode(result, 18)
            assert np.abs(y - (0.5 + 0.5 * np.tanh(x / 2))).max() < MAX_ERROR
            assert (y[x > 9.1] == 1).all()
            assert (y[x < -9.1] == 0).all()


def arguments(scale: int) -> np.ndarray:
    far, near = np.geomspace(9, 2.0 ** (61 - scale), 100), 9 + np.linspace(-0.2, 0.2, 201)
    return np.concatenate([np.linspace(-12, 12, 1001), far, -far, near, -near])


@pytest.mark.parametrize("n", [2, 3])
async def test_correlations_are_right_and_never_come_twice(n: int) -> None:
    async def protocol(e: DealerlessEngine) -> Any:
        source, drawn = e.correlations, []
        for size in (1, 70, 8192, 9000, 5):
            drawn.append(
                [
                    *await source.triples(size),
                    *await source.bit_triples(size, 2),
                    *await source.dabits(size),
                    *await source.bit_triples(size, 1),
                ]
            )
        return drawn

    parties = await correlated(n, protocol)
    for drawn in zip(*parties, strict=True):
        parts = list(zip(*drawn, strict=True))
        a, b, c = (np.add.reduce(part) for part in parts[:3])
        np.testing.assert_array_equal(c, a * b)
        for first in (3, 8):
            d, f, g = (np.bitwise_xor.reduce(part) for part in parts[first : first + 3])
            np.testing.assert_array_equal(g, d & f)
        bits, ring = np.bitwise_xor.reduce(parts[6]), np.add.reduce(parts[7])
        np.testing.assert_array_equal(unpack_bits(bits, ring.size), ring)
    for drawn in parties:
        for kind in (0, 1, 3, 4, 6, 8):
            everything = np.concatenate([draw[kind].ravel() for draw in drawn])
            assert np.unique(everything).size == everything.size


async def correlated(n: int, protocol: Any) -> Any:
    """The provider alone: it serves any number of parties."""
    from hansa.protocols.mpc.additive.dealerless.correlations import PairwiseCorrelations
    from hansa.protocols.mpc.session.memory import parties, run_parties

    async def party(session: Any) -> Any:
        return await protocol(
            DealerlessEngine(session, await PairwiseCorrelations.start(session, ot="softspoken"), 18, {})
        )

    async with parties(n) as sessions:
        return await run_parties(sessions, party)


async def test_nothing_is_opened_that_is_not_declared() -> None:
    async def protocol(e: DealerlessEngine) -> Any:
        x = await share(e, 0, EDGES)
        await e.mux(await e.msb(x), x, x)
        await e.sigmoid(await e.mul(x, x), 36)
        await e.truncate(x, 5)
        assert not e.session.transcript.openings
        await e.open(x, what="test")

    with pytest.raises(UndeclaredOpening):
        await additive_direct(2)(protocol, allowed=set())


async def test_what_is_opened_comes_in_fresh_summands() -> None:
    """Summands keep what their holders computed of them alone: here zero at two, and the value at the first."""
    sent: list[np.ndarray] = []

    async def protocol(e: DealerlessEngine) -> Any:
        merged = e.sums

        async def watched(*parts: np.ndarray) -> Any:
            sent.append(parts[0])
            return await merged(*parts)

        e.sums = watched  # type: ignore[method-assign]
        return (await e.open(e.public(EDGES), what="test"))[0], await e.open_to(1, e.public(EDGES), what="test")

    for rank, (opened, mine) in enumerate(await additive_direct(3)(protocol)):
        np.testing.assert_array_equal(opened, EDGES)
        assert (mine is not None) == (rank == 1)
        if mine is not None:
            np.testing.assert_array_equal(mine[0], EDGES)
    assert all(np.unique(part).size == part.size for part in sent)
    np.testing.assert_array_equal(sum(sent), EDGES)
