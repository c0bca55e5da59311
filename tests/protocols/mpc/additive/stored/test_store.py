"""Correlations made ahead: every party draws the same parcels, each burns its own before any is used, none is used twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.additive.dealerless.correlations import PairwiseCorrelations
from hansa.protocols.mpc.additive.dealerless.engine import DealerlessEngine
from hansa.protocols.mpc.additive.dealerless.preprocessing import make_parcels
from hansa.protocols.mpc.additive.stored import store as parcel_stores
from hansa.protocols.mpc.additive.stored.kinds import (
    MAX_PLACE,
    STORED_KINDS,
    ParcelId,
    StoredKind,
    packed,
    unpacked_untrusted,
    weight,
)
from hansa.protocols.mpc.engines import open_engine
from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.session.memory import parties, run_parties
from hansa.protocols.mpc.session.session import Session

BATCH = bytes(16)
SMALL = {
    kind: StoredKind({"triples": 128, "dabits": 4}.get(kind, 16), stored.shapes)
    for kind, stored in STORED_KINDS.items()
}


class MemoryStore:
    """Parcels in a dictionary; ``burnt`` remembers the order in which they went."""

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.held: dict[tuple[str, ParcelId], bytes] = {}
        self.burnt: list[tuple[str, ParcelId]] = []

    def parcels(self, kind: str) -> list[ParcelId]:
        return sorted(name for held, name in self.held if held == kind)

    def burn(self, kind: str, parcels: Sequence[ParcelId]) -> list[bytes | None]:
        self.burnt += [(kind, name) for name in parcels]
        return [self.held.pop((kind, name), None) for name in parcels]

    def unseal(self, kind: str, parcel: ParcelId, sealed: bytes) -> bytes:
        assert (kind, parcel) in self.burnt
        return sealed

    async def put(self, kind: str, place: int, data: bytes) -> None:
        assert len(data) == STORED_KINDS[kind].parcel_bytes
        self.held[kind, ParcelId(BATCH, place)] = data


@pytest.fixture(autouse=True)
def small_parcels(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, stored in SMALL.items():
        monkeypatch.setitem(STORED_KINDS, kind, stored)


async def made(n: int, first: int = 0, **counts: int) -> list[MemoryStore]:
    """The stores of n parties that have made so many parcels together."""
    held = [MemoryStore(first) for _ in range(n)]

    async def party(session: Session) -> None:
        told: list[int] = []
        await make_parcels(session, counts, held[session.rank].put, told.append)
        assert told == list(range(1, sum(counts.values()) + 1))

    async with parties(n, context=b"making") as sessions:
        await run_parties(sessions, party)
    return held


async def using(held: Sequence[Any], protocol: Any) -> list[Any]:
    async def party(session: Session) -> Any:
        return await protocol(session, await PairwiseCorrelations.start(session, held[session.rank], ot="softspoken"))

    async with parties(len(held), context=b"using") as sessions:
        return await run_parties(sessions, party)


def xor(results: Sequence[Any], place: int) -> np.ndarray:
    return np.bitwise_xor.reduce([result[place] for result in results])


def added(results: Sequence[Any], place: int) -> np.ndarray:
    return np.sum([result[place] for result in results], axis=0, dtype=np.uint64)


@pytest.mark.parametrize("n", [2, 3])
async def test_what_was_made_ahead_is_used_first_and_is_right(n: int) -> None:
    held = await made(n, n - 1, triples=2, bit_triples=2, bit_pairs=1, dabits=2)

    async def protocol(session: Session, source: PairwiseCorrelations) -> Any:
        out = (
            await source.triples(100),
            await source.triples(20_000),  # more than there is: the rest is made
            await source.bit_triples(20, 1),
            await source.bit_triples(20, 2),
            await source.dabits(100),
        )
        assert not held[session.rank].held.keys() - {("dabits", ParcelId(BATCH, 1))}
        assert session.transcript.stored == {
            "triples": 2 * 64 * 128,
            "bit_triples": 2 * 64 * 16,
            "bit_pairs": 64 * 16,
            "dabits": 64 * 4,
        }
        assert session.transcript.drawn["triples"] == 64 * (2 + 313)
        return out

    results = await using(held, protocol)
    for place in (0, 1):
        triples = [result[place] for result in results]
        np.testing.assert_array_equal(added(triples, 2), added(triples, 0) * added(triples, 1))
        assert len(np.unique(added(triples, 0))) == triples[0][0].size
    for place in (2, 3):
        bits = [result[place] for result in results]
        np.testing.assert_array_equal(xor(bits, 2), xor(bits, 0) & xor(bits, 1))
    dabits = [result[4] for result in results]
    np.testing.assert_array_equal(added(dabits, 1), unpack_bits(xor(dabits, 0), 100))


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("loser", [0, 1])
async def test_what_one_party_lost_is_used_by_nobody(n: int, loser: int) -> None:
    held = await made(n, 0, bit_triples=4)
    del held[loser].held["bit_triples", ParcelId(BATCH, 1)]

    async def protocol(session: Session, source: PairwiseCorrelations) -> Any:
        a, b, c = await source.bit_triples(48, 1)
        return a, b, c, session.transcript.stored["bit_triples"]

    results = await using(held, protocol)
    np.testing.assert_array_equal(xor(results, 2), xor(results, 0) & xor(results, 1))
    assert [result[3] for result in results] == [3 * 16 * 64] * n
    assert all(("bit_triples", ParcelId(BATCH, place)) not in each.held for each in held for place in (0, 2, 3))


async def test_every_party_has_burnt_a_parcel_before_any_uses_it() -> None:
    held = await made(3, 1, bit_triples=2)
    for copied in (0, 1, 2):  # a copy put back at one party alone, whichever it is, finds nobody to use it with
        copy = dict(held[copied].held)

        async def protocol(session: Session, source: PairwiseCorrelations) -> Any:
            await source.bit_triples(16, 1)
            assert {len(each.held) for each in held} == {1}
            return session.transcript.stored["bit_triples"]

        before = [dict(each.held) for each in held]
        assert await using(held, protocol) == [16 * 64] * 3
        held[copied].held |= copy

        async def again(session: Session, source: PairwiseCorrelations) -> Any:
            await source.bit_triples(32, 1)
            return session.transcript.stored["bit_triples"]

        assert await using(held, again) == [16 * 64] * 3  # the one parcel that nobody had used
        for each, held_before in zip(held, before, strict=True):
            each.held = dict(held_before)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("when", ["burn", "unseal"])
async def test_a_party_that_dies_between_burning_and_using_wastes_some_and_repeats_none(n: int, when: str) -> None:
    held = await made(n, 0, bit_triples=4)
    dying = held[1]

    class Killed(Exception):
        pass

    def kill(*args: Any) -> Any:
        if when == "burn":
            MemoryStore.burn(dying, *args)
        raise Killed

    async def protocol(session: Session, source: PairwiseCorrelations) -> Any:
        return await source.bit_triples(32, 1)

    setattr(dying, when, kill)
    with pytest.raises(Killed):
        await using(held, protocol)
    delattr(dying, when)
    gone = [set(each.burnt) for each in held]
    assert gone == [{("bit_triples", ParcelId(BATCH, place)) for place in (0, 1)}] * n
    results = await using(held, protocol)
    np.testing.assert_array_equal(xor(results, 2), xor(results, 0) & xor(results, 1))
    for each, before in zip(held, gone, strict=True):
        assert each.held == {}
        assert len(each.burnt) == 4 == len(before) + 2


async def test_parties_whose_parcels_have_nothing_in_common_make_all_anew() -> None:
    held = await made(2, 0, bit_triples=2)
    held[0].held = {(kind, ParcelId(b"o" * 16, name.place)): data for (kind, name), data in held[0].held.items()}

    async def protocol(session: Session, source: PairwiseCorrelations) -> Any:
        results = [await source.bit_triples(20, 1) for _ in range(2)]
        return [np.concatenate([result[part] for result in results], axis=-1) for part in range(3)] + [
            session.transcript.stored["bit_triples"]
        ]

    results = await using(held, protocol)
    np.testing.assert_array_equal(xor(results, 2), xor(results, 0) & xor(results, 1))
    assert results[0][3] == 0
    assert held[0].held == {}  # of no use to anybody, and gone
    assert len(held[1].held) == 2


async def test_an_engine_multiplies_and_compares_with_what_was_made_ahead() -> None:
    held = await made(3, 0, triples=1, bit_triples=6, bit_pairs=6, dabits=1)
    x, y = np.arange(64, dtype=np.uint64), np.arange(64, dtype=np.uint64)[::-1].copy()

    async def party(session: Session) -> Any:
        with_store = held[session.rank]
        async with open_engine(session, "additive", parties=3, computing=(), frac_bits=18, store=with_store) as e:
            assert isinstance(e, DealerlessEngine)
            a = await e.input(0, x if e.rank == 0 else None, x.shape)
            b = await e.input(2, y if e.rank == 2 else None, y.shape)
            product = await e.reshare(await e.mul(a, b))
            smaller = await e.b2a(await e.less(a, b))
            return *await e.open(product, smaller, what="test"), session.transcript.stored

    async with parties(3, context=b"using") as sessions:
        for product, smaller, stored in await run_parties(sessions, party):
            np.testing.assert_array_equal(product, x * y)
            np.testing.assert_array_equal(smaller, x < y)
            assert set(stored) == set(STORED_KINDS)
            assert all(stored.values())


@pytest.mark.parametrize("said", [b"x" * 19, packed([ParcelId(BATCH, 1)] * 2), packed([ParcelId(BATCH, 2**30)])])
async def test_names_that_cannot_be_are_refused(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    held = await made(2, 0, bit_triples=2)
    monkeypatch.setattr(parcel_stores, "packed", lambda named: said)

    async def protocol(session: Session, source: PairwiseCorrelations) -> Any:
        return await source.bit_triples(32, 1)

    with pytest.raises(PeerMisbehaved, match="party 0 names parcels of correlations that cannot be"):
        await using(held, protocol)


@pytest.mark.parametrize("n", [2, 3])
async def test_an_answer_that_is_neither_yes_nor_no_is_refused(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    held = await made(n, 0, bit_triples=1)
    asked = Session.exchange

    async def lying(self: Session, outgoing: Any, incoming: Any, dtype: Any = np.uint64) -> Any:
        if self.rank == 1 and dtype is np.uint8:
            outgoing = {peer: [array + np.uint8(1)] for peer, (array,) in outgoing.items()}
        return await asked(self, outgoing, incoming, dtype)

    async def protocol(session: Session, source: PairwiseCorrelations) -> Any:
        monkeypatch.setattr(Session, "exchange", lying)
        return await source.bit_triples(16, 1)

    with pytest.raises(PeerMisbehaved, match="party 1 answers neither yes nor no"):
        await using(held, protocol)


async def test_a_count_that_cannot_be_is_refused() -> None:
    held = await made(2, 0, bit_triples=1)

    class Boasting(MemoryStore):
        def parcels(self, kind: str) -> Any:
            class Many(list[ParcelId]):
                def __len__(self) -> int:
                    return 2**24 + 1

            return Many()

    async def protocol(session: Session, source: PairwiseCorrelations) -> None:
        pass

    with pytest.raises(PeerMisbehaved, match="party 0 claims to have 16777217 parcels"):
        await using([Boasting(), held[1]], protocol)


@given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, MAX_PLACE - 1)), unique=True))
def test_names_survive_the_wire(names: list[tuple[bytes, int]]) -> None:
    parcels = [ParcelId(*name) for name in names]
    assert unpacked_untrusted(packed(parcels)) == parcels
    assert unpacked_untrusted(packed(parcels) + b"x") is None
    assert not parcels or unpacked_untrusted(packed([*parcels, parcels[0]])) is None


def test_what_parcels_weigh() -> None:
    assert weight({"bit_triples": 1}) == weight({"bit_triples": 64 * 16}) == 3 * 16 * 8
    assert weight({"bit_triples": 64 * 16 + 1, "dabits": 0}) == 2 * 3 * 16 * 8
    assert weight({}) == 0
