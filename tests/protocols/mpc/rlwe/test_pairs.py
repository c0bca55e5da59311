"""Matrices and elementwise products between two parties: results, costs, and peers that send something else."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import trio

from hansa.protocols.errors import DesyncError, PeerMisbehaved, ProtocolError
from hansa.protocols.mpc.rlwe import linear, pair, products
from hansa.protocols.mpc.rlwe.linear import CHUNK, MatrixEvaluator, MatrixOwner, level_params, packing_of
from hansa.protocols.mpc.rlwe.products import (
    ProductEvaluator,
    ProductOwner,
    best_terms,
    bytes_of,
    parts_of,
    piece_words,
    plan_for,
)
from hansa.protocols.mpc.rlwe.scheme import scheme
from hansa.protocols.mpc.session.memory import outcomes_of_parties, parties, run_parties
from hansa.protocols.mpc.session.session import Session

Side = Callable[[Session], Awaitable[Any]]
START = 32
"""Bytes with which a session begins."""


def random(*shape: int) -> Any:
    return np.frombuffer(os.urandom(8 * int(np.prod(shape))), dtype=np.uint64).reshape(shape)


async def between(owner: Side, evaluator: Side) -> list[Any]:
    async with parties(2) as sessions:

        async def party(session: Session) -> Any:
            return await (owner if session.rank == 0 else evaluator)(session)

        return await run_parties(sessions, party)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (64, 65), (1000, 17), (8192, 2), (2, 4096)])
async def test_a_matrix_times_vectors(rows: int, columns: int) -> None:
    x, vectors = random(rows, columns).copy(), [random(columns), np.full(columns, 2**64 - 1, dtype=np.uint64)]
    x[0, 0] = 1 << 63

    async def owner(session: Session) -> Any:
        end = await MatrixOwner.start(session, 1)
        return [await end.multiply("x", x) for _ in vectors], session.transcript.bytes_sent

    async def evaluator(session: Session) -> Any:
        end = await MatrixEvaluator.start(session, 0)
        return [await end.multiply("x", x.shape, v) for v in vectors], session.transcript.bytes_sent

    (ours, sent), (theirs, answered) = await between(owner, evaluator)
    for mine, other, v in zip(ours, theirs, vectors, strict=True):
        assert np.array_equal(mine + other, x @ v)
    chosen, polys = level_params(0), packing_of(rows, columns).polys
    assert sent == START + 32 * (1 + -(-polys // CHUNK)) + 4 * 8192 * len(chosen.primes) * (1 + polys)
    assert answered == START + 4 * chosen.kept * (rows + 8192) * len(vectors)


async def test_a_matrix_forgotten_is_sent_anew() -> None:
    x, v = random(4, 3), random(3)

    async def party(session: Session) -> Any:
        peer = 1 - session.rank
        if session.rank:
            evaluator = await MatrixEvaluator.start(session, peer)
            first = await evaluator.multiply("x", x.shape, v)
            evaluator.forget("x")
            assert not evaluator._held
            return [first, await evaluator.multiply("x", x.shape, v)]
        owner = await MatrixOwner.start(session, peer)
        shares = [await owner.multiply("x", x)]
        owner.forget("x")
        return [*shares, await owner.multiply("x", x)]

    ours, theirs = await between(party, party)
    for mine, other in zip(ours, theirs, strict=True):
        assert np.array_equal(mine + other, x @ v)


async def test_a_spent_key_is_replaced_by_a_larger_one_and_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "ANSWERS", (25, 30))
    x, v = random(10, 3), random(3)

    async def owner(session: Session) -> Any:
        end = await MatrixOwner.start(session, 1)
        shares = [await end.multiply("x", x) for _ in range(5)]
        with pytest.raises(ProtocolError, match="too many homomorphic products"):
            await end.multiply("x", x)
        return shares, end._key.scheme.params

    async def evaluator(session: Session) -> Any:
        end = await MatrixEvaluator.start(session, 0)
        shares = [await end.multiply("x", x.shape, v) for _ in range(5)]
        with pytest.raises(ProtocolError, match="too many homomorphic products"):
            await end.multiply("x", x.shape, v)
        return shares

    (ours, params), theirs = await between(owner, evaluator)
    assert params == level_params(1)
    for mine, other in zip(ours, theirs, strict=True):
        assert np.array_equal(mine + other, x @ v)


async def test_the_larger_key_serves_large_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "ANSWERS", (1, 1 << 40))
    x, v = random(8192, 2), random(2)

    async def owner(session: Session) -> Any:
        end = await MatrixOwner.start(session, 1)
        assert level_params(1).degree == 16384
        return await end.multiply("x", x)

    async def evaluator(session: Session) -> Any:
        return await (await MatrixEvaluator.start(session, 0)).multiply("x", x.shape, v)

    mine, other = await between(owner, evaluator)
    assert np.array_equal(mine + other, x @ v)


@pytest.mark.parametrize(
    ("size", "bits"), [(0, 64), (1, 64), (8193, 64), (16385, 64), (100, 22), (8193, 22), (100, 33)]
)
async def test_elementwise_products(size: int, bits: int) -> None:
    def numbers() -> Any:
        raw = random(size).copy()
        if bits < 64:
            raw = (raw.view(np.int64) >> (64 - bits)).view(np.uint64)
        raw[:1] = (1 << 64) - (1 << (bits - 1))
        raw[1:2] = (1 << (bits - 1)) - 1
        raw[2:3] = (1 << 64) - 1
        raw[3:4] = 0
        return raw

    a, b, c, d = (numbers() for _ in range(4))

    async def owner(session: Session) -> Any:
        return await ProductOwner(session, 1).cross(a, b, bits), session.transcript.bytes_sent

    async def evaluator(session: Session) -> Any:
        return await ProductEvaluator(session, 0).cross(c, d, bits), session.transcript.bytes_sent

    (mine, sent), (other, answered) = await between(owner, evaluator)
    assert np.array_equal(mine + other, a * d + b * c)
    plan = plan_for(bits, size)
    pieces = len(parts_of(plan, size))
    keys = sum(32 + 4 * p.degree * len(p.primes) for p in plan) if size else 0
    assert sent == START + keys + pieces * 4 * piece_words(plan)
    assert answered == START + pieces * sum(8 * p.degree * p.kept for p in plan)


@pytest.mark.parametrize(("size", "terms", "bits"), [(0, 3, 22), (1, 6, 22), (8193, 2, 22), (100, 3, 64), (5, 6, 64)])
async def test_sums_of_several_products_come_in_one_answer(size: int, terms: int, bits: int) -> None:
    def numbers() -> Any:
        raw = (random(terms, size).view(np.int64) >> (64 - bits)).view(np.uint64)
        raw[:, :1] = (1 << 64) - (1 << (bits - 1))
        return raw

    a, b, c, d = (numbers() for _ in range(4))

    async def owner(session: Session) -> Any:
        return await ProductOwner(session, 1).cross(a, b, bits), session.transcript.bytes_sent

    async def evaluator(session: Session) -> Any:
        return await ProductEvaluator(session, 0).cross(c, d, bits), session.transcript.bytes_sent

    (mine, sent), (other, answered) = await between(owner, evaluator)
    assert np.array_equal(mine + other, (a * d + b * c).sum(axis=0, dtype=np.uint64))
    plan = plan_for(bits, size, terms)
    pieces = len(parts_of(plan, size))
    keys = sum(32 + 4 * p.degree * len(p.primes) for p in plan) if size else 0
    assert sent == START + keys + pieces * 4 * piece_words(plan, terms)
    assert answered == START + pieces * sum(8 * p.degree * p.kept for p in plan)


@pytest.mark.parametrize("size", [1, 1000, 5000, 30_000])
def test_as_many_terms_are_added_up_as_send_least(size: int) -> None:
    costs = {k: bytes_of(plan_for(22, size * 6 // k, k), size * 6 // k, k) for k in (1, 2, 3, 6)}
    assert costs[best_terms(22, size, 6)] == min(costs.values())


async def test_products_in_one_call_are_exact_and_no_more_than_a_window_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n = 8192 * 7 + 3
    a, b, c, d = (random(n) >> np.uint64(43) for _ in range(4))
    monkeypatch.setattr(products, "DEGREES", (8192,))
    plan_for.cache_clear()
    asked, most = 0, 0
    encrypt = products._encrypted

    def counting(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return encrypt(*arguments)

    def checking(*arguments: Any) -> Any:
        nonlocal most
        most = max(most, asked - len(done))
        done.append(1)
        return decrypt(*arguments)

    done: list[int] = []
    decrypt = products._decrypted
    monkeypatch.setattr(products, "_encrypted", counting)
    monkeypatch.setattr(products, "_decrypted", checking)

    async def party(session: Session) -> Any:
        if session.rank:
            return await ProductEvaluator(session, 0).cross(c, d, 22)
        return await ProductOwner(session, 1).cross(a, b, 22)

    mine, other = await between(party, party)
    plan_for.cache_clear()
    assert np.array_equal(mine + other, a * d + b * c)
    assert len(done) == 8
    assert most <= products.WINDOW


@pytest.mark.parametrize(("bits", "size", "terms"), [(22, 1, 6), (22, 8193, 1), (64, 6, 1)])
def test_masks_are_wide_enough_for_all_that_is_returned(
    bits: int, size: int, terms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it refuses, a budget's calls return whole ciphertexts, however few numbers they are asked for."""
    monkeypatch.setattr(products, "PRODUCTS", (1 << 16, 1 << 18))
    plan_for.cache_clear()
    budget, given = products._ProductBudget(), list[Any]()

    def spend() -> None:
        while len(given) < 1000:
            given.append(budget.plan(bits, size, terms))

    with pytest.raises(ProtocolError, match="too many homomorphic products"):
        spend()
    plan_for.cache_clear()
    assert len(given) > 3
    distance = sum(
        Fraction(len(parts_of(plan, size)) * params.degree * params.noise, 2**params.mask_bits)
        for plan in given
        for params in plan
    )
    assert distance <= Fraction(1, 2**40)


async def test_spent_masks_are_followed_by_wider_ones_and_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "PRODUCTS", (10_000, 1 << 36))  # one ciphertext
    plan_for.cache_clear()
    a, b, c, d = (random(100) for _ in range(4))

    async def party(session: Session) -> Any:
        end = (ProductEvaluator if session.rank else ProductOwner)(session, 1 - session.rank)
        mine = (c, d) if session.rank else (a, b)
        first = await end.cross(*mine)
        second = await end.cross(*mine)
        small = await end.cross(*(x >> np.uint64(60) for x in mine), 22)
        assert list(end._keys) == [plan_for(64, 100, level=0), plan_for(64, 100, level=1), plan_for(22, 100)]
        monkeypatch.setattr(products, "PRODUCTS", (10_000, 10_000))
        with pytest.raises(ProtocolError, match="too many homomorphic products"):
            await end.cross(*mine)
        monkeypatch.setattr(products, "PRODUCTS", (10_000, 1 << 36))
        return first, second, small

    ours, theirs = await between(party, party)
    plan_for.cache_clear()
    expected = [a * d + b * c] * 2 + [
        (a >> np.uint64(60)) * (d >> np.uint64(60)) + (b >> np.uint64(60)) * (c >> np.uint64(60))
    ]
    for mine, other, right in zip(ours, theirs, expected, strict=True):
        assert np.array_equal(mine + other, right)


@pytest.mark.parametrize("what", ["key", "ciphertext", "answer", "pairs", "cross answer"])
async def test_residues_out_of_range_name_the_peer(what: str) -> None:
    async def cheat(session: Session) -> None:
        params, plan = level_params(0), plan_for(64, 4)

        def bad(words: int) -> Any:
            out = np.zeros(words, dtype=np.uint32)
            out[-1] = params.primes[params.kept - 1] if "answer" in what else params.primes[-1]
            return out

        if what == "answer":
            await MatrixEvaluator.start(session, 1)
            await pair.recv_fresh(session, 1, scheme(params), 1)
            await session.send(1, bad(params.kept * (4 + params.degree)))
        elif what == "cross answer":
            for params in plan:
                await pair.recv_key(session, 1, params)
            out = np.zeros(sum(2 * params.kept * params.degree for params in plan), dtype=np.uint32)
            out[-1] = 2**30
            await session.send(1, out)
        elif what == "pairs":
            for params in plan:
                await pair.send_key(session, 1, params)
            out = np.zeros(piece_words(plan), dtype=np.uint32)
            out[-1] = 2**30
            await session.send(1, out)
        else:
            if what == "ciphertext":
                await pair.send_key(session, 1, params)
            await session.send(1, bad(pair.SEED_WORDS + len(params.primes) * params.degree))

    async def honest(session: Session) -> None:
        if what == "answer":
            await (await MatrixOwner.start(session, 0)).multiply("x", random(4, 4))
        elif what == "cross answer":
            await ProductOwner(session, 0).cross(random(4), random(4))
        elif what == "pairs":
            await ProductEvaluator(session, 0).cross(random(4), random(4))
        else:
            await (await MatrixEvaluator.start(session, 0)).multiply("x", (4, 4), random(4))

    async with parties(2) as sessions:

        async def party(session: Session) -> None:
            with session.step("products"):
                await (honest if session.rank else cheat)(session)

        with trio.fail_after(20):
            outcomes = await outcomes_of_parties(sessions, party)
    assert isinstance(outcomes[1], PeerMisbehaved)
    assert "party 0 sent a ciphertext out of range, step products" in str(outcomes[1])


async def test_a_message_of_another_size_names_both_steps() -> None:
    async def party(session: Session) -> None:
        if session.rank:
            await ProductEvaluator(session, 0).cross(random(4), random(4))
        else:
            await session.send(1, np.zeros(9, dtype=np.uint32))

    async with parties(2) as sessions:
        with trio.fail_after(20):
            outcomes = await outcomes_of_parties(sessions, party)
    assert isinstance(outcomes[1], DesyncError)
