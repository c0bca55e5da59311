"""Rounds and bytes are what the docstrings say, online and of the dealer, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.additive import bits_of_zero, spent
from support.engines import additive_dealt, dealt_party

from hansa.protocols.mpc.additive.engine import AdditiveEngine
from hansa.protocols.mpc.hinted_aggregation import moduli
from hansa.protocols.mpc.session.memory import StreamLink, network, parties, run_parties
from hansa.protocols.mpc.session.transcript import Phase

N, WORDS, COLUMNS = 640, 10, 8

COSTS = {
    # operation: (rounds, bytes to each other party)
    "input": (0, 0),
    "open": (1, 8 * N),
    "mul": (1, 16 * N),
    "truncate": (1, 8 * N),
    "msb": (5, 8 * N + 8 * 41 * WORDS),
    "b2a": (1, 8 * WORDS),
    "mux": (2, 8 * WORDS + 16 * N),
    "sigmoid at 36": (6, 32 * N + 8 * 38 * WORDS),
    "sigmoid at 18": (7, 32 * N + 8 * 70 * WORDS),
}

DEALT = {
    # operation: bytes that the dealer sends; all draws are below the stock that is kept, so each is dealt twice
    "mul": 8 * N,
    "truncate": 16 * N,
    "b2a": 8 * N,
    "msb": 8 * 241 * WORDS + 8 * (2 * 11 + 4) * WORDS,
    "sigmoid at 36": (96 + 2 * 8 + 16 + 8) * N + 8 * 121 * WORDS + 8 * 2 * (2 * 4 + 3) * WORDS,
}


async def perform(e: AdditiveEngine, operation: str) -> None:
    x = e.public(np.zeros(N, dtype=np.uint64))
    match operation:
        case "input":
            await e.input(0, np.zeros(N, dtype=np.uint64) if e.rank == 0 else None, (N,))
        case "open":
            await e.open(x, what="test")
        case "mul":
            await e.reshare(await e.mul(x, x))
        case "truncate":
            await e.truncate(x, 18)
        case "msb":
            await e.msb(x)
        case "b2a":
            await e.b2a(bits_of_zero(N))
        case "mux":
            await e.mux(bits_of_zero(N), x, x)
        case "sigmoid at 36" | "sigmoid at 18":
            await e.sigmoid(x, int(operation[-2:]))


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("operation", list(COSTS))
async def test_online_costs(operation: str, n: int) -> None:
    async def protocol(e: AdditiveEngine) -> Any:
        before = spent(e.session.transcript, Phase.ONLINE)
        await perform(e, operation)
        return [b - a for a, b in zip(before, spent(e.session.transcript, Phase.ONLINE), strict=True)]

    rounds, sent = COSTS[operation]
    assert await additive_dealt(n)(protocol) == [[rounds, sent * (n - 1)]] * n


@pytest.mark.parametrize("operation", list(DEALT))
async def test_what_the_dealer_sends(operation: str) -> None:
    async with parties(4) as sessions:
        await run_parties(sessions, lambda s: dealt_party(s, lambda e: perform(e, operation)))
        transcripts = [s.transcript for s in sessions]
    assert spent(transcripts[3], Phase.PREPROCESSING)[1] == 2 * DEALT[operation]
    # a seed each, and the requests of the last: the dealer hears nothing else
    assert [sum(c.bytes_sent.get(3, 0) for (s, _), c in t.steps.items() if s != "start") for t in transcripts[:2]] == [
        32
    ] * 2
    requests = sum(c.bytes_sent.get(3, 0) for (s, _), c in transcripts[2].steps.items() if s != "start") - 32
    assert requests % 40 == 0


@pytest.mark.parametrize("owner", [0, 2])
async def test_products_with_a_private_matrix(owner: int) -> None:
    async def protocol(e: AdditiveEngine) -> Any:
        shape = (N, COLUMNS)
        found = []
        transcript = e.session.transcript
        before = spent(transcript, Phase.ONLINE)[1]
        x = await e.private_matrix(owner, np.ones(shape, np.uint64) if e.rank == owner else None, shape)
        found.append(spent(transcript, Phase.ONLINE)[1] - before)
        for multiply, size in ((e.private_linear, COLUMNS), (e.private_linear_t, 100)):
            rounds, sent = spent(transcript, Phase.ONLINE)
            await multiply([x], [e.public(np.ones(size, np.uint64))], slice(0, 100))
            after = spent(transcript, Phase.ONLINE)
            assert after[0] - rounds == 1
            found.append(after[1] - sent)
        sent = spent(transcript, Phase.ONLINE)[1]
        bins = await e.private_bins(owner, np.zeros((N, 3), np.uint8) if e.rank == owner else None, (N, 3), 4)
        found.append(spent(transcript, Phase.ONLINE)[1] - sent)
        sent = spent(transcript, Phase.ONLINE)[1]
        await e.select_sum([bins], e.public(np.ones((1, N), np.uint64)), 10)
        found.append(spent(transcript, Phase.ONLINE)[1] - sent)
        return found

    results = await additive_dealt(3)(protocol)
    cut = 2 * 8 * 12  # a truncation of every sum
    for rank, found in enumerate(results):
        if rank == owner:
            assert found == [2 * 8 * N * COLUMNS, 0, 0, 2 * 16384 * 12 + 2 * 32, cut]
        else:
            assert found == [0, 8 * COLUMNS, 8 * 100, 2 * 32, moduli(N, 10, 2).octets * N + 16384 + cut]


async def test_repeated_small_draws_wait_for_no_round_trip() -> None:
    """Stock doubles, so that k draws of one kind cost about log k requests."""
    draws = 64

    async def protocol(e: AdditiveEngine) -> int:
        before = e.session.transcript.frames
        for _ in range(draws):
            await e.correlations.triples(100)
        return e.session.transcript.frames - before

    assert (await additive_dealt(2)(protocol))[1] <= 9


async def test_everything_runs_over_links_without_buffers() -> None:
    """Sends that wait for their receiver must not wait for each other (style 14, 27)."""
    from trio.testing import lockstep_stream_pair

    def pair() -> Any:
        a, b = lockstep_stream_pair()
        return StreamLink(a), StreamLink(b)

    async def protocol(e: AdditiveEngine) -> None:
        for operation in COSTS:
            await perform(e, operation)
        matrix = await e.private_matrix(1, np.ones((N, 3), np.uint64) if e.rank == 1 else None, (N, 3))
        for _ in range(3):
            await e.private_linear_t([matrix], [e.public(np.ones(N, np.uint64))], slice(0, N))

    await additive_dealt(2)(protocol, links=network(3, pair))
