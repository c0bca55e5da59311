"""Matrices and elementwise products between two parties: results, costs, and peers that send something else."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import trio

from hansa.protocols.errors import PeerMisbehaved, ProtocolError
from hansa.protocols.mpc.memory import outcomes_of_parties, parties, run_parties
from hansa.protocols.mpc.rlwe import linear, pair, products
from hansa.protocols.mpc.rlwe.linear import MatrixGuest, MatrixOwner, linear_params
from hansa.protocols.mpc.rlwe.products import ProductGuest, ProductOwner, product_params, width
from hansa.protocols.mpc.session import Session

Side = Callable[[Session], Awaitable[Any]]
START = 32
"""Bytes with which a session begins."""


def random(*shape: int) -> Any:
    return np.frombuffer(os.urandom(8 * int(np.prod(shape))), dtype=np.uint64).reshape(shape)


async def between(owner: Side, guest: Side) -> list[Any]:
    async with parties(2) as sessions:

        async def party(session: Session) -> Any:
            return await (owner if session.rank == 0 else guest)(session)

        return await run_parties(sessions, party)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (64, 65), (1000, 17), (8192, 2), (2, 4096)])
async def test_a_matrix_times_vectors(rows: int, columns: int) -> None:
    x, vectors = random(rows, columns).copy(), [random(columns), np.full(columns, 2**64 - 1, dtype=np.uint64)]
    x[0, 0] = 1 << 63

    async def owner(session: Session) -> Any:
        end = await MatrixOwner.start(session, 1)
        return [await end.multiply("x", x) for _ in vectors], session.transcript.bytes_sent

    async def guest(session: Session) -> Any:
        end = await MatrixGuest.start(session, 0)
        return [await end.multiply("x", x.shape, v) for v in vectors], session.transcript.bytes_sent

    (ours, sent), (theirs, answered) = await between(owner, guest)
    for mine, other, v in zip(ours, theirs, vectors, strict=True):
        assert np.array_equal(mine + other, x @ v)
    chosen = linear_params()
    assert sent == START + (32 + 4 * 8192 * len(chosen.primes)) * (1 + linear.ciphertexts_of(rows, columns))
    assert answered == START + 4 * chosen.kept * (rows + 8192) * len(vectors)


async def test_a_spent_key_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MAX_ANSWERS", 25)
    x, v = random(10, 3), random(3)

    async def owner(session: Session) -> Any:
        end = await MatrixOwner.start(session, 1)
        return [await end.multiply("x", x) for _ in range(5)], end._key

    async def guest(session: Session) -> Any:
        end = await MatrixGuest.start(session, 0)
        return [await end.multiply("x", x.shape, v) for _ in range(5)]

    (ours, _), theirs = await between(owner, guest)
    for mine, other in zip(ours, theirs, strict=True):
        assert np.array_equal(mine + other, x @ v)


@pytest.mark.parametrize(("size", "bits"), [(1, 64), (8193, 64), (100, 22), (100, 33)])
async def test_elementwise_products(size: int, bits: int) -> None:
    def numbers() -> Any:
        raw = random(size).copy()
        if bits < 64:
            raw = (raw.view(np.int64) >> (64 - bits)).view(np.uint64)
            raw[0] = (1 << 64) - (1 << (bits - 1))
        else:
            raw[0] = (1 << 64) - 1
        return raw

    a, b, c, d = (numbers() for _ in range(4))

    async def owner(session: Session) -> Any:
        return await ProductOwner(session, 1).cross(a, b, bits), session.transcript.bytes_sent

    async def guest(session: Session) -> Any:
        return await ProductGuest(session, 0).cross(c, d, bits), session.transcript.bytes_sent

    (mine, sent), (other, answered) = await between(owner, guest)
    assert np.array_equal(mine + other, a * d + b * c)
    chosen = [product_params(t) for t in width(bits).primes]
    batches = -(-size // 8192)
    assert sent == START + sum((1 + 2 * batches) * (32 + 4 * 8192 * len(p.primes)) for p in chosen)
    assert answered == START + sum(batches * 8 * 8192 * p.kept for p in chosen)


async def test_shapes_beyond_a_product_are_refused() -> None:
    async def owner(session: Session) -> None:
        end = await MatrixOwner.start(session, 1)
        with pytest.raises(ProtocolError, match="a product of 8193 x 1"):
            await end.multiply("x", np.zeros((8193, 1), dtype=np.uint64))

    async def guest(session: Session) -> None:
        end = await MatrixGuest.start(session, 0)
        with pytest.raises(ProtocolError, match="a product of 1 x 0"):
            await end.multiply("x", (1, 0), random(0))

    await between(owner, guest)


@pytest.mark.parametrize("what", ["key", "ciphertext", "answer"])
async def test_residues_out_of_range_name_the_peer(what: str) -> None:
    chosen = linear_params()
    bad = np.full((1, len(chosen.primes), chosen.n), 1 << 31, dtype=np.uint32)

    async def cheat(session: Session) -> None:
        if what == "answer":
            await MatrixGuest.start(session, 1 - session.rank)
            await pair.recv_ciphertexts(session, 1 - session.rank, chosen, 1)
            await pair.send_answer(session, 1 - session.rank, bad[0, : chosen.kept, :4], bad[0, : chosen.kept])
            return
        if what == "ciphertext":
            await pair.send_key(session, 1 - session.rank, chosen)
        await session.send(1 - session.rank, np.zeros(32, dtype=np.uint8))
        await session.send(1 - session.rank, bad)

    async def honest(session: Session) -> None:
        if what == "answer":
            end = await MatrixOwner.start(session, 1 - session.rank)
            await end.multiply("x", random(4, 4))
        else:
            guest = await MatrixGuest.start(session, 1 - session.rank)
            await guest.multiply("x", (4, 4), random(4))

    async with parties(2) as sessions:

        async def party(session: Session) -> None:
            await (cheat if session.rank == 0 else honest)(session)

        with trio.fail_after(20):
            outcomes = await outcomes_of_parties(sessions, party)
    assert isinstance(outcomes[1], PeerMisbehaved)
    assert "party 0 sent a ciphertext out of range" in str(outcomes[1])


def test_masks_cover_the_products_by_40_bits() -> None:
    for bits in (22, 33, 64):
        chosen = width(bits)
        mask = 1 << products.mask_bits(chosen)
        assert mask >= (2 << (2 * bits)) << 40
        assert mask + (2 << (2 * bits)) < products.modulus(chosen) // 2
