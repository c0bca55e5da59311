"""Moduli within the table, and budgets that hold in the worst case."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.rlwe.linear import ANSWERS, MAX_TERMS, level_params
from hansa.protocols.mpc.rlwe.params import DEGREES, SECURITY, assert_secure, linear_params, product_params
from hansa.protocols.mpc.rlwe.products import PRODUCTS, plan_for


@pytest.mark.parametrize(("columns", "returned"), [(1, 1), (50, 2**20), (1024, 2**25), (8192, 2**30), (10**6, 2**40)])
def test_linear_parameters_are_secure_and_have_room(columns: int, returned: int) -> None:
    params = linear_params(columns, returned)
    q = prod(params.primes)
    assert q.bit_length() <= SECURITY[params.degree]
    assert all(p % (2 * params.degree) == 1 for p in params.primes)
    worst = columns * (2**64 - 1 + 21 * 2**64) * 2**63 + 2**64 * 2 * params.degree * 21
    assert 2 ** (params.mask_bits - 1) + worst < q // 4
    assert 2**params.mask_bits >= worst * returned * 2**40
    assert 2**params.mask_bits <= 4 * worst * returned * 2**40, "no wider than it need be"


@pytest.mark.parametrize("bits", [1, 20, 32, 64])
@pytest.mark.parametrize("count", [1, 10**6, 2 * PRODUCTS[0], 2 * PRODUCTS[1]])
@pytest.mark.parametrize("terms", [1, 6])
@pytest.mark.parametrize("degree", DEGREES)
def test_product_parameters_are_secure_and_do_not_wrap(bits: int, count: int, degree: int, terms: int) -> None:
    plan = product_params(bits, count, degree, terms)
    assert all(params.degree == degree for params in plan)
    slots = [p for params in plan for p in params.slots]
    assert len(set(slots)) == len(slots)
    assert prod(slots) >= 2 * terms * 2 ** (2 * (bits - 1)) * count * 2**40
    for params in plan:
        assert prod(params.primes).bit_length() <= SECURITY[params.degree]
        assert not set(params.primes) & set(slots)
        assert all(p % (2 * params.degree) == 1 for p in (*params.primes, *params.slots))
        k = len(params.slots)
        worst = 2 * terms * params.degree * (k + 21) * params.t * k * params.t + params.t * 2 * params.degree * 21
        assert 2 ** (params.mask_bits - 1) + worst < prod(params.primes) // 4
        assert 2**params.mask_bits >= worst * count * len(plan) * 2**40


def test_too_much_is_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match="need too large a modulus"):
        linear_params(10**6, 2**250)
    with pytest.raises(ProtocolError, match="no parameters for"):
        product_params(64, 2**400, 8192)


def test_the_assertion_bites() -> None:
    params = linear_params(1024, 2**20)
    with pytest.raises(AssertionError):
        assert_secure(replace(params, degree=4096))
    with pytest.raises(AssertionError):
        assert_secure(replace(params, mask_bits=params.mask_bits - 2))
    with pytest.raises(AssertionError):
        assert_secure(replace(params, primes=params.primes[:-1]))
    with pytest.raises(AssertionError):
        assert_secure(replace(params, kept=2))


@pytest.mark.parametrize("bits", [20, 22, 64])
@pytest.mark.parametrize("size", [1, 6144, 8193, 10**6])
@pytest.mark.parametrize("level", range(len(PRODUCTS)))
def test_the_plan_chosen_costs_least(bits: int, size: int, level: int) -> None:
    def cost(degree: int) -> int:
        plan = product_params(bits, len(PRODUCTS) * PRODUCTS[level], degree)
        return -(-size // degree) * degree * sum(8 * (len(params.primes) + params.kept) for params in plan)

    assert cost(plan_for(bits, size, level=level)[0].degree) == min(map(cost, DEGREES))


@pytest.mark.parametrize("level", range(len(ANSWERS)))
def test_both_keys_of_a_job_together_keep_to_2_40(level: int) -> None:
    params = level_params(level)
    assert params.noise * ANSWERS[level] * len(ANSWERS) * 2**40 <= 2**params.mask_bits
    assert params.noise >= MAX_TERMS * 22 * 2**127
