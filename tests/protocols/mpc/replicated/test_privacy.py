"""What a party receives tells it nothing: uniform bytes, whatever the inputs; and the test can fail.

The statistic has mean 255 and deviation 22.6 on uniform bytes; 500 is eleven deviations away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.statistics import chi_square
from support.taps import Tap, received_by_each, run_replicated

from hansa.protocols.mpc.fixed_point import encode
from hansa.protocols.mpc.masked_truncation import OFFSET, mask_parts, unmask
from hansa.protocols.mpc.replicated.engine import ReplicatedEngine, ReplicatedMatrix
from hansa.protocols.mpc.session.frames import parse_untrusted
from hansa.protocols.mpc.session.memory import network
from hansa.protocols.mpc.shares import Product, Share

SIZE = 4096
UNIFORM = 500.0


class InsecureLeakyEngine(ReplicatedEngine):
    """What the tests must catch: it forgets the mask when it reshares."""

    async def reshare(self, product: Product) -> Share:
        own = product.parts[0]
        received = await self.session.exchange({self.previous: [own]}, {self.next: [product.shape]})
        return Share((own, received[self.next][0]))

    async def private_matrix(self, owner: int, values: Any, shape: tuple[int, int]) -> ReplicatedMatrix:
        if self.rank == owner:
            await self.session.exchange({self.previous: [values]}, {})
            return ReplicatedMatrix(owner, shape, values)
        received = {} if self.rank == self.next_of(owner) else {owner: [shape]}
        got = await self.session.exchange({}, received)
        return ReplicatedMatrix(owner, shape, got[owner][0] if got else np.zeros(shape, dtype=np.uint64))

    @staticmethod
    def next_of(owner: int) -> int:
        return (owner + 1) % 3


def protocol_for(operation: str, values: np.ndarray, engine: type[ReplicatedEngine] = ReplicatedEngine) -> Any:
    async def protocol(e: ReplicatedEngine) -> None:
        if engine is not ReplicatedEngine:
            e = engine(e.session, e.frac_bits, e.key_own, e.key_next)
        if operation == "matrix":
            table = encode(values, 18).reshape(-1, 8)
            await e.private_matrix(0, table if e.rank == 0 else None, table.shape)
            return
        x = await e.input(0, encode(values, 18) if e.rank == 0 else None, values.shape)
        match operation:
            case "mul":
                await e.reshare(await e.mul(x, x))
            case "truncate":
                await e.truncate(x, 9)
            case "less":
                await e.b2a(await e.msb(x))
            case "sigmoid":
                await e.sigmoid(x, 18)
            case "truncate a product":
                await e.truncate(await e.mul(x, x), 18)
            case "sigmoid of a product":
                await e.sigmoid(await e.mul(x, x), 36)
            case "mux":
                await e.mux(await e.msb(x), x, x + x)

    return protocol


INPUTS = [np.zeros(SIZE), np.full(SIZE, 3.0), np.linspace(-8000, 8000, SIZE)]


OPERATIONS = ["mul", "truncate", "truncate a product", "less", "mux", "sigmoid", "sigmoid of a product", "matrix"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("values", INPUTS, ids=["zeros", "equal", "wide"])
async def test_every_party_receives_uniform_bytes(operation: str, values: np.ndarray) -> None:
    for heard in await received_by_each(protocol_for(operation, values)):
        if heard:
            assert chi_square(heard) < UNIFORM


@pytest.mark.parametrize("operation", ["mul", "matrix"])
async def test_a_leaky_engine_is_caught(operation: str) -> None:
    views = await received_by_each(protocol_for(operation, np.full(SIZE, 3.0), InsecureLeakyEngine))
    assert max(chi_square(heard) for heard in views if heard) > UNIFORM


async def test_two_runs_draw_fresh_randomness() -> None:
    protocol = protocol_for("mul", INPUTS[1])
    first, second = await received_by_each(protocol), await received_by_each(protocol)
    assert all(a != b for a, b in zip(first, second, strict=True) if a)


# --- all that a party knows, together --------------------------------------------------------------------------------


class InsecureRepeatingEngine(ReplicatedEngine):
    """What the test below must catch: every received word is uniform, but one mask hides two numbers."""

    async def truncate(self, x: Any, bits: int) -> Share:
        mask = self.zero_mask(x.size)
        first, second = x.parts[0] + mask, x.parts[0] * np.uint64(3) + mask
        got = await self.session.exchange({self.previous: [first, second]}, {self.next: [x.shape, x.shape]})
        return Share((first, got[self.next][0]))


class Noted:
    """A keystream that keeps what is drawn."""

    def __init__(self, stream: Any, drawn: list[np.ndarray]) -> None:
        self._stream, self._drawn = stream, drawn

    def words(self, *shape: int) -> np.ndarray:
        self._drawn.append(self._stream.words(*shape))
        return self._drawn[-1]


async def view_of(
    rank: int, operation: str, engine: type[ReplicatedEngine] = ReplicatedEngine
) -> tuple[list[Any], list[Any]]:
    """The words that one party receives and those it draws, in vectors."""
    heard: list[bytes] = []
    drawn: list[np.ndarray] = []
    ends = network(3)
    ends[rank] = {peer: Tap(link, heard) for peer, link in ends[rank].items()}
    protocol = protocol_for(operation, np.full(SIZE, 3.0), engine)

    async def noted(e: ReplicatedEngine) -> None:
        own, then = (Noted(k, drawn) if e.rank == rank else k for k in (e.key_own, e.key_next))
        await protocol(ReplicatedEngine(e.session, e.frac_bits, own, then))  # type: ignore[arg-type]

    await run_replicated(noted, links=ends)
    frames = [parse_untrusted(memoryview(message)) for message in heard]
    received = [np.frombuffer(frame.payload, dtype=np.uint64) for frame in frames if frame.dtype == 1]
    return [v for a in received for v in in_vectors(a)], [v for a in drawn for v in in_vectors(a.reshape(-1))]


def in_vectors(words: np.ndarray) -> list[np.ndarray]:
    size = words.size if words.size % SIZE else SIZE  # what is no multiple are planes of bits, left as they are
    return [words[at : at + size] for at in range(0, words.size, size)]


def worst_pair(heard: list[np.ndarray], drawn: list[np.ndarray]) -> float:
    """The least uniform sum, difference or XOR of a received vector and any other that the party has."""
    worst = 0.0
    for at, first in enumerate(heard):
        for second in (other for other in [*heard[at + 1 :], *drawn] if other.size == first.size >= SIZE // 64):
            for mixed in (first + second, first - second, first ^ second):
                worst = max(worst, chi_square(mixed.tobytes()))
    return worst


@pytest.mark.parametrize("operation", ["mul", "truncate", "truncate a product", "less", "sigmoid of a product"])
async def test_no_two_words_a_party_has_hide_with_one_mask(operation: str) -> None:
    for rank in range(3):
        assert worst_pair(*await view_of(rank, operation)) < UNIFORM


async def test_a_mask_used_twice_is_caught() -> None:
    for rank in range(3):
        assert worst_pair(*await view_of(rank, "truncate", InsecureRepeatingEngine)) > UNIFORM


async def test_keystreams_stay_in_step() -> None:
    async def protocol(e: ReplicatedEngine) -> tuple[int, int]:
        for operation in OPERATIONS:
            await protocol_for(operation, np.full(65, 3.0) if operation != "matrix" else np.ones(64))(e)
        return int(e.key_own.words(1)[0]), int(e.key_next.words(1)[0])

    ends = await run_replicated(protocol)
    for rank in range(3):
        assert ends[rank][1] == ends[(rank + 1) % 3][0]


def test_a_truncation_rounds_by_a_number_that_is_as_good_as_drawn_before() -> None:
    """floor((z + d) / 2^b) with d = 2^b - 1 - (c mod 2^b) for who sees c = z + 2^62 + r, and d = r mod 2^b for who knows
    r: either is uniform whatever z is, so the result alone is enough to simulate what each sees (docs/protocols.md)."""
    draw = np.random.default_rng(7)
    z = draw.integers(-(1 << 62) + 1, 1 << 62, 5000)
    r = draw.integers(0, 1 << 64, 5000, dtype=np.uint64)
    c = z.view(np.uint64) + OFFSET + r
    for bits in (1, 9, 18, 40, 61):
        t, m = mask_parts(r, bits)
        none = np.zeros_like(t)
        result = (unmask(c, t, m, bits, first=True) + unmask(c, none, none, bits, first=False)).view(np.int64)
        low = (1 << bits) - 1
        seen, known = (low - (int(v) & low) for v in c), (int(v) & low for v in r)
        assert result.tolist() == [(int(a) + d) >> bits for a, d in zip(z, seen, strict=True)]
        assert result.tolist() == [(int(a) + d) >> bits for a, d in zip(z, known, strict=True)]
