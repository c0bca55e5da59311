"""Compile every kernel now (`python -m hansa.protocols.mpc.kernels`), so that no job waits for it."""

from __future__ import annotations

import numpy as np

from hansa.protocols.mpc.kernels import additive, bits, ntt, ot, ot_code, ring, rlwe, silent


def warm() -> None:
    """Call each kernel once, with the types the engines use."""
    matrix, vector = np.ones((2, 2), dtype=np.uint64), np.ones(2, dtype=np.uint64)
    ring.matvec(matrix, vector)
    ring.matvec_transposed(matrix, vector)
    ring.matmul(matrix, matrix)
    ring.cross_product(vector, vector, vector, vector)
    ring.cross_and(vector, vector, vector, vector, vector)
    ring.bin_sums(np.zeros((2, 2), dtype=np.uint8), matrix, 2)
    additive.beaver(vector, vector, vector, vector, vector, True)
    masked, planes = np.ones((64, 1), dtype=np.uint64), np.ones((33, 1), dtype=np.uint64)
    additive.block_less(masked, additive.monomials(masked, 16), True)
    additive.block_less(planes, additive.monomials(planes, 8), False)
    tables = additive.leaf_tables(vector, 0, np.zeros((2, 1), dtype=np.uint64))
    additive.leaf_planes(tables.astype(np.uint8), 1)
    additive.leaf_choices(vector, 0, 1, 1)
    bits.unpack_bits(bits.slice_bits(vector, 0, 64)[0], 2)
    ring.unmask(vector, vector, vector, 18, True)
    ring.mask_corrections(vector, vector, vector, vector.copy(), vector.copy(), 18)
    _warm_ot()
    _warm_silent()
    _warm_rlwe()


def _warm_ot() -> None:
    planes, rows = np.zeros((1, 8 * 240 + 8), dtype=np.uint64), np.zeros((512, 2), dtype=np.uint64)
    words, choices = np.zeros(8, dtype=np.uint64), np.zeros(512, dtype=np.uint8)
    tables, entries = np.zeros((1, 512), dtype=np.uint32), np.zeros((1, 512), dtype=np.uint8)
    ot.fold(np.zeros((2, 16), dtype=np.uint64), planes, 0, words)
    ot.correct(planes, 0, 1, 1, words)
    ot.hash_inputs(planes, 0, rows)
    ot.shift_rows(rows, words, rows)
    ot.pad_planes(rows, rows, 0, np.zeros((1, 8), dtype=np.uint64))
    ot.pad_words(rows, rows, 0, np.zeros(512, dtype=np.uint64))
    ot.pad_keys(rows, rows, 0, np.zeros((512, 2), dtype=np.uint64))
    ot.add_chosen(np.zeros(512, dtype=np.uint64), words, np.zeros(512, dtype=np.uint64))
    ot.join_bits(np.zeros((1, 8), dtype=np.uint64), 512)
    all_rows = np.zeros((16, 512, 2), dtype=np.uint64)
    ot_code.codeword_planes(choices, np.zeros((16, 8), dtype=np.uint64))
    ot_code.combine(planes, choices[:15], planes)
    ot_code.spread(rows, all_rows[:, 0].copy(), all_rows)
    ot_code.mask_tables(all_rows, all_rows, tables, 0, tables)
    for some in (entries, np.zeros((2, 1024), dtype=np.uint8)[:, :512]):  # of one table, and part of several
        ot_code.entry_pads(rows, rows, 0, some)
        ot_code.choose_entries(np.zeros((2, 512), dtype=np.uint32), choices, some)


def _warm_silent() -> None:
    rows, more = np.zeros((512, 2), dtype=np.uint64), np.zeros((2048, 2), dtype=np.uint64)
    planes, sums = np.zeros((4, 8), dtype=np.uint64), np.zeros((2, 1, 2), dtype=np.uint64)
    silent.sigma(rows, rows)
    silent.split_nodes(rows, rows, rows, 1, more[:1024], sums)
    silent.encode(rows, more, np.zeros(silent.LOCALITY * 512, dtype=np.uint32))
    silent.row_bits(more, planes)
    silent.hash_rows(rows, 0, rows)
    silent.combine_rows(more, rows)
    silent.correct_rows(rows, planes, np.zeros((16, 2), dtype=np.uint64))
    silent.nibble_planes(np.zeros(512, dtype=np.uint8), planes)


def _warm_rlwe() -> None:
    primes = np.array([1073479681, 1072496641], dtype=np.uint32)
    polys, other = (np.ones((2, 32), dtype=np.uint32) for _ in range(2))
    table, words = np.ones((2, 2, 4), dtype=np.uint32), np.zeros(32, dtype=np.uint64)
    ntt.forward(polys, primes, other, other)
    ntt.inverse(polys, primes, other, other, np.ones((2, 4), dtype=np.uint32))
    ntt.short_forward(np.ones((1, 2, 2), dtype=np.uint32), primes, other, other, 2)
    rlwe.combine(polys, np.ones((2, 2), dtype=np.uint32), primes, primes, primes, other)
    rlwe.multiply(polys, polys, primes, primes, other)
    rlwe.inner(polys[None], polys[None], primes, primes, other)
    rlwe.add(polys, other, primes)
    rlwe.subtract(polys, other, primes)
    rlwe.weighted_sum(polys[None], np.ones((1, 2, 2), dtype=np.uint32), primes, primes, other)
    rlwe.drop_primes(polys, 1, primes, table)
    rlwe.mixed_digits(polys, primes, np.ascontiguousarray(table[:, :, :2]))
    rlwe.ring_sum(polys, words)
    rlwe.all_below(polys, primes)
    rlwe.accept(words.view(np.uint32), primes[0], polys[0], 0)
    rlwe.binomial(words, polys[0])
    rlwe.ternary(words, polys[0])
    rlwe.split_limbs(words, np.zeros((3, 32), dtype=np.uint32))
    ring.add_rows(np.zeros((1, 1, 8), dtype=np.uint64), np.zeros((1, 1), dtype=np.uint8), words[:8])


if __name__ == "__main__":
    warm()
