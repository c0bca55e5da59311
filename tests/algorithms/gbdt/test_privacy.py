"""What a party sees of a whole training: the openings that are stated, and for the rest nothing that depends on others' data.

If all labels are turned round, gradients change their sign and hessians stay: every split is the same, and so is every opening.
So all that parties receive must then have the same sizes and the same distribution.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES
from support.gbdt_cases import Case, Trained, make, train
from support.slow import slow
from support.taps import Tap

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.session.memory import network
from hansa.protocols.mpc.shares import Share

SAME = 420.0
"""The statistic has mean 255 and deviation 22.6 where two samples are of one distribution."""
LEAST = 5_000
"""Bytes in a sample for it to be looked at."""
MEMBERS = {"replicated": 3, "additive, dealer, 2": 3, "additive, 2": 2}
Inputs = Callable[[Engine, int, Ring | None, tuple[int, ...]], Awaitable[Share]]


@dataclass
class View:
    """What was received over each link, and what was opened."""

    heard: dict[tuple[int, int], list[bytes]]
    openings: list[list[tuple[str, tuple[int, ...], int]]]
    results: list[Trained]

    def by_size(self, rank: int) -> dict[tuple[int, int], list[bytes]]:
        """What one party received, by peer and size: messages of steps side by side may overtake each other."""
        found: dict[tuple[int, int], list[bytes]] = {}
        for (receiver, peer), messages in self.heard.items():
            for message in messages if receiver == rank else ():
                found.setdefault((peer, len(message)), []).append(message[24:])
        return found


async def view(engine: str, case: Case, careless: Inputs | None = None) -> View:
    members = MEMBERS[engine]
    heard: dict[tuple[int, int], list[bytes]] = {}
    ends = []
    for rank, links in enumerate(network(members)):
        ends.append({peer: Tap(link, heard.setdefault((rank, peer), [])) for peer, link in links.items()})

    async def party(e: Any) -> Trained:
        if careless is not None:
            e.input = lambda *args: careless(e, *args)
        return await train(e, case)

    results = await ENGINES[engine](party, links=ends)
    openings = [
        [(each.what, each.to, each.elements) for each in result.learner._e.session.transcript.openings]
        for result in results
    ]
    return View(heard, openings, results)


def distance(one: View, other: View, rank: int) -> float:
    """Pearson's statistic of the bytes received in two runs having one distribution: the greatest of all peers and sizes.

    Raises ``AssertionError`` where not as many messages of each size came from each peer.
    """
    found = []
    first, second = one.by_size(rank), other.by_size(rank)
    assert {key: len(messages) for key, messages in first.items()} == {key: len(m) for key, m in second.items()}
    for key, messages in first.items():
        a, b = (np.bincount(np.frombuffer(b"".join(m), np.uint8), minlength=256) for m in (messages, second[key]))
        if a.sum() >= LEAST:
            expected = np.maximum(a + b, 1) / (a.sum() + b.sum())
            found.append(sum(((c - c.sum() * expected) ** 2 / (c.sum() * expected)).sum() for c in (a, b)))
    return float(max(found, default=0.0))


def turned(engine: str) -> tuple[Case, Case]:
    """A case and the same with all labels turned round."""
    case = make("logistic", rows=800)
    case.params |= {"n_estimators": 1, "max_depth": 3, "base_score": 0.5}
    case.y = np.where(np.arange(800) % 4 == 0, case.y, 1.0)  # most are 1
    return case, replace(case, y=1 - case.y)


@pytest.mark.parametrize("engine", MEMBERS)
async def test_turning_the_labels_round_changes_nothing_that_anybody_sees(engine: str) -> None:
    one, other = [await view(engine, case) for case in turned(engine)]
    assert one.openings == other.openings
    for first, second in zip(one.results, other.results, strict=True):
        assert first.model.trees[0].splits == second.model.trees[0].splits
        assert np.abs(first.margins + second.margins).max() < 1e-3  # and yet the models are opposite
    for rank in range(MEMBERS[engine]):
        assert distance(one, other, rank) < SAME


async def insecure_input(e: Engine, owner: int, values: Ring | None, shape: tuple[int, ...]) -> Share:
    """Sends what it should share."""
    s = e.session
    if values is not None:
        for peer in s.peers:
            await s.send(peer, values)
        return e.public(values)
    return e.public((await s.recv(owner, np.uint64, int(np.prod(shape)))).reshape(shape))


async def insecure_offset_input(e: Engine, owner: int, values: Ring | None, shape: tuple[int, ...]) -> Share:
    """Masks all numbers by one."""
    offset = np.frombuffer(np.random.default_rng(5).bytes(8), dtype=np.uint64)
    shared = await insecure_input(e, owner, None if values is None else values + offset, shape)
    return e.add_public(shared, np.uint64(0) - offset)


@pytest.mark.parametrize("careless", [slow(insecure_input), insecure_offset_input])
async def test_a_careless_variant_is_caught(careless: Inputs) -> None:
    one, other = [await view("additive, 2", case, careless) for case in turned("additive, 2")]
    assert max(distance(one, other, rank) for rank in range(2)) > SAME


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        *((engine, "logistic") for engine in MEMBERS),
        ("replicated", "partition"),
        ("additive, dealer, 2", "partition"),
        slow("additive, 2", "partition"),
    ],
)
async def test_just_what_is_stated_is_opened(engine: str, name: str) -> None:
    """Of every level the owners of its nodes, to each owner as many places (and sets) as it has nodes, and importance."""
    case = make(name)
    found = await view(engine, case)
    trees = found.results[0].model.trees
    each = 2 if name == "partition" else 1
    parties = len(found.results)
    expected = []
    for tree in trees:
        for level in range(2):
            owners = tree.owners[(1 << level) - 1 : (2 << level) - 1]
            expected.append(("split owners", tuple(range(parties)), len(owners)))
            for rank in sorted(set(owners)):
                expected += [(f"splits of party {rank}", (rank,), each * owners.count(rank))]
    expected.append(("margins", tuple(range(parties)), len(case.x)))  # the test's own
    widths = case.widths(parties)
    expected += [(f"importance of party {rank}", (rank,), 3 * width) for rank, width in enumerate(widths)]
    for seen in found.openings:
        assert seen == expected
