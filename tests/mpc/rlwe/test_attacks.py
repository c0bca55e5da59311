"""The key's owner against whoever computes on its ciphertexts: it made every a, and knows every error it encrypted with.

Careless variants fall to linear algebra; ours, before modulus switching even, does not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe import linear, pair
from hansa.protocols.mpc.rlwe.scheme import Evaluator, KeyOwner, PublicKey, expand

ROWS, TERMS = 512, 4


class InsecureWithoutZero:
    """Coins of an evaluator that adds no encryption of zero."""

    def words(self, *shape: int) -> Any:
        return np.zeros(shape, dtype=np.uint64)


class InsecureWithoutFlood:
    """Coins of an evaluator that adds an encryption of zero, but no flood."""

    def __init__(self) -> None:
        self._real = Keystream(bytes(32), b"test")

    def words(self, *shape: int) -> Any:
        if len(shape) == 1:
            return self._real.words(*shape)
        nothing = np.zeros(shape, dtype=np.uint64)
        nothing[-1] = 1 << (linear.linear_params().flood_bits % 64)  # the middle of the range
        return nothing


class Scene:
    """A matrix encrypted under a key, and an evaluator's protected product with its secret vector."""

    def __init__(self, coins: Any) -> None:
        self.key = KeyOwner(linear.linear_params())
        self.constants = self.key.constants
        params = self.constants.params
        seed, key_seed = pair.fresh_seed(), pair.fresh_seed()
        zero = np.stack((self.key.public_key(key_seed), expand(params, key_seed)))
        matrix = Keystream(bytes(32), b"matrix").words(ROWS, TERMS) >> np.uint64(40)
        self.second = expand(params, seed)
        held = np.stack((linear._encrypted(self.key, matrix, [seed])[0], self.second))
        self.held = held
        self.vector = Keystream(bytes(32), b"vector").words(TERMS)
        packed = np.zeros(params.n, dtype=np.uint64)
        each = params.n // linear.block_of(ROWS)
        packed[:: linear.block_of(ROWS)][each - TERMS :] = self.vector[::-1]
        self.packed = packed
        factor = params.transform.forward(kernels.signed_residues(packed, self.constants.primes))
        result = kernels.combine(held[None].astype(np.uint32), factor[None], self.constants.primes)
        evaluator = Evaluator(PublicKey(self.constants, zero), coins)
        mask = Keystream(bytes(32), b"mask").words(ROWS)
        self.places = linear._places(ROWS)
        self.first, self.answer_second = evaluator.protected(result, mask, self.places)

    def solve_second_component(self) -> Any:
        """The factor, if the second component is a · factor."""
        params, primes = self.constants.params, self.constants.primes
        known = params.transform.forward(self.answer_second.copy())
        prime = int(primes[0])
        inverse = np.array([[pow(int(value), -1, prime) for value in self.second[0]]], dtype=np.uint64)
        guess = kernels.multiply(known[:1], inverse, primes[:1])
        return params.transform.inverse(guess)

    def noise(self, first: Any, second: Any) -> Any:
        """Of a ciphertext's coefficients at ``places``, what the key reveals beside the message, over t."""
        params, primes = self.constants.params, self.constants.primes
        product = kernels.multiply(params.transform.forward(second.copy()), self.key._secret, primes)
        value = np.ascontiguousarray(params.transform.inverse(product))
        kernels.add_to(value, first, primes)
        modulus = math.prod(params.primes)
        weights = [modulus // p * pow(modulus // p, -1, p) for p in params.primes]
        whole = [sum(int(v) * w for v, w in zip(column, weights, strict=True)) % modulus for column in value.T]
        return [(v - modulus if v > modulus // 2 else v) / params.t for v in whole]


def noise_attack(scene: Scene) -> float:
    """The relative error of the vector that least squares finds in the answer's noise."""
    params = scene.constants.params
    full_first = np.zeros((len(params.primes), params.n), dtype=np.uint64)
    full_first[:, scene.places] = scene.first
    seen = np.array(scene.noise(full_first, scene.answer_second))[scene.places]
    coefficients = params.transform.inverse(scene.held.copy()[0]), params.transform.inverse(scene.held.copy()[1])
    errors = np.array(scene.noise(coefficients[0], coefficients[1]))  # message / t + error: the owner's own doing
    block = linear.block_of(ROWS)
    design = np.stack([errors[k * block : k * block + ROWS] for k in range(TERMS)], axis=1)
    found = np.linalg.lstsq(design, seen, rcond=None)[0]
    truth = scene.vector.view(np.int64).astype(np.float64)
    return float(np.max(np.abs(found - truth)) / np.max(np.abs(truth)))


def test_without_a_fresh_zero_the_second_component_is_the_vector() -> None:
    scene = Scene(InsecureWithoutZero())
    prime = scene.constants.primes[:1]
    assert np.array_equal(scene.solve_second_component(), kernels.signed_residues(scene.packed, prime))


@pytest.mark.parametrize("coins", [InsecureWithoutFlood(), Keystream(bytes(32), b"coins")])
def test_with_it_the_same_attack_finds_nothing(coins: Any) -> None:
    scene = Scene(coins)
    prime = scene.constants.primes[:1]
    found, truth = scene.solve_second_component(), kernels.signed_residues(scene.packed, prime)
    assert np.count_nonzero(found == truth) < 20


def test_without_flooding_the_noise_is_the_vector() -> None:
    assert noise_attack(Scene(InsecureWithoutFlood())) < 1e-6


def test_with_it_least_squares_finds_nothing() -> None:
    assert noise_attack(Scene(Keystream(bytes(32), b"coins"))) > 1e6
