"""Samples, residues, and what a returned ciphertext decrypts to."""

from __future__ import annotations

import secrets
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from support.rlwe_scenes import Scene, insecure_linear, numbers

from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.rlwe.params import ERROR_BOUND, RlweParams, fit, linear_params, product_noise, product_params
from hansa.protocols.mpc.rlwe.products import _BatchEncoder
from hansa.protocols.mpc.rlwe.residues import Conversion, basis, in_ring
from hansa.protocols.mpc.rlwe.sampling import errors, fresh_coins, limbs, ternary, uniform

M64 = 2**64
PRIMES = linear_params(8, 8).primes


def words(*shape: int) -> np.ndarray:
    return np.frombuffer(secrets.token_bytes(8 * int(np.prod(shape))), dtype=np.uint64).reshape(shape).copy()


def test_samples_have_their_distributions() -> None:
    coins, n = fresh_coins(), 1 << 16
    e = errors(coins, n).astype(int) - ERROR_BOUND
    assert abs(e).max() <= ERROR_BOUND
    assert abs(e.mean()) < 0.1
    assert abs(e.var() - 10.5) < 0.5
    assert np.ptp(np.bincount(ternary(coins, n)[0], minlength=3)) < 6 * n**0.5
    a = uniform(b"s" * 32, 0, np.array(PRIMES, dtype=np.uint32), n)
    assert (a < np.array(PRIMES, dtype=np.uint32)[:, None]).all()
    assert abs(a.mean() / 2**29 - 1) < 0.01
    np.testing.assert_array_equal(a, uniform(b"s" * 32, 0, np.array(PRIMES, dtype=np.uint32), n))
    assert not np.array_equal(a[:, :9], uniform(b"s" * 32, 1, np.array(PRIMES, dtype=np.uint32), n)[:, :9])
    m = limbs(coins, 95, n)
    assert m.shape == (4, n)
    assert [int(row.max()).bit_length() for row in m] == [30, 30, 30, 5]


def test_uniform_residues_are_drawn_again_when_most_are_refused() -> None:
    low = np.array([40961], dtype=np.uint32)
    assert kernels.accept(np.full(4, 0xFFFFFFFF, dtype=np.uint32), low[0], np.zeros(4, dtype=np.uint32), 1) == 1
    half = np.array([2**29 + 1], dtype=np.uint32)
    assert (uniform(b"s" * 32, 0, half, 1024) < half[0]).all()


@pytest.mark.parametrize("terms", [1, 5, kernels.MAX_TERMS])
def test_conversion_and_digits_are_exact(terms: int) -> None:
    digits = (words(terms, 5) & np.uint64(2**30 - 1)).astype(np.uint32)
    digits[:, 0], digits[:, 1] = 2**30 - 1, 0
    weights = [secrets.randbits(300) - 2**299 for _ in range(terms)]
    weights[0] = prod(PRIMES) - 1
    constant = -(2**200)
    residues = Conversion(PRIMES, weights, constant)(digits)
    expected = [sum(int(d) * w for d, w in zip(c, weights, strict=True)) + constant for c in digits.T]
    q = prod(PRIMES)
    assert numbers(residues, PRIMES) == [x % q for x in expected]
    mixed = basis(PRIMES).to_digits(residues.copy())
    radix = basis(PRIMES).radix
    assert [sum(int(d) * r for d, r in zip(c, radix, strict=True)) for c in mixed.T] == [x % q for x in expected]
    np.testing.assert_array_equal(in_ring(mixed, radix), np.array([x % q % M64 for x in expected], dtype=np.uint64))


def test_residues_of_a_peer_are_checked() -> None:
    x = np.repeat(np.array(PRIMES, dtype=np.uint32)[:, None] - np.uint32(1), 9, axis=1)
    assert basis(PRIMES).holds_untrusted(x)
    x[-1, -1] += 1
    assert not basis(PRIMES).holds_untrusted(x)


def product(params: RlweParams, matrix: np.ndarray, vector: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """matrix · vector by the scheme, and the integers that the owner sees."""
    scene = Scene(params, matrix, vector)
    return scene.product(), scene.seen()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (5, 3), (64, 2), (17, 40), (33, 130)])
@pytest.mark.parametrize("fill", ["random", "largest", "alternating", "zero"])
def test_products_are_exact_mod_2_64(rows: int, columns: int, fill: str) -> None:
    if fill == "random":
        matrix, vector = words(rows, columns), words(columns)
    else:
        value = {"largest": 2**63, "alternating": M64 - 1, "zero": 0}[fill]
        matrix, vector = (np.full(s, value, dtype=np.uint64) for s in ((rows, columns), columns))
        matrix[::2] += np.uint64(fill == "alternating")
    got, _ = product(insecure_linear(64, columns), matrix, vector)
    np.testing.assert_array_equal(got, matrix @ vector)


def test_every_number_of_kept_primes_decrypts() -> None:
    params = insecure_linear(64, 7)
    matrix, vector = words(40, 7), words(7)
    for kept in range(params.kept, len(params.primes) + 1):
        got, _ = product(replace(params, kept=kept), matrix, vector)
        np.testing.assert_array_equal(got, matrix @ vector)


@pytest.mark.parametrize("terms", [1, 6])
def test_noise_of_elementwise_products_stays_below_the_worst_case(terms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All digits of plaintexts and factors, errors and secrets at their largest: close to the bound, never above it."""
    degree, slots = 64, product_params(22, 1, 8192)[0].slots
    params = fit(degree, prod(slots), slots, product_noise(degree, slots, terms), 1)
    params = replace(params, kept=len(params.primes))
    encoder = _BatchEncoder(params)
    s, coins, seed = encoder.scheme, fresh_coins(), bytes(32)
    monkeypatch.setattr("hansa.protocols.mpc.rlwe.scheme.errors", lambda _, n: np.full(n, 42, dtype=np.uint32))
    monkeypatch.setattr("hansa.protocols.mpc.rlwe.scheme.ternary", lambda _, n: np.full((1, n), 2, dtype=np.uint32))
    key = s.keygen(coins)
    public = s.public_key(s.public_parts(key, seed, 0, coins), seed, 0)
    largest = np.stack([np.full(degree, p - 1, dtype=np.uint32) for p in slots])
    message = np.concatenate((largest, np.full((1, degree), 42, dtype=np.uint32)))
    c1 = np.stack([s.uniform(seed, 1 + k) for k in range(2 * terms)])
    c0 = np.stack([s.encrypt(key, encoder._messages(message), each) for each in c1])
    factor = np.stack([s.transform.forward(encoder._factors(largest))] * (2 * terms))
    returned = s.finish(s.basis.inner(c0, factor), s.basis.inner(c1, factor), public, degree, coins)
    product = s.transform.inverse(s.basis.multiply(s.transform.forward(returned.c1), key.values))
    q = prod(params.primes)
    mask = [sum(int(d) * w for d, w in zip(m, s.mask_weights, strict=True)) for m in returned.mask.T]
    sums = [
        (x + y) % q for x, y in zip(*(numbers(part, params.primes) for part in (product, returned.c0)), strict=True)
    ]
    noise = [(v - u - s.mask_offset + q // 2) % q - q // 2 for v, u in zip(sums, mask, strict=True)]
    assert params.noise * 9 // 10 < max(map(abs, noise)) <= params.noise


def test_noise_stays_below_the_worst_case_and_the_mask_is_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors, secrets and inputs all at their extremes: the noise is close to the bound, never above it."""
    params = insecure_linear(64, 130, keep_all=True)

    def extreme(coins: object, degree: int) -> np.ndarray:
        return np.full(degree, 2 * ERROR_BOUND, dtype=np.uint32)

    def all_twos(coins: object, degree: int) -> np.ndarray:
        return np.full((1, degree), 2, dtype=np.uint32)

    def no_mask(coins: object, bits: int, size: int) -> np.ndarray:
        zero = limbs(coins, bits, size) * np.uint32(0)  # type: ignore[arg-type]
        zero[(bits - 1) // 30] = np.uint32(1) << np.uint32((bits - 1) % 30)  # cancels the offset
        return zero

    monkeypatch.setattr("hansa.protocols.mpc.rlwe.packing.errors", extreme)
    monkeypatch.setattr("hansa.protocols.mpc.rlwe.scheme.errors", extreme)
    monkeypatch.setattr("hansa.protocols.mpc.rlwe.scheme.ternary", all_twos)
    monkeypatch.setattr("hansa.protocols.mpc.rlwe.scheme.limbs", no_mask)
    matrix, vector = np.full((64, 130), M64 - 1, dtype=np.uint64), np.full(130, 2**63, dtype=np.uint64)
    got, seen = product(params, matrix, vector)
    np.testing.assert_array_equal(got, matrix @ vector)
    assert params.noise // 2 < max(abs(v) for v in seen) <= params.noise
    monkeypatch.undo()
    _, seen = product(params, matrix, vector)
    assert max(abs(v) for v in seen) > params.noise * params.returned * 2**36
