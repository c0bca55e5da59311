"""Institutions beside the three that compute: they input and receive, and see nothing else."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import trio
from support.statistics import chi_square
from support.taps import Tap

from hansa.protocols.errors import ProtocolError, UndeclaredOpening
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.session.memory import network, parties, run_parties
from hansa.protocols.mpc.session.session import Session

COMPUTING = (1, 2, 4)
INPUT_PARTIES = (0, 3)


def random(*shape: int) -> Any:
    return np.frombuffer(os.urandom(8 * int(np.prod(shape))), dtype=np.uint64).reshape(shape).copy()


async def run(protocol: Any, **options: Any) -> list[Any]:
    async with parties(5, **options) as sessions:

        async def party(session: Session) -> Any:
            async with open_engine(session, "replicated", parties=5, computing=COMPUTING, frac_bits=18) as engine:
                return await protocol(engine, session.rank)

        return await run_parties(sessions, party)


@pytest.mark.parametrize("owner", range(5))
@pytest.mark.parametrize("shape", [(0,), (1,), (65,), (3, 4)])
async def test_inputs_and_openings(owner: int, shape: tuple[int, ...]) -> None:
    x = random(*shape)

    async def protocol(e: Engine, rank: int) -> Any:
        share = await e.input(owner, x if rank == owner else None, shape)
        plus = e.add_public(share, 7)
        (everybody,) = await e.open(plus, what="x + 7")
        one = await e.open_to(3, share, e.public(x), what="x, x")
        return everybody, one

    results = await run(protocol, allowed=[("x + 7", (0, 1, 2, 3, 4)), ("x, x", (3,))])
    for rank, (everybody, one) in enumerate(results):
        assert np.array_equal(everybody, x + np.uint64(7))
        assert (one is None) == (rank != 3)
    assert all(np.array_equal(got, x) for got in results[3][1])


@pytest.mark.parametrize("owner", [0, 1])
async def test_every_operation(owner: int) -> None:
    n, d, bins = 70, 3, 4
    x, w, r = random(n, d), random(d), random(n)
    small = (np.arange(n, dtype=np.int64) - 35).view(np.uint64)
    places = (random(n, d) % np.uint64(bins)).astype(np.uint8)

    async def protocol(e: Engine, rank: int) -> Any:
        mine = rank == owner
        matrix = await e.private_matrix(owner, x if mine else None, (n, d))
        held = await e.private_bins(owner, places if mine else None, (n, d), bins)
        ws, rs = await e.input(0, w if rank == 0 else None, (d,)), await e.input(2, r if rank == 2 else None, (n,))
        s = await e.input(3, small if rank == 3 else None, (n,))
        sign = await e.msb(s)
        shares = [
            await e.reshare((await e.private_linear([matrix], [ws], slice(5, 60)))[0]),
            await e.reshare((await e.private_linear_t([matrix], [rs[5:60]], slice(5, 60)))[0]),
            (await e.select_sum([held], s.reshape(1, n), 6))[0].reshape(-1),
            await e.reshare(await e.mul(rs, rs) + e.as_product(s)),
            await e.truncate(s.times(1 << 10), 10),
            await e.b2a(sign),
            await e.mux(await e.less(s, -s), rs, s),
            await e.sigmoid(s.times(1 << 18), 18),
            e.share_from_state(e.share_state(rs)),
        ]
        return await e.open(*shares, what="all")

    results = await run(protocol)
    for linear, linear_t, sums, square, cut, bits, chosen, logistic, state in results:
        assert np.array_equal(linear, x[5:60] @ w)
        assert np.array_equal(linear_t, x[5:60].T @ r[5:60])
        expected = np.array([[small[places[:, j] == b].sum(dtype=np.uint64) for b in range(bins)] for j in range(d)])
        assert np.all(sums.reshape(d, bins) - expected <= 1)
        assert np.array_equal(square, r * r + small)
        assert np.all((cut - small) <= 1)
        assert np.array_equal(bits, np.arange(n) < 35)
        assert np.array_equal(chosen, np.where(np.arange(n) < 35, r, small))
        truth = 1 / (1 + np.exp(-(np.arange(n) - 35.0)))
        assert np.abs(logistic.view(np.int64) / 2.0**18 - truth).max() < 5e-4
        assert np.array_equal(state, r)


async def test_an_input_party_sends_inputs_only_and_receives_openings_only() -> None:
    x = random(1000)

    async def protocol(e: Engine, rank: int) -> int:
        share = await e.input(0, x if rank == 0 else None, (1000,))
        before = e.session.transcript.bytes_sent
        await e.less(await e.reshare(await e.mul(share, share)), share)
        sent = e.session.transcript.bytes_sent - before
        await e.open_to(3, share, what="x")
        return sent

    heard: list[list[bytes]] = [[] for _ in range(5)]
    links = [{peer: Tap(link, heard[rank]) for peer, link in ends.items()} for rank, ends in enumerate(network(5))]
    sent = await run(protocol, links=links)
    assert [count > 0 for count in sent] == [False, True, True, False, True]
    received = [sum(len(message) > 1000 for message in messages) for messages in heard]
    assert received[0] == 0
    assert received[3] == 3  # the summands of what is opened to it


async def test_what_anybody_receives_of_an_input_partys_input_is_uniform() -> None:
    async def protocol(e: Engine, rank: int) -> None:
        constant = np.full(20_000, 3, dtype=np.uint64)
        share = await e.input(0, constant if rank == 0 else None, (20_000,))
        await e.open_to(3, share, what="x")

    heard: list[list[bytes]] = [[] for _ in range(5)]
    links = [{peer: Tap(link, heard[rank]) for peer, link in ends.items()} for rank, ends in enumerate(network(5))]
    await run(protocol, links=links)
    for rank in (1, 2, 3, 4):
        for message in heard[rank]:
            if len(message) > 1000:
                assert 150 < chi_square(message[16:-64]) < 400


async def test_an_opening_to_an_input_party_must_be_declared() -> None:
    async def protocol(e: Engine, rank: int) -> None:
        share = await e.input(1, np.zeros(3, dtype=np.uint64) if rank == 1 else None, (3,))
        await e.open_to(0, share, what="x")

    with pytest.raises(UndeclaredOpening):
        await run(protocol, allowed=[("x", (3,))])


@pytest.mark.parametrize("computing", [(0, 1), (0, 1, 1), (0, 1, 5), (0, 1, 2, 3)])
async def test_three_of_the_institutions_compute(computing: tuple[int, ...]) -> None:
    async def party(session: Session) -> None:
        async with open_engine(session, "replicated", parties=5, computing=computing, frac_bits=18):
            pass

    async with parties(5) as sessions:
        with trio.fail_after(5), pytest.raises(ProtocolError, match="computing"):
            await run_parties(sessions, party)


async def test_states_of_another_role_are_refused() -> None:
    async def protocol(e: Engine, rank: int) -> bytes:
        share = await e.input(1, np.zeros(3, dtype=np.uint64) if rank == 1 else None, (3,))
        state = e.share_state(share)
        for wrong in (
            state[:-1],
            b"",
            b"\x01guest" + bytes(7),
            bytes(9) if rank in INPUT_PARTIES else b"\x01guest" + bytes(8),
        ):
            with pytest.raises(ProtocolError, match="train the model anew"):
                e.share_from_state(wrong)
        return state

    assert len(set(await run(protocol))) >= 4
