"""Silent OTs: right across rounds' borders, as costly as documented, private, and refusing what is malformed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from support.ot import SAME, insecure_no_hash
from support.statistics import chi_square, chi_square_of_two

from hansa.protocols.errors import DesyncError, PeerMisbehaved
from hansa.protocols.mpc.kernels import silent as kernels
from hansa.protocols.mpc.ot import start_pair
from hansa.protocols.mpc.ot.hash import Permutation
from hansa.protocols.mpc.ot.silent import ferret, random_ots
from hansa.protocols.mpc.ot.silent.ferret import CHUNK_ROWS, FIRST, MAIN, RESERVED, LpnParams
from hansa.protocols.mpc.ot.silent.half_trees import HalfTrees
from hansa.protocols.mpc.session.memory import network, parties, run_parties

SIZES = [0, 1, 511, 513, 70_000]
CHUNK = 16 * MAIN.depth * MAIN.together
ROUND = (MAIN.chunks - RESERVED) * CHUNK_ROWS


def words(n: int) -> np.ndarray:
    return np.frombuffer(bytearray(os.urandom(8 * n)), dtype=np.uint64)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of four chunks, one of them for the next; far too small to be safe."""
    first, main = LpnParams(k=512, trees=256, depth=8), LpnParams(k=2000, trees=1024, depth=8)
    for name, value in {"FIRST": first, "MAIN": main, "RESERVED": 1, "USABLE": 3}.items():
        monkeypatch.setattr(ferret, name, value)
    monkeypatch.setattr("hansa.protocols.mpc.ot.pair.FIRST", first)


async def test_random_bits_at_every_size(run_both_ways: Any, to_bits: Any) -> None:
    async def work(ot: Any) -> Any:
        return [await ot.random_bits(n, 5) for n in SIZES]

    for sent, received in await run_both_ways(work, work, silently=True):
        for n, (zero, one), (choices, got) in zip(SIZES, sent, received, strict=True):
            assert zero.shape == one.shape == got.shape == (5, -(-n // 64))
            assert np.array_equal(np.where(to_bits(choices, n), to_bits(one, n), to_bits(zero, n)), to_bits(got, n))
        zero, one = (to_bits(m, SIZES[-1]) for m in sent[-1])
        choices = to_bits(received[-1][0], SIZES[-1])
        for plane in [*zero, *one, *(zero ^ one), choices, *(zero ^ choices)]:
            assert abs(int(plane.sum()) - SIZES[-1] // 2) < 1200  # nine deviations


async def test_all_kinds_across_rounds(small: None, run_both_ways: Any, to_bits: Any) -> None:
    """Eleven rounds, entered in the middle of calls of each kind."""
    n = 150_000
    delta, chosen = words(n), words(-(-n // 64))
    tables, entries = words(n).astype(np.uint32)[None], words(n).astype(np.uint8) & np.uint8(15)

    async def send(ot: Any) -> Any:
        random, share = await ot.random_bits(n, 2), await ot.correlated(delta)
        await ot.one_of_16(tables)
        return random, share, await ot.correlated(delta, 12)

    async def receive(ot: Any) -> Any:
        random, share = await ot.random_bits(n, 2), await ot.correlated(chosen, n)
        got = await ot.one_of_16(entries)
        return random, share, await ot.correlated(chosen, n, 12), got

    bits = to_bits(chosen, n).astype(np.uint64)
    for ((zero, one), whole, short), ((own, message), their_whole, their_short, got) in await run_both_ways(
        send, receive, silently=True
    ):
        assert np.array_equal((zero & ~own) | (one & own), message)
        assert np.array_equal(whole + their_whole, delta * bits)
        assert np.array_equal((short + their_short) % 4096, delta * bits % 4096)
        assert np.array_equal(got, (tables >> (2 * entries.astype(np.uint32))) & 3)


@pytest.mark.slow
async def test_a_whole_round(run_both_ways: Any) -> None:
    async def work(ot: Any) -> Any:
        return await ot.random_bits(ROUND + 5, 1)

    for (zero, one), (own, message) in await run_both_ways(work, work, silently=True):
        assert np.array_equal((zero & ~own) | (one & own), message)


def test_a_round_pays_for_the_next() -> None:
    assert FIRST.trees << FIRST.depth >= MAIN.seeds
    assert MAIN.seeds <= RESERVED * CHUNK_ROWS
    assert MAIN.trees << MAIN.depth == MAIN.chunks * CHUNK_ROWS == ROUND + RESERVED * CHUNK_ROWS


async def test_costs(run_one_way: Any) -> None:
    """From the first call on: the first round's messages and the first chunk's, then a chunk's each 65,536 rows."""

    async def costs(ot: Any, *works: Any) -> list[int]:
        found = []
        for work in works:
            before = ot.session.transcript.bytes_sent
            await work()
            found.append(ot.session.transcript.bytes_sent - before)
        return found

    n, zeros = 10 * CHUNK_ROWS, np.zeros(10 * CHUNK_ROWS, dtype=np.uint64)

    async def send(ot: Any) -> Any:
        return await costs(
            ot,
            lambda: ot.random_bits(n - 2560, 1),  # the trial took 512 of the first chunk, and 512 times four
            lambda: ot.correlated(zeros),
            lambda: ot.one_of_16(zeros.astype(np.uint32)[None]),
        )

    async def receive(ot: Any) -> Any:
        return await costs(
            ot,
            lambda: ot.random_bits(n - 2560, 1),
            lambda: ot.correlated(zeros[: n // 64], n),
            lambda: ot.one_of_16(zeros.astype(np.uint8)),
        )

    sent, received = await run_one_way(send, receive, silently=True)
    assert sent == [9 * CHUNK, 10 * CHUNK + 8 * n, (40 + RESERVED) * CHUNK + 4 * n]
    assert received == [0, n // 8, 4 * n // 8]


async def test_setting_up() -> None:
    async with parties(2) as sessions:

        async def party(session: Any) -> int:
            before = session.transcript.bytes_sent
            await start_pair(session, 1 - session.rank, silently=True)
            return int(session.transcript.bytes_sent - before)

        low, high = await run_parties(sessions, party)
    assert (low, high) == (725_424, 723_344)


def test_comparisons_cost_less_than_100_bytes() -> None:
    """A million of them: sixteen 1-of-16 OTs and 2·15 random ones each, 41 opened bits each way, and the set-up."""
    rows = 16 * 4 + 2 * 15
    ahead = (1 + RESERVED / (MAIN.chunks - RESERVED)) * CHUNK / CHUNK_ROWS
    total = 16 * (4 + 4 / 8) + rows * ahead + 2 * 41 / 8 + (725_424 + 723_344) / 10**6
    assert total < 93


# --- what each side sees ---------------------------------------------------------------------------------------------


async def heard(run_one_way: Any, tap: Any, choices: Any, offered: Any, party: int) -> bytes:
    """What party 0 (who offers) or 1 (who chooses) receives after the set-up, of COTs."""
    taps: list[Any] = []
    ends: list[dict[int, Any]] = [{}, {}]
    for rank, links in enumerate(network(2)):
        for peer, link in links.items():
            ends[rank][peer] = tap(link)
            taps.append(ends[rank][peer])
    marks: list[int] = []

    async def send(ot: Any) -> None:
        marks.append(len(taps[0].heard))
        await ot.correlated(offered)

    async def receive(ot: Any) -> None:
        marks.append(len(taps[1].heard))
        await ot.correlated(choices, len(offered))

    await run_one_way(send, receive, links=ends, silently=True)
    messages = taps[party].heard[min(marks) :]
    return b"".join(message[24:-24] for message in messages if len(message) > 2500)


async def test_what_is_received_does_not_depend_on_the_other_side(run_one_way: Any, tap: Any) -> None:
    n = 1 << 18
    ones = np.full(n // 64, 2**64 - 1, dtype=np.uint64)
    offers = np.zeros(n, dtype=np.uint64), np.full(n, 2**64 - 1, dtype=np.uint64)
    to_sender = [await heard(run_one_way, tap, choices, offers[0], 0) for choices in (0 * ones, ones)]
    to_receiver = [await heard(run_one_way, tap, ones, offered, 1) for offered in offers]
    for views, least in ((to_sender, n // 8), (to_receiver, 8 * n)):
        assert min(map(len, views)) > least - 100  # but for labels
        assert max(chi_square(view) for view in views) < SAME
        assert chi_square_of_two(*views) < SAME


async def test_without_the_hash_one_message_gives_all_others(
    run_one_way: Any, to_bits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that learns one message that it did not choose: without the hash it knows D, and with it all others."""
    n = 1 << 14

    async def guessed() -> float:
        async def work(ot: Any) -> Any:
            return await ot.random_bits(n, 64)

        (zero, one), (choices, own) = await run_one_way(work, work, silently=True)
        other, mine = to_bits((zero & choices) | (one & ~choices), n), to_bits(own, n)
        return float(((mine ^ mine[:, :1] ^ other[:, :1]) == other).mean())

    assert abs(await guessed() - 0.5) < 0.01
    monkeypatch.setattr(Permutation, "__call__", insecure_no_hash)
    assert await guessed() == 1.0


def test_opened_rows_of_a_tree_would_show_the_noise() -> None:
    """What the code hides: leaves alone have a choice bit of 1 in one place a tree, uniform, and the code spreads it."""
    places, ones = noise(trees=16, depth=8, runs=64)
    assert (ones == 1).all()
    assert abs(places.mean() - 127.5) < 6 * 256 / 12**0.5 / 32
    assert len(np.unique(places)) > 230  # of 256; 251 are expected of 1,024
    assert all(abs(int(((places >> b) & 1).sum()) - 512) < 6 * 16 for b in range(8))


def noise(trees: int, depth: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the receiver's leaf is not the sender's, of each tree; also that it differs by D there, and nowhere else."""
    places, ones = [], []
    half = HalfTrees(bytes(16), trees << depth)
    for _ in range(runs):
        delta = random_ots.random_delta()
        q = words(2 * depth * trees).reshape(depth, trees, 2)
        q[:, :, 0] &= ~np.uint64(1)
        bits = words(depth * trees).reshape(depth, trees, 1) & np.uint64(1)
        leaves, message = half.grow(words(2 * trees).reshape(trees, 2), delta, q)
        known, at = half.regrow(q ^ bits * delta, message)
        different = (leaves ^ known).reshape(-1, trees, 2)
        missing = different.any(axis=2)
        assert np.array_equal(different[missing], np.broadcast_to(delta, (trees, 2)))
        assert np.array_equal(np.argmax(missing, axis=0), at // trees)
        places.append(at // trees)
        ones.append(missing.sum(axis=0))
    return np.concatenate(places), np.concatenate(ones)


def test_sixteen_multiples_of_the_secret() -> None:
    """D_y ^ D_z is D_(y ^ z), none but D_0 is 0, and the field's reduction is that of a plain reference."""
    delta = random_ots.random_delta()
    found = [int.from_bytes(row.tobytes(), "little") for row in random_ots.multiples(delta)]
    powers = [int.from_bytes(delta.tobytes(), "little")]
    for _ in range(3):
        double = powers[-1] << 1
        powers.append(double ^ (1 << 128 | 0x87) if double >> 128 else double)
    for y in range(16):
        expected = 0
        for b in range(4):
            expected ^= powers[b] * (y >> b & 1)
        assert found[y] == expected
    assert len(set(found)) == 16
    assert delta[0] & np.uint64(1)


class _Given:
    """Rows of a sender that are given."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def take(self, n: int) -> np.ndarray:
        return self._rows[:n]


def test_sixteen_pads_have_no_sum_that_others_give_away() -> None:
    """The XOR of four OTs' pads would: pads 0, 1, 2 and 3 of it add up to zero, so three tables' entries open a fourth."""
    delta, rows = random_ots.random_delta(), words(8 * 512).reshape(-1, 2)
    sender = random_ots.SilentOneOf16Sender(_Given(rows), delta, bytes(16))  # type: ignore[arg-type]
    ((_, (before, after)),) = sender.pads(512, np.zeros((4, 8), dtype=np.uint64))
    pads = before ^ after
    for low, high in ((1, 2), (4, 8), (5, 10)):
        assert (pads[0] ^ pads[low] ^ pads[high] ^ pads[low ^ high]).any(axis=1).all()
    bits = random_ots.SilentOneOf2Sender(_Given(rows), delta, bytes(16))  # type: ignore[arg-type]
    ((_, zero, one),) = bits.pads(2048, np.empty((0, 32), dtype=np.uint64))
    each = np.stack([zero[0] ^ zero[1], one[0] ^ one[1]]).reshape(2, 512, 4, 2)
    insecure = [each[y & 1, :, 0] ^ each[y >> 1 & 1, :, 1] ^ each[0, :, 2] ^ each[0, :, 3] for y in range(4)]
    assert not (insecure[0] ^ insecure[1] ^ insecure[2] ^ insecure[3]).any()


def test_the_code_is_what_it_says() -> None:
    rows, seed = words(2 * 512).reshape(-1, 2), words(2 * 100).reshape(-1, 2)
    indices = words(5 * 512).view(np.uint32)
    expected = rows.copy()
    expected[:, 0] &= ~np.uint64(1)
    for i in range(512):
        for index in indices[10 * i : 10 * i + 10]:
            expected[i] ^= seed[int(index) * 100 >> 32]
    kernels.encode(rows, seed, indices)
    assert np.array_equal(rows, expected)


# --- malformed messages ----------------------------------------------------------------------------------------------


class _Short:
    """A sender whose messages for trees are a level short."""

    async def exchange(self, outgoing: Any, incoming: Any) -> Any:
        return await self._session.exchange(
            {peer: [part[1:] for part in parts] for peer, parts in outgoing.items()}, {}
        )

    def __init__(self, session: Any) -> None:
        self._session = session

    def adopt_step(self, session: Any) -> None:
        self._session.adopt_step(session)


async def test_a_message_of_another_size_is_refused(run_one_way: Any) -> None:
    async def send(ot: Any) -> None:
        ot._bits._source._link = _Short(ot._bits._source._link)
        await ot.random_bits(2 * CHUNK_ROWS, 1)

    async def receive(ot: Any) -> None:
        await ot.random_bits(2 * CHUNK_ROWS, 1)

    with pytest.raises(DesyncError, match=r"party 0 is at .* bytes of uint64"):
        await run_one_way(send, receive, silently=True)


async def test_a_damaged_seed_is_found_in_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows of 31,232: the code spreads them, so that hardly any OT works."""
    offered = random_ots.offered_seed

    def damaged(keys: np.ndarray, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, message = offered(keys, delta)
        message[:64] ^= np.uint64(1 << 40)  # half of these rows have the choice that the message is for
        return rows, message

    monkeypatch.setattr(random_ots, "offered_seed", damaged)

    async def party(session: Any) -> None:
        with session.step("setup"):
            await start_pair(session, 1 - session.rank, silently=True)

    async with parties(2) as sessions:
        with pytest.raises(PeerMisbehaved, match=r"transfers set up with party \d do not work, step setup"):
            await run_parties(sessions, party)


async def test_parties_must_agree_on_the_source() -> None:
    async with parties(2) as sessions:
        with pytest.raises(DesyncError, match="another oblivious transfer"):
            await run_parties(sessions, lambda s: start_pair(s, 1 - s.rank, silently=s.rank == 1))
