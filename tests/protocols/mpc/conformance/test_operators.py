"""Operators within their stated errors on every engine, over their domains and at the ends of these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.conformance import (
    EDGES,
    ULP,
    assert_close,
    computed,
    fixed,
    get,
    get_planes,
    numbers,
    put,
    put_numbers,
)
from support.engines import FRAC_BITS, Run

from hansa.algorithms.metrics import evaluate
from hansa.protocols.mpc import operators as op
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode

TOP = 2.0 ** (44 - FRAC_BITS) - ULP
"""The greatest number that is normalised."""


def positive(low: float, high: float, count: int, seed: int = 1) -> Any:
    """Numbers of all magnitudes, powers of two and their neighbours, and both ends."""
    powers = 2.0 ** np.arange(np.ceil(np.log2(low)), np.log2(high))
    near = np.concatenate([powers, powers - ULP, powers + ULP])
    spread = np.exp(np.random.default_rng(seed).uniform(np.log(low), np.log(high), count))
    return fixed(np.concatenate([[low, high], near[(near >= low) & (near <= high)], np.clip(spread, low, high)]))


def signed(values: Any) -> Any:
    return values * np.where(np.arange(values.size) % 2, -1, 1)


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5)])
def test_products(run: Run, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    x, y = fixed(rng.normal(0, 200, shape)), fixed(rng.normal(0, 200, shape))
    assert_close(numbers(run, op.mul, x, y), x * y, relative=0, ulps=1)
    assert_close(numbers(run, op.square, x), x * x, relative=0, ulps=1)
    if x.ndim == 1:
        assert_close(numbers(run, op.inner, x, y), np.array([x @ y]), relative=0, ulps=1)
    else:
        assert_close(numbers(run, op.matmul, x, y.T.copy()), x @ y.T, relative=0, ulps=1)


def test_reciprocals_and_quotients(run: Run) -> None:
    x = signed(positive(ULP, TOP, 150))
    assert_close(numbers(run, op.reciprocal, x), 1 / x, relative=2.0**-26, ulps=2)
    y = signed(positive(ULP, TOP, 150, seed=2))[: x.size]
    quotient = signed(positive(ULP, 2.0**18 - 1, 300, seed=3))[: y.size][::-1]
    numerator = fixed(np.clip(quotient * y, -(2.0**43), 2.0**43))
    possible = np.abs(numerator / y) < 2.0**18
    numerator, y = numerator[possible], y[possible]
    assert possible.sum() > 150
    assert_close(numbers(run, op.divide, numerator, y), numerator / y, relative=2.0**-26, ulps=2)


def test_roots_and_logarithms(run: Run) -> None:
    x = positive(ULP, TOP, 150)
    with_zero = np.append(x, 0.0)
    assert_close(numbers(run, op.sqrt, with_zero), np.sqrt(with_zero), relative=2.0**-26, ulps=2)
    assert_close(numbers(run, op.rsqrt, x), 1 / np.sqrt(x), relative=2.0**-26, ulps=2)
    assert_close(numbers(run, op.log, x), np.log(x), relative=0, ulps=2)


def test_exponentials(run: Run) -> None:
    greatest = np.floor(26 * np.log(2) / ULP) * ULP
    wide = np.concatenate([-np.geomspace(ULP, 4095.9, 60), [0, greatest, ULP, 13.9, -13.9, 1 - 4096 + ULP]])
    x = fixed(np.concatenate([np.linspace(-15, greatest - ULP, 120), wide]))
    assert_close(numbers(run, op.exp, x), np.exp(x), relative=2.0**-24, ulps=2)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(run: Run, axis: int) -> None:
    x = fixed(np.random.default_rng(5).normal(0, 6, (4, 5)))
    x[1] = 700.0
    x[2, 3] = -3000.0
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    found = numbers(run, lambda e, s: op.softmax(e, s, axis), x)
    assert_close(found, powers / powers.sum(axis=axis, keepdims=True), relative=0, ulps=6)


@pytest.mark.parametrize("size", [0, 1, 70])
def test_logic(run: Run, size: int) -> None:
    rng = np.random.default_rng(size)
    x = np.resize(np.concatenate([EDGES, rng.integers(0, 2**64, 70, dtype=np.uint64)]), size)
    y = np.where(rng.random(size) < 0.5, x, x ^ (np.uint64(1) << rng.integers(0, 64, size).astype(np.uint64)))

    async def protocol(e: Engine) -> Any:
        a, b = await put(e, x), await put(e, y, 1)
        same = await op.equal(e, a, b)
        u, v = await e.a2b(a, 7), await e.a2b(b, 7)
        planes = [op.not_bits(e, u), await op.or_bits(e, u, v), await op.prefix_or(e, u)]
        ring = await e.b2a(same), await op.inject(e, same, a), await op.mux(e, same, a, b), await op.bits_to_ring(e, u)
        return [*await get(e, *ring), *[await get_planes(e, p) for p in planes]]

    same, injected, chosen, low, inverted, either, prefix = computed(run, protocol)
    np.testing.assert_array_equal(same, x == y)
    np.testing.assert_array_equal(injected, np.where(x == y, x, 0))
    np.testing.assert_array_equal(chosen, np.where(x == y, x, y))
    np.testing.assert_array_equal(low, x & np.uint64(127))
    places = np.arange(7, dtype=np.uint64)[:, None]
    u, v = ((z[None] >> places) & np.uint64(1) for z in (x, y))
    np.testing.assert_array_equal(inverted, u ^ np.uint64(1))
    np.testing.assert_array_equal(either, u | v)
    np.testing.assert_array_equal(prefix, np.maximum.accumulate(u[::-1], axis=0)[::-1])


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.data())
@settings(max_examples=4, deadline=None)
def test_sorting_and_the_greatest(run: Run, values: list[int], data: Any) -> None:
    x = np.array(values, dtype=np.float64)
    k = data.draw(st.integers(1, x.size))

    async def protocol(e: Engine) -> Any:
        a = await put_numbers(e, x)
        payload = e.public(np.arange(x.size, dtype=np.uint64))
        keys, moved = await op.sort(e, a, payload)
        top, where = await op.top_k(e, a, k)
        best, place = await op.argmax(e, a.reshape(1, -1))
        least, greatest = await op.minimum(e, a.reshape(-1, 1), 0), await op.maximum(e, a.reshape(-1, 1), 0)
        return await get(e, keys, moved, top, where, best, place, least, greatest)

    keys, moved, top, where, best, place, least, greatest = computed(run, protocol)
    np.testing.assert_array_equal(decode(keys, FRAC_BITS), np.sort(x))
    np.testing.assert_array_equal(x[moved.astype(np.int64)], np.sort(x))
    assert sorted(moved) == list(range(x.size))
    np.testing.assert_array_equal(decode(top, FRAC_BITS), np.sort(x)[::-1][:k])
    np.testing.assert_array_equal(x[where.astype(np.int64)], np.sort(x)[::-1][:k])
    assert decode(best, FRAC_BITS) == x.max() == x[int(place[0])] == decode(greatest, FRAC_BITS)
    assert decode(least, FRAC_BITS) == x.min()


def test_along_an_axis(run: Run) -> None:
    x = fixed(np.random.default_rng(6).normal(size=(3, 5, 2)))

    async def protocol(e: Engine) -> Any:
        a = await put_numbers(e, x)
        values, places = await op.top_k(e, a, 2, 1)
        return await get(e, await op.maximum(e, a, 1), (await op.argmax(e, a, 0))[1], values, places)

    greatest, where, values, places = computed(run, protocol)
    np.testing.assert_array_equal(decode(greatest, FRAC_BITS), x.max(axis=1))
    np.testing.assert_array_equal(where, x.argmax(axis=0))
    np.testing.assert_array_equal(decode(values, FRAC_BITS), np.flip(np.sort(x, axis=1), axis=1)[:, :2])
    np.testing.assert_array_equal(places, np.argsort(-x, axis=1)[:, :2])


def test_orders_that_nobody_knows(run: Run) -> None:
    x = np.arange(40, dtype=np.uint64)
    places = np.random.default_rng(8).permutation(40).astype(np.uint64)

    async def protocol(e: Engine) -> Any:
        a = await put(e, x)
        once, twin = await op.shuffle(e, a, a.times(2))
        (again,) = await op.shuffle(e, a)
        (moved,) = await op.permute(e, await put(e, places, 1), a)
        return await get(e, once, twin, again, moved)

    once, twin, again, moved = computed(run, protocol)
    np.testing.assert_array_equal(np.sort(once), x)
    np.testing.assert_array_equal(twin, once * np.uint64(2))
    assert len({tuple(x), tuple(once), tuple(again)}) == 3
    np.testing.assert_array_equal(moved[places.astype(np.int64)], x)


def test_uniform_numbers(run: Run) -> None:
    async def protocol(e: Engine) -> Any:
        return await get(e, await op.uniform(e, (2, 500)), await op.uniform(e, (300,), 3))

    fractions, small = computed(run, protocol)
    assert fractions.max() < 1 << FRAC_BITS
    assert abs(decode(fractions, FRAC_BITS).mean() - 0.5) < 8 * np.sqrt(1 / 12 / 1000)
    assert set(np.unique(small)) == set(range(8))


@pytest.mark.parametrize("kind", ["ties", "distinct", "separated", "reversed", "all equal", "one label"])
def test_auc_and_ks(run: Run, kind: str) -> None:
    rng = np.random.default_rng(9)
    score = {"ties": rng.normal(size=41).round(1), "all equal": np.zeros(41)}.get(kind, rng.normal(size=41))
    label = (score + rng.normal(size=41) > 0.3).astype(np.uint64)
    if kind == "separated":
        label = (score > 0).astype(np.uint64)
    if kind == "reversed":
        label = (score < 0).astype(np.uint64)
    if kind == "one label":
        label[:] = 1

    async def protocol(e: Engine) -> Any:
        ranked = await op.rank(e, await put_numbers(e, score), await put(e, label, 1))
        return await get(e, await op.auc(e, ranked), await op.ks(e, ranked))

    area, distance = (decode(value, FRAC_BITS)[0] for value in computed(run, protocol))
    expected = evaluate(label.astype(np.float64), 1 / (1 + np.exp(-fixed(score))))
    assert abs(area - (0 if kind == "one label" else expected["auc"])) < 2 * ULP
    assert abs(distance - (0 if kind == "one label" else expected["ks"])) < 2 * ULP
