"""Transforms, parameters, encryption: against plain integers, at the edges of what the parameters promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.kernels import rlwe as kernels
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe import pair
from hansa.protocols.mpc.rlwe.linear import linear_params
from hansa.protocols.mpc.rlwe.params import MAX_MODULUS_BITS, Params, ntt_primes, params
from hansa.protocols.mpc.rlwe.products import product_params, width
from hansa.protocols.mpc.rlwe.scheme import Evaluator, KeyOwner, PublicKey, expand
from hansa.protocols.mpc.rlwe.transform import Transform

N = 4096
RNG = np.random.default_rng(5)


def small_params(t: int = 1 << 64) -> Params:
    return Params(N, ntt_primes(3), 3, t, 10)


def test_primes_fit_every_degree() -> None:
    for p in ntt_primes(24):
        assert p < 1 << 30
        assert p % (2 * 16384) == 1
        assert all(p % k for k in range(3, 32768, 2))
    assert ntt_primes(3, 2) == ntt_primes(5)[2:]


def test_transforms_multiply_negacyclically() -> None:
    primes = ntt_primes(2)
    transform = Transform.of(N, primes)
    x = RNG.integers(0, primes[1], (2, N)).astype(np.uint64)
    assert np.array_equal(transform.inverse(transform.forward(x.copy())), x)
    shift = np.zeros((2, N), dtype=np.uint64)
    shift[:, 3] = 1
    product = kernels.multiply(transform.forward(x.copy()), transform.forward(shift), transform.primes)
    rolled = np.roll(x, 3, axis=1)
    rolled[:, :3] = transform.primes[:, None] - rolled[:, :3]
    assert np.array_equal(transform.inverse(product), rolled % transform.primes[:, None])


def test_reduction_is_exact_for_every_word() -> None:
    for p in (*ntt_primes(24), 1048583):
        edges = [k * p + d for k in (0, 1, 2**33, 2**34 - 1, (2**64 - 1) // p) for d in (0, 1, p - 1)]
        for x in (*(e for e in edges if e < 2**64), 2**64 - 1, 2**63, 2**53 + 1):
            assert kernels.reduced(np.uint64(x), np.uint64(p), 1.0 / p) == x % p


def test_numbers_of_several_words_are_reduced() -> None:
    words = Keystream(bytes(32), b"test").words(3, 50)
    words[:, 0] = (1 << 64) - 1
    words[:, 1] = 0
    primes = np.array(ntt_primes(2), dtype=np.uint64)
    for count in (1, 2, 3):
        whole = [sum(int(words[k, j]) << (64 * k) for k in range(count)) for j in range(50)]
        assert kernels.residues(words[:count], primes).tolist() == [[w % int(p) for w in whole] for p in primes]


@pytest.mark.parametrize(
    "chosen", [linear_params(), *map(product_params, width(64).primes), product_params(width(22).primes[0])]
)
def test_parameters_are_secure_and_hold_the_worst_noise(chosen: Params) -> None:
    modulus = math.prod(chosen.primes)
    assert modulus.bit_length() <= MAX_MODULUS_BITS[chosen.n]
    assert modulus > 2 * chosen.t * (1 << (chosen.flood_bits + 1))
    assert math.prod(chosen.primes[: chosen.kept]) > 2 * chosen.t * chosen.n


def test_parameters_without_room_are_refused() -> None:
    with pytest.raises(ProtocolError, match="does not fit its security parameters"):
        params(4096, 1 << 64, noise=1 << 70, answers=1 << 20)
    with pytest.raises(AssertionError):
        Params(4096, ntt_primes(4), 4, 1 << 64, 10)


def test_samples_are_of_their_distributions() -> None:
    chosen = small_params()
    key = KeyOwner(chosen)
    primes, draw = key.constants.primes, key._random.words
    ternary = kernels.ternary(draw(30_000), primes).astype(np.int64)
    assert set(np.unique(ternary[0])) == {0, 1, int(primes[0]) - 1}
    assert abs(np.count_nonzero(ternary[0]) / 30_000 - 2 / 3) < 0.02
    errors = kernels.errors(draw(30_000), primes, np.ones(3, dtype=np.uint64)).astype(np.int64)
    centred = np.where(
        errors > primes[:, None].astype(np.int64) // 2, errors - primes[:, None].astype(np.int64), errors
    )
    assert np.array_equal(centred[0], centred[2])
    assert np.abs(centred).max() <= 21
    assert abs(centred[0].std() - math.sqrt(10.5)) < 0.1
    assert abs(centred[0].mean()) < 0.1
    flood = kernels.flood(draw(1, 2000), 40, primes, np.ones(3, dtype=np.uint64))
    values = kernels.compose(flood, primes, key.constants.inverses).view(np.int64)
    assert -(1 << 40) <= values.min() < -(1 << 39)
    assert 1 << 39 < values.max() < 1 << 40
    uniform = expand(chosen, pair.fresh_seed())
    assert np.all(uniform < primes[:, None])
    assert abs(uniform[0].mean() / float(primes[0]) - 0.5) < 0.03


@pytest.mark.parametrize("t", [1 << 64, ntt_primes(1, 8)[0]])
def test_messages_come_back(t: int) -> None:
    chosen = params(8192, t, noise=1 << 30, answers=1 << 10)
    key = KeyOwner(chosen)
    constants = key.constants
    seed, key_seed = pair.fresh_seed(), pair.fresh_seed()
    message = RNG.integers(0, min(t, 1 << 63), chosen.n).astype(np.uint64)
    message[:2] = 0, min(t, 1 << 64) - 1
    plain = (
        kernels.signed_residues(message, constants.primes)
        if t == 1 << 64
        else message[None] % constants.primes[:, None]
    )
    cipher = np.stack((key.encrypt(plain, seed), expand(chosen, seed)))
    zero = np.stack((key.public_key(key_seed), expand(chosen, key_seed)))
    mask = RNG.integers(0, min(t, 1 << 63), 100).astype(np.uint64)
    answer = Evaluator(PublicKey(constants, zero)).answer(cipher, mask, slice(0, 100))
    got = key.decrypt(*answer, slice(0, 100))
    expected = message[:100] + mask if t == 1 << 64 else (message[:100] + mask) % np.uint64(t)
    assert np.array_equal(got, expected)
