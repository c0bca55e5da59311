"""Hinted aggregation: exact at the edges of its parameters, refused beyond, and attacked by the bins' owner."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from support.engines import ENGINES, additive_dealt

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc import hinted_aggregation as hints
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.ring_product import errors_ring, ternary_ring
from hansa.protocols.mpc.session.transcript import Phase


def sums_of(v: Any, bins: Any, n_bins: int) -> Any:
    return np.stack([[v[bins[:, j] == b].sum(dtype=np.uint64) for b in range(n_bins)] for j in range(bins.shape[1])])


EXTREMES = [(1, 1, 1, 1), (2049, 2, 255, 20), (5000, 3, 4, 24)]


@pytest.mark.parametrize(("rows", "columns", "n_bins", "bits"), EXTREMES)
@pytest.mark.parametrize(
    "engine", ["additive, dealer, 2", "additive, dealer, 4", "replicated", "replicated with an input party"]
)
async def test_extreme_vectors(engine: str, rows: int, columns: int, n_bins: int, bits: int) -> None:
    rng = np.random.default_rng(rows)
    bins = rng.integers(0, n_bins, (rows, columns)).astype(np.uint8)
    bins[:, 0] = n_bins - 1  # one bin of everything
    largest = (1 << bits) - 1
    vectors = np.stack([np.full(rows, largest), np.full(rows, -largest), np.zeros(rows), np.zeros(rows)]).astype(
        np.int64
    )
    vectors[-1] = rng.integers(-largest, largest + 1, rows)
    values = vectors.view(np.uint64)

    async def protocol(e: Any) -> Any:
        held = await e.private_bins(1, bins if e.session.rank == 1 else None, bins.shape, n_bins)
        share = await e.input(0, values if e.session.rank == 0 else None, values.shape)
        return (await e.open(*await e.select_sum([held], share, bits), what="sums"))[0]

    for found in await ENGINES[engine](protocol):
        for sums, v in zip(found, values, strict=True):
            assert np.all(sums - sums_of(v, bins, n_bins) <= 1)


ROUNDS = {"additive, dealer, 2": 3, "additive, dealer, 4": 3, "replicated": 3}


def online(e: Any) -> int:
    return sum(cost.rounds for (_, kind), cost in e.session.transcript.steps.items() if kind is Phase.ONLINE)


@pytest.mark.parametrize("engine", ENGINES)
async def test_all_owners_bins_at_once(engine: str) -> None:
    """Every party owns bins of its own width, at input parties too; vectors and owners come in the same rounds."""
    rng = np.random.default_rng(len(engine))
    rows, n_bins = 300, 4
    values = rng.integers(-(2**20), 2**20, (3, rows)).view(np.uint64)
    tables = [rng.integers(0, n_bins, (rows, 1 + rank)).astype(np.uint8) for rank in range(5)]

    async def protocol(e: Any) -> Any:
        held = []
        for rank in range(e.session.n_parties):
            mine = tables[rank] if e.session.rank == rank else None
            held.append(await e.private_bins(rank, mine, tables[rank].shape, n_bins))
        share = await e.input(1, values if e.session.rank == 1 else None, values.shape)
        before = online(e)
        sums = await e.select_sum(held[::-1], share, 21)
        return online(e) - before, (await e.open(*sums, what="sums"))[::-1]

    for rounds, found in await ENGINES[engine](protocol):
        for table, sums in zip(tables, found, strict=False):
            for vector, v in zip(sums, values, strict=True):
                assert np.all(vector - sums_of(v, table, n_bins) <= 1)
        assert rounds == ROUNDS.get(engine, rounds)


def test_parameters_hold_the_table_and_the_noise() -> None:
    for rows in (1, 100, 10_000, 1_000_000):
        for bits in (1, 10, 13, 18 if rows < 1_000_000 else 13):
            m = hints.moduli(rows, bits, 4)
            assert m.q <= hints.MAX_MODULUS_BITS
            assert rows << bits < 1 << (m.t - 2)
            assert m.delta > 2 * 12 * np.sqrt(10.5 * rows * 4)
    for rows, bits in ((10, 0), (10_000, 30), (100_000_000, 18)):
        with pytest.raises(ProtocolError, match="coarser gradients"):
            hints.moduli(rows, bits, 1)


def test_the_hint_is_the_matrix_summed_over_bins() -> None:
    rows, seed = 2050, bytes(32)
    bins = (np.arange(rows * 2) % 3).astype(np.uint8).reshape(rows, 2)
    hint = hints._hint(bins, seed, 3)
    secret = ternary_ring(Keystream(os.urandom(32), b"test"), hints.DIMENSION)
    assert set(np.unique(secret)) == {0, 1, (1 << 64) - 1}
    (product,) = hints._times(seed, secret[None], rows)
    assert np.array_equal((hint @ secret).reshape(2, 3), sums_of(product, bins, 3))


@pytest.mark.parametrize(("shape", "n_bins"), [((3, 2), 1), ((2, 2), 2)])
async def test_bins_that_do_not_fit_are_refused(shape: tuple[int, int], n_bins: int) -> None:
    async def protocol(e: Any) -> None:
        with pytest.raises(ProtocolError, match="bins out of range"):
            await hints.private_bins(e, e.rank, np.ones((3, 2), dtype=np.uint8), shape, n_bins)

    await additive_dealt(2)(protocol)


def ciphertext(x: Any, m: hints.Moduli, secret: Any) -> Any:
    noise = errors_ring(Keystream(os.urandom(32), b"noise"), x.size)
    return (x * np.uint64(m.delta) + noise + hints._times(bytes(32), secret[None], x.size)[0]) & np.uint64(
        (1 << m.q) - 1
    )


def fresh() -> Any:
    return ternary_ring(Keystream(os.urandom(32), b"secret"), hints.DIMENSION)


@pytest.mark.parametrize("insecure_reuse", [True, False])
def test_two_vectors_under_one_secret_would_show_their_difference(insecure_reuse: bool) -> None:
    m = hints.moduli(3000, 18, 1)
    x, y = (np.frombuffer(os.urandom(24_000), dtype=np.uint64) for _ in range(2))
    secret = fresh()
    difference = ciphertext(x, m, secret) - ciphertext(y, m, secret if insecure_reuse else fresh())
    rounded = ((difference + np.uint64(m.delta >> 1)) & np.uint64((1 << m.q) - 1)) >> np.uint64(m.q - m.t)
    hits = np.count_nonzero(rounded == (x - y) & np.uint64((1 << m.t) - 1))
    assert hits == (3000 if insecure_reuse else 0)
