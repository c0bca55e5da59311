"""``hansa.run_parties``: every engine, every failure, beside asyncio."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import trio

import hansa

VALUES = np.arange(6, dtype=np.uint64)


async def product(engine: hansa.Engine) -> tuple[int, str, list[int]]:
    rank = engine.session.rank
    x = await engine.input(0, VALUES if rank == 0 else None, (6,))
    y = await engine.input(1, VALUES if rank == 1 else None, (6,))
    (opened,) = await engine.open(await engine.reshare(await engine.mul(x, y)), what="product")
    return rank, engine.name, [int(value) for value in opened]


@pytest.mark.parametrize(
    ("n", "engine"),
    [(2, "additive"), (3, "additive"), (2, "dealer"), (4, "dealer"), (3, "replicated"), (5, "replicated")],
)
def test_every_engine_gives_each_party_the_product(n: int, engine: hansa.in_memory.EngineName) -> None:
    name = "additive" if engine == "dealer" else engine
    assert hansa.run_parties(n, product, engine=engine) == [(rank, name, [0, 1, 4, 9, 16, 25]) for rank in range(n)]


def test_two_parties_without_a_dealer_are_the_default() -> None:
    assert hansa.run_parties(2, product) == hansa.run_parties(2, product, engine="additive")


def test_fraction_bits_are_the_engines() -> None:
    async def bits(engine: hansa.Engine) -> int:
        return engine.frac_bits

    assert hansa.run_parties(3, bits, engine="replicated", frac_bits=12) == [12, 12, 12]


def test_without_an_engine_the_protocol_gets_the_session() -> None:
    async def neighbours(session: hansa.Session) -> tuple[int, int]:
        right, left = (session.rank + 1) % 3, (session.rank - 1) % 3
        got = await session.exchange({right: [np.array([session.rank], np.uint64)]}, {left: [1]})
        return session.rank, int(got[left][0][0])

    assert hansa.run_parties(3, neighbours, engine=None) == [(0, 2), (1, 0), (2, 1)]


def test_a_session_opens_an_engine_by_name() -> None:
    async def opened(session: hansa.Session) -> str:
        async with hansa.open_engine(session, "replicated", parties=3, computing=(), frac_bits=18) as engine:
            return engine.name

    assert hansa.run_parties(3, opened, engine=None) == ["replicated"] * 3


async def test_it_says_why_it_does_not_run_inside_trio() -> None:
    with pytest.raises(RuntimeError, match="from inside"):
        hansa.run_parties(2, product)
    assert (await trio.to_thread.run_sync(hansa.run_parties, 2, product))[0][0] == 0


def test_it_runs_where_asyncio_runs() -> None:
    """As in a notebook, whose cells run inside a loop of asyncio that goes on afterwards."""

    async def cell() -> list[int]:
        ticks = asyncio.create_task(asyncio.sleep(0, "went on"))
        results = hansa.run_parties(3, product, engine="replicated")
        assert await ticks == "went on"
        return results[0][2]

    assert asyncio.run(cell()) == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize(
    ("n", "engine", "match"),
    [
        (1, "additive", "1 parties are too few\n  next: run 2 parties or more"),
        (2, "replicated", "2 parties are too few\n  next: run 3 parties or more"),
        (1, None, "1 parties are too few"),
        (2, "spdz", "there is no engine 'spdz'\n  next: choose one of additive, dealer, replicated"),
    ],
)
def test_what_cannot_run_is_refused(n: int, engine: str, match: str) -> None:
    with pytest.raises(hansa.errors.UsageError, match=match):
        hansa.run_parties(n, product, engine=engine)  # type: ignore[call-overload]


@pytest.mark.parametrize("engine", ["additive", "dealer"])
def test_the_error_of_the_party_that_failed_is_raised(engine: hansa.in_memory.EngineName) -> None:
    async def faulty(engine: hansa.Engine) -> list[int]:
        if engine.session.rank == 1:
            raise ValueError("no rows here")
        return (await product(engine))[2]

    with pytest.raises(ValueError, match=r"^no rows here$"):
        hansa.run_parties(2, faulty, engine=engine)
