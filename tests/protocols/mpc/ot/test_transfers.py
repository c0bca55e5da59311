"""Each kind of OT gives the receiver what it chose and nothing else, at every size, in both directions at once."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from hansa.protocols.errors import DesyncError
from hansa.protocols.mpc.ot import receiver as receiver_module
from hansa.protocols.mpc.ot import sender as sender_module
from hansa.protocols.mpc.ot import start_pair
from hansa.protocols.mpc.ot.softspoken import CHUNK
from hansa.protocols.mpc.session.memory import parties, run_parties

SIZES = [0, 1, 63, 64, 65, 511, 513, 100_000]


def words(n: int) -> np.ndarray:
    return np.frombuffer(bytearray(os.urandom(8 * n)), dtype=np.uint64)


@pytest.mark.parametrize("w", [1, 3, 4, 5])
async def test_random_bits_at_every_size(w: int, run_both_ways: Any, to_bits: Any) -> None:
    async def send(ot: Any) -> Any:
        return [await ot.random_bits(n, 5) for n in SIZES]

    async def receive(ot: Any) -> Any:
        return [await ot.random_bits(n, 5) for n in SIZES]

    for sent, received in await run_both_ways(send, receive, w):
        for n, (zero, one), (choices, messages) in zip(SIZES, sent, received, strict=True):
            assert zero.shape == one.shape == messages.shape == (5, -(-n // 64))
            assert np.array_equal(
                np.where(to_bits(choices, n), to_bits(one, n), to_bits(zero, n)), to_bits(messages, n)
            )
        zero, one = (to_bits(m, SIZES[-1]) for m in sent[-1])
        choices = to_bits(received[-1][0], SIZES[-1])
        for plane in [*zero, *one, *(zero ^ one), choices, *(zero ^ choices)]:
            assert abs(int(plane.sum()) - 50_000) < 1500  # nine deviations


@pytest.mark.parametrize("bits", [1, 12, 63, 64])
async def test_correlated_at_every_size(bits: int, run_both_ways: Any, to_bits: Any) -> None:
    deltas = [words(n) for n in SIZES]
    deltas[-1][:4] = [0, 1, 2**63, 2**64 - 1]
    choices = [words(-(-n // 64)) for n in SIZES]

    async def send(ot: Any) -> Any:
        return [await ot.correlated(delta, bits) for delta in deltas]

    async def receive(ot: Any) -> Any:
        return [await ot.correlated(choice, n, bits) for choice, n in zip(choices, SIZES, strict=True)]

    mask = np.uint64(2**bits - 1)
    for sent, received in await run_both_ways(send, receive):
        for n, mine, theirs, delta, choice in zip(SIZES, sent, received, deltas, choices, strict=True):
            assert np.array_equal((mine + theirs) & mask, (delta * to_bits(choice, n)) & mask)
            assert n == 0 or max(mine.max(), theirs.max()) <= mask


@pytest.mark.parametrize(("w", "count"), [(2, 1), (3, 1), (4, 1), (4, 2), (4, 32)])
async def test_one_of_16_at_every_size(w: int, count: int, run_both_ways: Any) -> None:
    tables = [words(count * n).astype(np.uint32).reshape(count, n) for n in SIZES]
    choices = [np.frombuffer(os.urandom(n), dtype=np.uint8) & np.uint8(15) for n in SIZES]

    async def send(ot: Any) -> Any:
        for table in tables:
            await ot.one_of_16(table)

    async def receive(ot: Any) -> Any:
        return [await ot.one_of_16(choice, count) for choice in choices]

    for _, received in await run_both_ways(send, receive, w):
        for table, choice, entries in zip(tables, choices, received, strict=True):
            assert np.array_equal(entries, (table >> (2 * choice.astype(np.uint32))) & 3)


async def test_equal_choices_and_every_entry(run_one_way: Any) -> None:
    """All sixteen choices, each alone in a batch of equal ones, against one table."""
    table = np.full((1, 640), 0xE4E4_1B27, dtype=np.uint32)

    async def send(ot: Any) -> Any:
        for _ in range(16):
            await ot.one_of_16(table)

    async def receive(ot: Any) -> Any:
        return [await ot.one_of_16(np.full(640, choice, dtype=np.uint8)) for choice in range(16)]

    _, received = await run_one_way(send, receive)
    assert [set(entries[0].tolist()) for entries in received] == [{(0xE4E4_1B27 >> 2 * c) & 3} for c in range(16)]


async def test_long_batches_are_acknowledged(run_one_way: Any, to_bits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sender_module, receiver_module):
        monkeypatch.setattr(module, "ACK_CHUNKS", 1)
    n = 5 * CHUNK + 77

    async def work(ot: Any) -> Any:
        return await ot.random_bits(n, 1), ot.session.transcript.frames

    ((zero, one), frames), ((choices, messages), _) = await run_one_way(work, work)
    assert np.array_equal(np.where(to_bits(choices, n), to_bits(one, n), to_bits(zero, n)), to_bits(messages, n))
    ((_, _), few), _ = await run_one_way(_small, _small)
    assert frames - few == 4  # of six chunks the last four each wait for the one two before


async def _small(ot: Any) -> Any:
    return await ot.random_bits(1, 1), ot.session.transcript.frames


async def test_parties_must_agree_on_w() -> None:
    async with parties(2) as sessions:
        with pytest.raises(DesyncError, match="another oblivious transfer"):
            await run_parties(sessions, lambda s: start_pair(s, 1 - s.rank, 3 + s.rank))


async def test_every_pair_of_three_parties() -> None:
    async with parties(3) as sessions:

        async def party(session: Any) -> Any:
            found = {}
            for low, high in ((0, 1), (0, 2), (1, 2)):
                if session.rank in (low, high):
                    peer = low + high - session.rank
                    sender, receiver = await start_pair(session, peer)
                    work = sender if session.rank == low else receiver
                    found[low, high] = await work.random_bits(64, 1)
            return found

        results = await run_parties(sessions, party)
    for low, high in ((0, 1), (0, 2), (1, 2)):
        (zero, one), (choices, got) = results[low][low, high], results[high][low, high]
        assert np.array_equal((zero & ~choices) | (one & choices), got)
