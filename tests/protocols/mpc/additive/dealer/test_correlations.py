"""What the dealer deals is what it says, what it may be asked is bounded, and its faults end at everyone by name."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import pytest
import trio
from support.engines import additive_dealt, dealt_party

from hansa.protocols.errors import DesyncError, PeerAborted, PeerLost, PeerMisbehaved, ProtocolError
from hansa.protocols.mpc.additive.correlations import STEP, planes_of, sigmoid_bits
from hansa.protocols.mpc.additive.dealer import dealer
from hansa.protocols.mpc.additive.dealer.correlations import DealerCorrelations
from hansa.protocols.mpc.additive.dealer.dealer import MAX_PADS, MAX_VECTOR, MAX_WORDS, CorrelationDealer
from hansa.protocols.mpc.additive.dealer.specs import DealerRequest, planes_under
from hansa.protocols.mpc.additive.engine import AdditiveEngine
from hansa.protocols.mpc.fourier import TRIG_BITS, angles
from hansa.protocols.mpc.kernels.bits import unpack_bits
from hansa.protocols.mpc.session.memory import network, outcomes_of_parties, parties
from hansa.protocols.mpc.session.session import Session, open_session
from hansa.protocols.mpc.session.transcript import Phase

xor = np.bitwise_xor.reduce
add = partial(np.add.reduce, axis=0)


async def draw(n: int, ask: Any) -> list[Any]:
    """The summands of one draw at each of n parties, by array."""
    drawn = await additive_dealt(n)(lambda e: ask(e.correlations))
    return list(zip(*drawn, strict=True))


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("size", [0, 1, 64, 100])
async def test_triples_and_masks_are_right(n: int, size: int) -> None:
    a, b, c = (add(part) for part in await draw(n, lambda c: c.triples(size)))
    np.testing.assert_array_equal(c, a * b)
    r, t, m = (add(part) for part in await draw(n, lambda c: c.truncation_masks(size, 20)))
    np.testing.assert_array_equal(t, (r & np.uint64(2**63 - 1)) >> np.uint64(20))
    np.testing.assert_array_equal(m, r >> np.uint64(63))
    assert a.size == r.size == size
    bits, ring = await draw(n, lambda c: c.dabits(size))
    np.testing.assert_array_equal(unpack_bits(xor(bits), size), add(ring))


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("width", [1, 2])
async def test_bit_triples_are_right(n: int, width: int) -> None:
    a, b, c = (xor(part) for part in await draw(n, lambda c: c.bit_triples(7, width)))
    assert b.shape == (width, 7)
    np.testing.assert_array_equal(c, a & b)


async def test_comparison_masks_hold_all_products_of_the_bits_of_a_block() -> None:
    r, planes = await draw(3, lambda c: c.comparison_masks(100))
    total, products = add(r), xor(planes)
    bits = (total[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    padded = np.concatenate((np.zeros((100, 1), np.uint64), bits), axis=1)
    for block in range(16):
        for subset in range(1, 16):
            places = [4 * block + i for i in range(4) if subset >> i & 1]
            found = unpack_bits(products[15 * block + subset - 1], 100)
            np.testing.assert_array_equal(found, padded[:, places].prod(axis=1))
    np.testing.assert_array_equal(unpack_bits(products[-1], 100), bits[:, 63])
    assert products.shape[0] == planes_of(63) == 241


@pytest.mark.parametrize("scale", [16, 18, 36, 44])
async def test_trig_masks_belong_to_their_mask(scale: int) -> None:
    masks = await additive_dealt(2)(lambda e: e.correlations.trig_masks(10, scale))
    r, trig = add([m.r for m in masks]), add([m.trig for m in masks])
    turns = angles(r, scale)
    np.testing.assert_allclose(trig.view(np.int64) / 2.0**TRIG_BITS, [np.sin(turns), np.cos(turns)], atol=2.0**-20)
    planes = xor([m.planes for m in masks])
    np.testing.assert_array_equal(
        unpack_bits(planes[-1], 10), unpack_bits(planes_under(r, sigmoid_bits(scale))[-1], 10)
    )


@pytest.mark.parametrize("transposed", [False, True])
async def test_products_with_a_pad(transposed: bool) -> None:
    async def ask(e: AdditiveEngine) -> Any:
        pad = await e.correlations.pad(1, (9, 5))
        await e.correlations.triples(3)
        b, c = await e.correlations.pad_products(pad, slice(3, 8), transposed)
        if e.rank != 1:
            with pytest.raises(ProtocolError, match="another than its owner"):
                pad.rows(slice(0, 9))
        return b, c, pad.rows(slice(0, 9)) if e.rank == 1 else None, pad.rows(slice(3, 8)) if e.rank == 1 else None

    b, c, whole, some = zip(*await additive_dealt(3)(ask), strict=True)
    np.testing.assert_array_equal(whole[1][3:8], some[1])
    assert not b[1].any()
    np.testing.assert_array_equal(add(c), (some[1].T if transposed else some[1]) @ add(b))


async def test_no_correlation_comes_twice() -> None:
    """Neither from stock nor from fresh orders, of whatever size the draws are."""

    async def protocol(e: AdditiveEngine) -> Any:
        return np.concatenate([(await e.correlations.triples(size))[0] for size in (1, 70, 5000, 64, 300_000, 1, 1)])

    for drawn in await additive_dealt(2)(protocol):
        assert np.unique(drawn).size == drawn.size


async def test_stock_stays_within_its_bounds() -> None:
    async def protocol(e: AdditiveEngine) -> Any:
        most = 0
        for bits in range(1, 60):
            for _ in range(5):
                await e.correlations.truncation_masks(64_000, bits)
                most = max(most, e.correlations._ahead)
        return most

    from hansa.protocols.mpc.additive.dealer.correlations import AHEAD_WORDS

    most = await additive_dealt(2)(protocol)
    assert 0 < most[0] <= AHEAD_WORDS
    assert most[0] == most[1]


def request(*words: int) -> np.ndarray:
    return np.array([*words, *[0] * (5 - len(words))], dtype=np.uint64)


def test_a_dealer_refuses_what_no_honest_party_asks_for_before_it_allocates() -> None:
    deal = CorrelationDealer([bytes(32), bytes([1]) * 32], b"context")
    most = MAX_WORDS // (3 * 64)
    for wrong in (
        (99, 1),
        (DealerRequest.TRIPLES, 0),
        (DealerRequest.TRIPLES, most + 1),
        (DealerRequest.TRIPLES, 2**63),
        (DealerRequest.TRIPLES, 1, 1),
        (DealerRequest.TRIPLES, 1, 0, 1),
        (DealerRequest.BIT_TRIPLES, 1, 3),
        (DealerRequest.TRUNCATION, 1, 62),
        (DealerRequest.TRUNCATION, 1, 0),
        (DealerRequest.TRIG, 1, 45),
        (DealerRequest.MATMUL, 0, 1, 1),
        (DealerRequest.MATMUL, 2048, 2048, 1),
        (DealerRequest.MATMUL, 2**32, 2**32, 1),
        (DealerRequest.MATMUL, 1, 1, 1, 1),
        (DealerRequest.PAD, 2, 5, 5),
        (DealerRequest.PAD, 0, 2**33, 1),
        (DealerRequest.PAD, 0, 1, 2**21),
        (DealerRequest.PAD_PRODUCT, 0, 0, 1, 0),
    ):
        with pytest.raises(ValueError, match="no honest party"):
            deal.answer(0, request(*wrong))
    assert deal.answer(0, request(DealerRequest.TRIPLES, most)) is not None
    for _ in range(MAX_PADS):
        deal.answer(0, request(DealerRequest.PAD, 0, MAX_VECTOR, 4))
    with pytest.raises(ValueError, match="no honest party"):
        deal.answer(0, request(DealerRequest.PAD, 0, 1, 1))
    for wrong in ((0, 0, MAX_VECTOR + 1, 0), (0, 0, MAX_VECTOR - 3, 0), (0, 4, 3, 0), (0, 0, 1, 2), (MAX_PADS, 0, 1)):
        with pytest.raises(ValueError, match="no honest party"):
            deal.answer(0, request(DealerRequest.PAD_PRODUCT, *wrong))


def test_a_dealer_refuses_products_that_would_keep_it_busy_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors within the bound may still name a pad of 2^45 words, which the dealer expands row by row."""
    worked: list[int] = []

    def times(self: CorrelationDealer, pad: Any, start: int, stop: int, b: Any, *, transposed: bool) -> Any:
        worked.append((stop - start) * pad.columns)
        return np.zeros(pad.columns if transposed else stop - start, dtype=np.uint64)

    monkeypatch.setattr(CorrelationDealer, "_times", times)
    deal = CorrelationDealer([bytes(32), bytes([1]) * 32], b"context")
    deal.answer(0, request(DealerRequest.PAD, 0, MAX_VECTOR, 1 << 16))
    rows = dealer.MAX_PRODUCT >> 16
    for transposed in (0, 1):
        with pytest.raises(ValueError, match="no honest party"):
            deal.answer(1, request(DealerRequest.PAD_PRODUCT, 0, 1, rows + 2, transposed))
        assert deal.answer(1, request(DealerRequest.PAD_PRODUCT, 0, 1, rows + 1, transposed)) is not None
    assert worked == [dealer.MAX_PRODUCT] * 2


async def protocol(e: AdditiveEngine) -> Any:
    x = await e.input(0, np.arange(8, dtype=np.uint64) if e.rank == 0 else None, (8,))
    return await e.open(await e.b2a(await e.msb(await e.truncate(await e.mul(x, x), 2))), what="test")


async def outcomes_with(deal: Any, links: Any = None) -> list[Any]:
    async def party(session: Session) -> Any:
        return await (deal(session) if session.rank == 3 else dealt_party(session, protocol))

    with trio.fail_after(30):
        async with parties(4, links=links) as sessions:
            return await outcomes_of_parties(sessions, party)


@pytest.mark.parametrize("wrong", ["short", "long", "bytes"])
async def test_a_dealer_that_sends_something_else_is_named_at_everyone(wrong: str) -> None:
    async def deal(session: Session) -> None:
        link = session.fork(dealer.FORK)
        with link.step(STEP, Phase.PREPROCESSING):
            for rank in range(3):
                await link.recv(rank, np.uint8, 32)
            await link.recv(2, np.uint64, dealer.REQUEST)
            match wrong:
                case "short":
                    await link.send(2, np.zeros(1, np.uint64))
                case "long":
                    await link.send(2, np.zeros(65, np.uint64))
                case "bytes":
                    await link.send_bytes(2, bytes(64 * 8))
            await link.recv(2, np.uint64, dealer.REQUEST)
            await link.recv(2, np.uint64, dealer.REQUEST)

    outcomes = await outcomes_with(deal)
    assert isinstance(outcomes[2], DesyncError)
    assert (outcomes[2].fields["peer"], outcomes[2].fields["step"]) == (3, "correlations")
    for outcome in outcomes[:2]:
        assert isinstance(outcome, PeerAborted)
        assert (outcome.fields["culprit"], outcome.fields["step"]) == (3, "correlations")


async def test_a_dealer_that_dies_is_named_at_everyone_with_the_step() -> None:
    links = network(4)

    async def deal(session: Session) -> None:
        link = session.fork(dealer.FORK)
        with link.step(STEP, Phase.PREPROCESSING):
            await link.recv(2, np.uint8, 32)
            for end in links[3].values():
                await end.aclose()

    for outcome in (await outcomes_with(deal, links))[:3]:
        assert isinstance(outcome, (PeerLost, PeerAborted))
        assert outcome.fields.get("culprit", outcome.fields["peer"]) == 3
        assert outcome.fields["step"]


async def test_a_dealer_that_sends_no_frame_at_all(autojump_clock: Any) -> None:
    autojump_clock.autojump_threshold = 0.05  # the dealer's threads are real
    links = network(4)

    async def deal(session: Session) -> None:
        await links[3][2].send(b"\xff" * 40)
        await dealer.serve(session)

    outcomes = await outcomes_with(deal, links)
    assert isinstance(outcomes[2], PeerMisbehaved)
    assert outcomes[2].fields["peer"] == 3
    assert all(outcome.fields["culprit"] == 3 for outcome in outcomes[:2])


async def test_a_party_that_asks_for_nonsense_is_named_by_the_dealer() -> None:
    async def ask(e: AdditiveEngine) -> None:
        if e.rank == 1:
            await e.correlations._ask(DealerRequest.TRIPLES, 2**40)
        await e.correlations.triples(64)

    async with parties(3) as sessions:
        outcomes = await outcomes_of_parties(sessions, lambda s: dealt_party(s, ask))
    assert isinstance(outcomes[2], PeerMisbehaved)
    assert "asked the dealer for [1, 1099511627776, 0, 0, 0]" in str(outcomes[2])
    assert (outcomes[2].fields["peer"], outcomes[2].fields["step"]) == (1, "correlations")


async def test_parties_that_drew_differently_find_out() -> None:
    async def ask(e: AdditiveEngine) -> None:
        await e.correlations.truncation_masks(64, 5 + e.rank)

    with pytest.raises(DesyncError, match="another record of what the dealer was asked for"):
        await additive_dealt(2)(ask)


async def test_leaving_while_the_dealer_still_answers_what_nobody_will_use(monkeypatch: Any) -> None:
    answer = CorrelationDealer.answer

    def slowly(self: CorrelationDealer, number: int, asked: Any) -> Any:
        time.sleep(0.05)
        return answer(self, number, asked)

    monkeypatch.setattr(CorrelationDealer, "answer", slowly)
    links = network(3)

    async def run(rank: int) -> None:
        async with open_session(rank, links[rank], context=b"x") as session:
            await dealt_party(session, lambda e: e.correlations.triples(64))
        for end in links[rank].values():
            await end.aclose()

    async with trio.open_nursery() as nursery:
        for rank in range(3):
            nursery.start_soon(run, rank)


async def test_a_dealer_needs_two_others_and_deals_to_none_of_its_own() -> None:
    for n, rank in ((2, 0), (3, 2)):
        async with parties(n) as sessions:
            with pytest.raises(ProtocolError, match="two parties or more"):
                await DealerCorrelations.start(sessions[rank])
