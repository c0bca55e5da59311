"""Residue polynomials: linear combinations, products of values, digits, a smaller modulus, and samples.

Primes are below 2^30. A factor "in Montgomery form" is multiplied by 2^32; sums of at most ``MAX_TERMS`` products of two
numbers below 2^30, and one number more, stay below 2^64 and end in one Montgomery reduction.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hansa.protocols.arrays import Ring, Words
from hansa.protocols.mpc.kernels.jit import kernel
from hansa.protocols.mpc.kernels.ntt import lowered, shoup

MAX_TERMS: Final = 12
_32 = np.uint64(32)
_RUN = 1024


@kernel
def _reduced(total: np.uint64, p: np.uint32, inverse: np.uint32) -> np.uint32:
    """total / 2^32 mod p, in [0, p), for total below 12 products; ``inverse``: 1/p mod 2^32."""
    m = np.uint32(np.uint32(total) * inverse)
    high = np.uint32((np.uint64(m) * np.uint64(p)) >> _32)
    r = np.uint32(np.uint32(np.uint32(total >> _32) - high) + p)
    return lowered(lowered(r, np.uint32(2 * p)), p)


@kernel
def combine(digits: Words, weights: Words, constants: Words, primes: Words, inverses: Words, out: Words) -> None:
    """out[row] = sum over k of digits[k]·weights[k, row] + constants[row] mod primes[row]; weights, constants in Montgomery form.

    ``digits``: (terms, n) below 2^30, terms <= ``MAX_TERMS``; ``out``: (primes, n).
    """
    terms, n = digits.shape
    totals = np.empty(_RUN, dtype=np.uint64)
    for start in range(0, n, _RUN):
        size = min(_RUN, n - start)
        for row in range(primes.size):
            p, inverse = primes[row], inverses[row]
            for j in range(size):
                totals[j] = np.uint64(constants[row])
            for k in range(terms):
                limb, weight = digits[k, start : start + size], np.uint64(weights[k, row])
                for j in range(size):
                    totals[j] += np.uint64(limb[j]) * weight
            for j in range(size):
                out[row, start + j] = _reduced(totals[j], p, inverse)


@kernel
def multiply(x: Words, y: Words, primes: Words, inverses: Words, out: Words) -> None:
    """out = x·y mod each prime, (primes, n); one of the factors is in Montgomery form."""
    for row in range(primes.size):
        p, inverse = primes[row], inverses[row]
        a, b, c = x[row], y[row], out[row]
        for j in range(a.size):
            c[j] = _reduced(np.uint64(a[j]) * np.uint64(b[j]), p, inverse)


@kernel
def inner(x: Words, y: Words, primes: Words, inverses: Words, out: Words) -> None:
    """out = sum over k of x[k]·y[k] mod each prime, (primes, n); at most ``MAX_TERMS``, one factor of each in Montgomery form."""
    terms, _, n = x.shape
    totals = np.empty(_RUN, dtype=np.uint64)
    for row in range(primes.size):
        p, inverse = primes[row], inverses[row]
        for start in range(0, n, _RUN):
            size = min(_RUN, n - start)
            for j in range(size):
                totals[j] = np.uint64(0)
            for k in range(terms):
                a, b = x[k, row, start : start + size], y[k, row, start : start + size]
                for j in range(size):
                    totals[j] += np.uint64(a[j]) * np.uint64(b[j])
            for j in range(size):
                out[row, start + j] = _reduced(totals[j], p, inverse)


@kernel
def add(x: Words, y: Words, primes: Words) -> None:
    """x += y mod each prime, (primes, n)."""
    for row in range(primes.size):
        p = primes[row]
        a, b = x[row], y[row]
        for j in range(a.size):
            a[j] = lowered(np.uint32(a[j] + b[j]), p)


@kernel
def subtract(x: Words, y: Words, primes: Words) -> None:
    """x -= y mod each prime, (primes, n)."""
    for row in range(primes.size):
        p = primes[row]
        a, b = x[row], y[row]
        for j in range(a.size):
            a[j] = lowered(np.uint32(np.uint32(a[j] - b[j]) + p), p)


@kernel
def weighted_sum(polys: Words, factors: Words, primes: Words, inverses: Words, out: Words) -> None:
    """out[row, 16 runs of rows] = sum over c of polys[c, row]·factors[c, row], the same factors (rows,) for each run.

    ``polys``: (count, primes, n); ``factors``: (count, primes, n/16) in Montgomery form; ``out``: (primes, n).
    """
    count, _, n = polys.shape
    rows = n >> 4
    totals = np.empty(rows, dtype=np.uint64)
    for row in range(primes.size):
        p, inverse = primes[row], inverses[row]
        for at in range(0, n, rows):
            result = out[row, at : at + rows]
            for j in range(rows):
                result[j] = np.uint32(0)
            for first in range(0, count, MAX_TERMS):
                for j in range(rows):
                    totals[j] = np.uint64(0)
                for c in range(first, min(first + MAX_TERMS, count)):
                    values, f = polys[c, row, at : at + rows], factors[c, row]
                    for j in range(rows):
                        totals[j] += np.uint64(values[j]) * np.uint64(f[j])
                for j in range(rows):
                    result[j] = lowered(np.uint32(result[j] + _reduced(totals[j], p, inverse)), p)


@kernel
def drop_primes(polys: Words, kept: int, primes: Words, table: Words) -> None:
    """Divide by the primes from the last down to ``kept``, in place; coefficients stay what they are mod t, but for a factor.

    With r = -c/t mod p_i, c + t·r is a multiple of p_i. ``table``: (i, row, 4), 1/p_i and t/p_i mod p_row with quotients, and
    in (i, i) -1/t mod p_i.
    """
    n = polys.shape[1]
    r = np.empty(n, dtype=np.uint32)
    for i in range(primes.size - 1, kept - 1, -1):
        c, q = polys[i], primes[i]
        factor, quotient = table[i, i, 0], table[i, i, 1]
        for j in range(n):
            r[j] = lowered(shoup(c[j], factor, quotient, q), q)
        for row in range(i):
            p, x = primes[row], polys[row]
            a, b, c1, d = table[i, row, 0], table[i, row, 1], table[i, row, 2], table[i, row, 3]
            for j in range(n):
                y = np.uint32(shoup(x[j], a, b, p) + shoup(r[j], c1, d, p))
                x[j] = lowered(lowered(y, np.uint32(2 * p)), p)


@kernel
def mixed_digits(x: Words, primes: Words, table: Words) -> None:
    """Residues (primes, n) become mixed-radix digits, in place: the number is x[0] + p_0·(x[1] + p_1·(x[2] + ...)).

    ``table``: (i, k, 2), 1/p_i mod p_k with its quotient. No prime is above twice another (Garner 1959).
    """
    for k in range(1, primes.size):
        p, own = primes[k], x[k]
        for i in range(k):
            factor, quotient, digit = table[i, k, 0], table[i, k, 1], x[i]
            for j in range(own.size):
                difference = np.uint32(np.uint32(own[j] - digit[j]) + np.uint32(2 * p))
                own[j] = lowered(shoup(difference, factor, quotient, p), p)


@kernel
def ring_sum(digits: Words, weights: Ring) -> Ring:
    """The sum of digits[k]·weights[k] mod 2^64, (n,)."""
    out = np.zeros(digits.shape[1], dtype=np.uint64)
    for k in range(digits.shape[0]):
        row, weight = digits[k], weights[k]
        for j in range(out.size):
            out[j] += np.uint64(row[j]) * weight
    return out


@kernel
def all_below(x: Words, primes: Words) -> bool:
    """Whether every residue of (primes, n) is below its prime."""
    wrong = 0
    for row in range(primes.size):
        values, p = x[row], primes[row]
        for j in range(values.size):
            wrong += 1 if values[j] >= p else 0
    return wrong == 0


@kernel
def accept(words: Words, p: np.uint32, out: Words, have: int) -> int:
    """Fill ``out`` from ``have`` on with the low 30 bits of the words that are below p; how many it then holds."""
    for i in range(words.size):
        if have == out.size:
            break
        value = np.uint32(words[i] & np.uint32(0x3FFFFFFF))
        out[have] = value
        if value < p:
            have += 1
    return have


@kernel
def binomial(words: Ring, out: Words) -> None:
    """The number of ones among 42 bits of each word."""
    for i in range(out.size):
        x = words[i] & np.uint64(0x3FFFFFFFFFF)
        x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
        x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
        x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        out[i] = np.uint32((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def ternary(words: Ring, out: Words) -> None:
    """Each word mod 3."""
    for i in range(out.size):
        out[i] = np.uint32(words[i] % np.uint64(3))


@kernel
def split_limbs(x: Ring, out: Words) -> None:
    """Three limbs of 30, 30 and 4 bits of each element: out (3, n)."""
    low = np.uint64(0x3FFFFFFF)
    for i in range(x.size):
        out[0, i] = np.uint32(x[i] & low)
        out[1, i] = np.uint32((x[i] >> np.uint64(30)) & low)
        out[2, i] = np.uint32(x[i] >> np.uint64(60))
