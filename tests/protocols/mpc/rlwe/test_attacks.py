"""The key's owner against whoever computes on its ciphertexts: it made every c1, and knows every error it encrypted with.

Careless variants fall to linear algebra; ours does not. Nothing is rounded away here: no primes are dropped.
"""

from __future__ import annotations

import secrets
from math import prod

import numpy as np
import pytest
from support.rlwe_scenes import Scene, insecure_linear

from hansa.protocols.mpc.rlwe.params import ERROR_BOUND
from hansa.protocols.mpc.rlwe.sampling import limbs

ROWS, COLUMNS, DEGREE = 32, 8, 64


def insecure_without_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluator that adds no encryption of zero, or that of u = 0 and e1 = 0."""
    monkeypatch.setattr(
        "hansa.protocols.mpc.rlwe.scheme.ternary", lambda coins, degree: np.ones((1, degree), dtype=np.uint32)
    )
    monkeypatch.setattr(
        "hansa.protocols.mpc.rlwe.scheme.errors", lambda coins, degree: np.full(degree, ERROR_BOUND, dtype=np.uint32)
    )


def insecure_without_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluator that masks the result mod 2^64, and nothing above."""

    def only_64_bits(coins: object, bits: int, size: int) -> np.ndarray:
        out = limbs(coins, bits, size)  # type: ignore[arg-type]
        out[2] &= np.uint32(15)
        out[3:] = 0
        out[(bits - 1) // 30] = np.uint32(1) << np.uint32((bits - 1) % 30)  # the middle of the range
        return out

    monkeypatch.setattr("hansa.protocols.mpc.rlwe.scheme.limbs", only_64_bits)


def scene() -> tuple[Scene, np.ndarray]:
    params = insecure_linear(DEGREE, COLUMNS, keep_all=True)
    matrix = np.frombuffer(secrets.token_bytes(8 * ROWS * COLUMNS), dtype=np.uint64).reshape(ROWS, COLUMNS)
    vector = np.frombuffer(secrets.token_bytes(8 * COLUMNS), dtype=np.uint64)
    made = Scene(params, matrix, vector)
    np.testing.assert_array_equal(made.product(), matrix @ vector)
    return made, vector.view(np.int64)


def solve_first_components(made: Scene) -> list[int] | None:
    """The vector whose combination of the owner's c1 is the returned c1, if there is one."""
    coefficients = [made.scheme.transform.inverse(c1.copy()) for c1 in made.c1]
    solutions = []
    for k, p in enumerate(made.params.primes[:3]):
        columns = []
        for column in range(COLUMNS):
            poly, place = divmod(column, made.packing.width)
            shift = made.packing.stride * place
            own = [int(x) for x in coefficients[poly][k]]
            columns.append(own[shift:] + [-x % p for x in own[:shift]])  # times x^-shift
        equations = [[*row, int(b)] for row, b in zip(zip(*columns, strict=True), made.returned.c1[k], strict=True)]
        solution = eliminate(equations, p)
        if solution is None:
            return None
        solutions.append(solution)
    q = prod(made.params.primes[:3])
    out = []
    for residues in zip(*solutions, strict=True):
        x = sum(r * (q // p) * pow(q // p, -1, p) for r, p in zip(residues, made.params.primes[:3], strict=True)) % q
        out.append(x - q if x > q // 2 else x)
    return out


def eliminate(rows: list[list[int]], p: int) -> list[int] | None:
    """The solution of linear equations mod p, or None where they contradict each other."""
    unknowns = len(rows[0]) - 1
    for k in range(unknowns):
        pivot = next(i for i in range(k, len(rows)) if rows[i][k] % p)
        rows[k], rows[pivot] = rows[pivot], rows[k]
        inverse = pow(rows[k][k], -1, p)
        rows[k] = [x * inverse % p for x in rows[k]]
        for i, row in enumerate(rows):
            if i != k and row[k]:
                rows[i] = [(x - row[k] * y) % p for x, y in zip(row, rows[k], strict=True)]
    if any(row[-1] for row in rows[unknowns:]):
        return None
    return [row[-1] for row in rows[:unknowns]]


def solve_noise(made: Scene, truth: np.ndarray) -> float:
    """The relative error of the vector that least squares finds in what is decrypted."""
    plain = made.own_plaintexts()
    design = np.empty((ROWS, COLUMNS))
    for column in range(COLUMNS):
        poly, place = divmod(column, made.packing.width)
        start = made.packing.stride * place
        design[:, column] = [v / made.params.t for v in plain[poly][start : start + ROWS]]
    seen = np.array([v / made.params.t for v in made.seen()])
    found = np.linalg.lstsq(design, seen, rcond=None)[0]
    return float(np.abs(found - truth).max() / np.abs(truth.astype(float)).max())


def test_without_a_fresh_zero_the_first_components_give_the_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    insecure_without_zero(monkeypatch)
    made, vector = scene()
    assert solve_first_components(made) == [int(w) for w in vector]


def test_without_flooding_the_noise_gives_the_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    insecure_without_flood(monkeypatch)
    made, vector = scene()
    assert solve_first_components(made) is None
    assert solve_noise(made, vector) < 1e-9


def test_neither_attack_finds_anything_in_ours() -> None:
    made, vector = scene()
    assert solve_first_components(made) is None
    assert solve_noise(made, vector) > 1e9


def test_with_zero_and_flood_what_is_decrypted_is_uniform() -> None:
    """Its place in [0, 2^mask_bits) by a chi-square test of 15 degrees of freedom: 60 is beyond 10^-6."""
    places = [
        (v + 2 ** (made.params.mask_bits - 1)) * 16 >> made.params.mask_bits
        for made, _ in (scene() for _ in range(10))
        for v in made.seen()
    ]
    counts = np.bincount(np.array(places), minlength=16)
    assert counts.size == 16
    assert float(((counts - len(places) / 16) ** 2 / (len(places) / 16)).sum()) < 60
