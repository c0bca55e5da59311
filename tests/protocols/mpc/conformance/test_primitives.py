"""What every engine must do alike: ring arithmetic, bits, comparisons, from no element to many, at the ring's edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from support.conformance import EDGES, computed, get, get_planes, put
from support.engines import Run

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine

ELEMENT = st.one_of(st.sampled_from(EDGES.tolist()), st.integers(0, 2**64 - 1))
SHAPES = array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)


def words(shape: Any) -> Any:
    return arrays(np.uint64, shape, elements=ELEMENT)


@given(st.data())
@settings(max_examples=6, deadline=None)
def test_ring_arithmetic_of_any_shape(run: Run, data: Any) -> None:
    shape = data.draw(SHAPES)
    x, y = data.draw(words(shape)), data.draw(words(shape))

    async def protocol(e: Engine) -> Any:
        a, b = await put(e, x, 0), await put(e, y, 1)
        product = await e.mul(a, b) + e.as_product(a) - await e.mul(a, a)
        linear = e.add_public(a.times(-3) - b, 7) + e.public(y)
        rest = a.cumsum(0), a.moveaxis(0, -1), a.reshape(-1).sum().reshape(1), -a
        return await get(e, await e.reshare(product), linear, *rest)

    product, linear, sums, moved, total, negative = computed(run, protocol)
    np.testing.assert_array_equal(product, x * y + x - x * x)
    np.testing.assert_array_equal(linear, np.uint64(7) - x * np.uint64(3))
    np.testing.assert_array_equal(sums, np.cumsum(x, axis=0, dtype=np.uint64))
    np.testing.assert_array_equal(moved, np.moveaxis(x, 0, -1))
    np.testing.assert_array_equal(total, [x.sum(dtype=np.uint64)])
    np.testing.assert_array_equal(negative, np.uint64(0) - x)


@given(st.data())
@settings(max_examples=4, deadline=None)
def test_matrix_products(run: Run, data: Any) -> None:
    n, k, m = data.draw(st.tuples(*[st.integers(1, 9)] * 3))
    x, y = data.draw(words((n, k))), data.draw(words((k, m)))

    async def protocol(e: Engine) -> Any:
        return await get(e, await e.reshare(await e.matmul(await put(e, x), await put(e, y, 1))))

    np.testing.assert_array_equal(computed(run, protocol)[0], x @ y)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 200])
def test_bits_there_and_back(run: Run, size: int) -> None:
    rng = np.random.default_rng(size)
    x = np.resize(np.concatenate([EDGES, rng.integers(0, 2**64, 200, dtype=np.uint64)]), size)

    async def protocol(e: Engine) -> Any:
        a = await put(e, x)
        return [await get_planes(e, await e.a2b(a, bits)) for bits in (1, 2, 45, 64)]

    for bits, planes in zip((1, 2, 45, 64), computed(run, protocol), strict=True):
        expected = (x[None] >> np.arange(bits, dtype=np.uint64)[:, None]) & np.uint64(1)
        np.testing.assert_array_equal(planes, expected)


@pytest.mark.parametrize("size", [0, 1, 65, 300])
def test_comparisons_and_choices(run: Run, size: int) -> None:
    rng = np.random.default_rng(size)
    x = np.resize(np.concatenate([EDGES, rng.integers(0, 2**64, size + 1, dtype=np.uint64)]), size)
    near = np.resize(np.array([0, 1, -1, 2**62, -(2**62), 2**63 - 1, -(2**63) + 1, 3], dtype=np.int64), size)
    y = x + near.view(np.uint64)

    async def protocol(e: Engine) -> Any:
        a, b = await put(e, x), await put(e, y, 1)
        sign, smaller = await e.msb(a), await e.less(a, b)
        both = await e.and_bits(sign, smaller)
        ring = [await e.b2a(bits) for bits in (sign, smaller, both, sign ^ smaller)]
        return await get(e, *ring, await e.mux(smaller, a, b))

    sign, smaller, both, either, chosen = computed(run, protocol)
    top, less = x >> np.uint64(63), (near > 0).astype(np.uint64)
    np.testing.assert_array_equal(sign, top)
    np.testing.assert_array_equal(smaller, less)
    np.testing.assert_array_equal(both, top & less)
    np.testing.assert_array_equal(either, top ^ less)
    np.testing.assert_array_equal(chosen, np.where(near > 0, x, y))


@pytest.mark.parametrize("bits", [1, 18, 40, 61])
def test_truncation_is_floor_or_one_more(run: Run, bits: int) -> None:
    rng = np.random.default_rng(bits)
    bound = 2**62
    near = [c + d for c in (0, 2**bits, -(2**bits), 2**61, -(2**61)) for d in (-1, 0, 1)]
    signed = np.array([*rng.integers(-bound + 1, bound, 200), *near, bound - 1, 1 - bound], dtype=np.int64)

    async def protocol(e: Engine) -> Any:
        a = await put(e, signed.view(np.uint64))
        one = await e.mul(a, e.public(np.ones(signed.size, dtype=np.uint64)))
        return await get(e, await e.truncate(a, bits), await e.truncate(one.reshape(1, -1), bits))

    for found in computed(run, protocol):
        assert set(np.unique(found.reshape(-1).view(np.int64) - (signed >> bits))) <= {0, 1}


def test_random_numbers_are_fresh_and_public_bits_public(run: Run) -> None:
    plane = np.arange(6, dtype=np.uint64).reshape(2, 3)

    async def protocol(e: Engine) -> Any:
        first, second = e.random((64, 64)), e.random((64, 64))
        bits = await get_planes(e, e.public_bits(plane, 192))
        return [*await get(e, first, second), bits]

    first, second, bits = computed(run, protocol)
    assert not np.any(first == second)
    ones = np.unpackbits(np.stack((first, second)).view(np.uint8)).mean()
    assert abs(ones - 0.5) < 8 * 0.5 / np.sqrt(2 * 64**3)
    expected = np.unpackbits(plane.view(np.uint8).reshape(2, 24), axis=1, bitorder="little")
    np.testing.assert_array_equal(bits, expected)


def test_what_does_not_fit_is_refused_before_anything_is_sent(run: Run) -> None:
    async def protocol(e: Engine) -> Any:
        a = await put(e, EDGES)
        before = e.session.transcript.bytes_sent
        with pytest.raises(ProtocolError, match="shapes"):
            await e.mul(a, a[:2])
        with pytest.raises(ProtocolError, match="matrices"):
            await e.matmul(a.reshape(1, -1), a.reshape(1, -1))
        with pytest.raises(ProtocolError, match="bits"):
            await e.a2b(a, 65)
        with pytest.raises(ProtocolError, match="truncation by"):
            await e.truncate(a, 62)
        bits = e.public_bits(np.zeros((2, 1), dtype=np.uint64), 13)
        with pytest.raises(ProtocolError, match="AND of"):
            await e.and_bits(bits, bits[:1])
        assert e.session.transcript.bytes_sent == before
        return []

    computed(run, protocol)


@pytest.mark.parametrize("n", [0, 1, 65])
def test_an_owners_bits_times_shared_vectors(run: Run, n: int) -> None:
    rng = np.random.default_rng(n)
    owners = (1, 0, 1, 1)
    bits = rng.integers(0, 2, (4, n)).astype(np.uint8)
    x = rng.integers(0, 2**64, (4, 3, n), dtype=np.uint64)

    async def protocol(e: Engine) -> Any:
        given = np.where(np.array(owners)[:, None] == e.session.rank, bits, np.uint8(7))  # others' lines do not count
        return await get(e, await e.private_mask(owners, given, await put(e, x)))

    np.testing.assert_array_equal(computed(run, protocol)[0], x * bits[:, None, :])


def test_bits_that_do_not_fit_are_refused(run: Run) -> None:
    async def protocol(e: Engine) -> Any:
        x = await put(e, np.zeros((1, 2, 3), dtype=np.uint64))
        for owners, bits in (
            ((0, 1), np.zeros((1, 3))),
            ((0,), np.zeros((1, 4))),
            ((e.session.rank,), np.full((1, 3), 2)),
        ):
            with pytest.raises(ProtocolError, match="bits"):
                await e.private_mask(owners, bits.astype(np.uint8), x)
        return await get(e, x)

    computed(run, protocol)
