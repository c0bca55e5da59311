"""What each side could try with all it sees: it works against variants that leave a step out, and not against ours."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from support.ot import SAME, insecure_no_hash
from support.statistics import chi_square, chi_square_of_two

from hansa.protocols.mpc.kernels import ot as kernels
from hansa.protocols.mpc.ot.hash import Permutation
from hansa.protocols.mpc.ot.softspoken import FullTrees
from hansa.protocols.mpc.session.memory import network

N = 1 << 14


class InsecureTrees(FullTrees):
    """What the tests must catch: corrections that are the choices themselves."""

    def expand(self, n: int) -> Any:
        planes, sums = super().expand(n)
        sums[:] = 0
        return planes, sums


async def heard(run_one_way: Any, tap: Any, kind: str, choices: Any, offered: Any, party: int) -> bytes:
    """What party 0 (who offers) or 1 (who chooses) receives after the set-up."""
    taps: list[Any] = []
    ends: list[dict[int, Any]] = [{}, {}]
    for rank, links in enumerate(network(2)):
        for peer, link in links.items():
            ends[rank][peer] = tap(link)
            taps.append(ends[rank][peer])

    async def send(ot: Any) -> None:
        await (ot.correlated(offered) if kind == "correlated" else ot.one_of_16(offered.astype(np.uint32)[None]))

    async def receive(ot: Any) -> None:
        await (ot.correlated(choices, N) if kind == "correlated" else ot.one_of_16(choices))

    await run_one_way(send, receive, links=ends)
    return b"".join(message[24:-24] for message in taps[party].heard if len(message) > 2**15)


CHOICES = {
    "correlated": [np.zeros(N // 64, dtype=np.uint64), np.full(N // 64, 2**64 - 1, dtype=np.uint64)],
    "one of 16": [np.zeros(N, dtype=np.uint8), np.full(N, 5, dtype=np.uint8), np.arange(N).astype(np.uint8) & 15],
}


@pytest.mark.parametrize("kind", CHOICES)
async def test_what_the_sender_sees_does_not_depend_on_the_choices(kind: str, run_one_way: Any, tap: Any) -> None:
    offered = np.zeros(N, dtype=np.uint64)
    views = [await heard(run_one_way, tap, kind, choices, offered, 0) for choices in CHOICES[kind]]
    assert len(views[0]) > 60_000
    for view in views:
        assert chi_square(view) < SAME
        assert chi_square_of_two(views[0], view) < SAME


@pytest.mark.parametrize("kind", CHOICES)
async def test_what_the_receiver_sees_does_not_depend_on_the_messages(kind: str, run_one_way: Any, tap: Any) -> None:
    choices = CHOICES[kind][1]
    offers = [np.zeros(N, dtype=np.uint64), np.full(N, 2**64 - 1, dtype=np.uint64)]
    views = [await heard(run_one_way, tap, kind, choices, offered, 1) for offered in offers]
    assert len(views[0]) > 60_000
    assert max(chi_square(view) for view in views) < SAME
    assert chi_square_of_two(*views) < SAME


@pytest.mark.parametrize("kind", CHOICES)
async def test_choices_sent_unmasked_are_caught(
    kind: str, run_one_way: Any, tap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hansa.protocols.mpc.ot.pair._check_sender", _nothing)
    monkeypatch.setattr("hansa.protocols.mpc.ot.pair._check_receiver", _nothing)
    views = []
    for choices in CHOICES[kind][:2]:
        monkeypatch.setattr("hansa.protocols.mpc.ot.pair.FullTrees", InsecureTrees)
        views.append(await heard(run_one_way, tap, kind, choices, np.zeros(N, dtype=np.uint64), 0))
    assert chi_square_of_two(*views) > SAME


async def _nothing(ot: Any) -> None:
    pass


async def test_no_correction_agrees_with_the_choices(run_one_way: Any, to_bits: Any, monkeypatch: Any) -> None:
    """Bit by bit: each tree's corrections, and the XOR of any two trees', agree with the choices half of the time."""
    seen: list[np.ndarray] = []
    correct = kernels.correct

    def watching(planes: Any, first: int, width: int, delta: int, correction: np.ndarray) -> None:
        if len(correction) == N // 64:
            seen.append(correction.copy())
        correct(planes, first, width, delta, correction)

    monkeypatch.setattr(kernels, "correct", watching)
    choices = np.frombuffer(bytearray(os.urandom(N // 8)), dtype=np.uint64)
    deltas = np.zeros(N, dtype=np.uint64)
    await run_one_way(lambda ot: ot.correlated(deltas), lambda ot: ot.correlated(choices, N))
    assert len(seen) == 32
    rows = [to_bits(row, N).astype(np.int64) for row in seen]
    own = to_bits(choices, N).astype(np.int64)
    for i, row in enumerate(rows):
        for other in [np.zeros(N, dtype=np.int64), *rows[:i]]:
            assert abs(int((row ^ other ^ own).sum()) - N // 2) < 400  # six deviations


async def guess_the_other_messages(run_one_way: Any, to_bits: Any) -> float:
    """The receiver learns one message that it did not choose (say, from the application's output); how many more?"""

    async def work(ot: Any) -> Any:
        return await ot.random_bits(N, 64)

    (zero, one), (choices, own) = await run_one_way(work, work)
    other, own_bits = to_bits((zero & choices) | (one & ~choices), N), to_bits(own, N)
    guessed = own_bits ^ own_bits[:, :1] ^ other[:, :1]
    return float((guessed == other).mean())


async def test_without_the_hash_one_message_gives_all_others(
    run_one_way: Any, to_bits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert abs(await guess_the_other_messages(run_one_way, to_bits) - 0.5) < 0.01
    monkeypatch.setattr(Permutation, "__call__", insecure_no_hash)
    assert await guess_the_other_messages(run_one_way, to_bits) == 1.0


def test_without_the_tweak_equal_rows_reuse_a_pad() -> None:
    """Rows that repeat (streams started again, say) leave two messages under one pad; with the tweak they do not."""
    planes = np.zeros((1, 8 * 128 + 8), dtype=np.uint64)
    planes[0, : 8 * 128] = np.where(np.arange(8 * 128) // 8 % 3, np.uint64(2**64 - 1), np.uint64(0))
    rows = np.empty((512, 2), dtype=np.uint64)
    kernels.hash_inputs(planes, 0, rows)
    pads = rows ^ Permutation(bytes(16), 512)(rows)
    assert len(np.unique(pads, axis=0)) == 512
    rows[:, 0] ^= np.arange(512, dtype=np.uint64)  # the insecure variant
    pads = rows ^ Permutation(bytes(16), 512)(rows)
    assert len(np.unique(pads, axis=0)) == 1
