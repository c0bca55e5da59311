"""What homomorphic encryption does to coefficients between transforms; one prime a row, values below it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hansa.protocols.mpc.kernels.jit import kernel

Words = NDArray[np.uint64]
Small = NDArray[np.uint32]

_LIMB_MASK = np.uint64((1 << 30) - 1)
_LAZY = 14
"""Products below 2^60 that may be added up, with one value more, before they are reduced."""


@kernel
def reduced(x: np.uint64, p: np.uint64, inverse: float) -> np.uint64:
    """x mod p for any x and 2^20 < p < 2^30 by a floating-point quotient, off by one at most (no division, no branch)."""
    rest = x - np.uint64(np.float64(x) * inverse) * p
    rest = min(rest, rest + p)
    return min(rest, rest - p)


@kernel
def bits_set(x: np.uint64) -> np.uint64:
    """How many bits are set (Warren, Hacker's Delight, 5-1)."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@kernel
def uniform(words: Words, primes: Words, n: int) -> Words:
    """(rows, n) uniform residues by rejection, two 30-bit candidates a word; an empty array where words run out."""
    out = np.empty((primes.size, n), dtype=np.uint64)
    at = 0
    for row in range(primes.size):
        p = primes[row]
        j = 0
        while j < n:
            if at == words.size:
                return np.empty((0, n), dtype=np.uint64)
            word = words[at]
            at += 1
            low = word & _LIMB_MASK
            if low < p:
                out[row, j] = low
                j += 1
            high = (word >> np.uint64(32)) & _LIMB_MASK
            if high < p and j < n:
                out[row, j] = high
                j += 1
    return out


@kernel
def ternary(words: Words, primes: Words) -> Words:
    """-1, 0 or 1, each a third (bias below 2^-62), from a word each; the same at every prime."""
    out = np.empty((primes.size, words.size), dtype=np.uint64)
    for j in range(words.size):
        value = words[j] % np.uint64(3)
        for row in range(primes.size):
            out[row, j] = primes[row] - np.uint64(1) if value == 2 else value
    return out


@kernel
def coins(word: np.uint64) -> np.uint64:
    """The difference of two sums of 21 fair coins, modulo 2^64."""
    mask = np.uint64((1 << 21) - 1)
    return bits_set(word & mask) - bits_set((word >> np.uint64(21)) & mask)


@kernel
def centred(words: Words) -> Words:
    """Centred binomial errors of 2·21 bits, from a word each, modulo 2^64."""
    out = np.empty_like(words)
    for j in range(words.size):
        out[j] = coins(words[j])
    return out


@kernel
def errors(words: Words, primes: Words, factors: Words) -> Words:
    """Centred binomial errors of 2·21 bits, from a word each, times ``factors`` (t modulo each prime)."""
    out = np.empty((primes.size, words.size), dtype=np.uint64)
    most = np.uint64(21)
    for row in range(primes.size):
        p, factor = primes[row], factors[row]
        inverse = 1.0 / p
        middle = reduced(most * factor, p, inverse)
        for j in range(words.size):
            value = most + coins(words[j])
            out[row, j] = reduced(value * factor + (p - middle), p, inverse)
    return out


@kernel
def residues(words: Words, primes: Words) -> Words:
    """(rows, n) residues of numbers of several words each, (words, n), lowest first."""
    count, n = words.shape
    out = np.empty((primes.size, n), dtype=np.uint64)
    for row in range(primes.size):
        p = primes[row]
        inverse = 1.0 / p
        base = reduced(~np.uint64(0), p, inverse) + np.uint64(1)  # 2^64, or p
        value = out[row]
        highest = words[count - 1]
        for j in range(n):
            value[j] = reduced(highest[j], p, inverse)
        for k in range(count - 2, -1, -1):
            word = words[k]
            for j in range(n):
                value[j] = reduced(value[j] * base + reduced(word[j], p, inverse), p, inverse)
    return out


@kernel
def flood(words: Words, bits: int, primes: Words, factors: Words) -> Words:
    """Uniform in [-2^bits, 2^bits), from (words, n) random words, times ``factors``, modulo each prime."""
    count, n = words.shape
    kept = words.copy()
    kept[count - 1] &= ~np.uint64(0) >> np.uint64(64 * count - bits - 1)
    out = residues(kept, primes)
    for row in range(primes.size):
        p, factor = primes[row], factors[row]
        inverse = 1.0 / p
        middle = np.uint64(1)
        for _ in range(bits):
            middle = (middle + middle) % p
        value = out[row]
        for j in range(n):
            value[j] = reduced((value[j] + p - middle) * factor, p, inverse)
    return out


@kernel
def signed_residues(x: Words, primes: Words) -> Words:
    """(rows, n) residues of 64-bit two's complement numbers."""
    out = np.empty((primes.size, x.size), dtype=np.uint64)
    for row in range(primes.size):
        p = primes[row]
        inverse = 1.0 / p
        wrap = np.uint64(0) - p * (~np.uint64(0) // p)  # 2^64 mod p, or p itself
        for j in range(x.size):
            value = reduced(x[j], p, inverse) + (p - wrap) * (x[j] >> np.uint64(63))
            out[row, j] = min(value, value - p)
    return out


@kernel
def multiply(x: Words, y: Words, primes: Words) -> Words:
    """x·y, row by row."""
    out = np.empty_like(x)
    for row in range(x.shape[0]):
        p = primes[row]
        inverse = 1.0 / p
        for j in range(x.shape[1]):
            out[row, j] = reduced(x[row, j] * y[row, j], p, inverse)
    return out


@kernel
def combine(ciphertexts: Small, plaintexts: Words, primes: Words) -> Words:
    """sum over k of ciphertexts[k, c]·plaintexts[k], as (2, rows, n), from (count, 2, rows, n) and (count, rows, n)."""
    count, _, rows, n = ciphertexts.shape
    out = np.zeros((2, rows, n), dtype=np.uint64)
    for c in range(2):
        for row in range(rows):
            p = primes[row]
            inverse = 1.0 / p
            total = out[c, row]
            for k in range(count):
                left, right = ciphertexts[k, c, row], plaintexts[k, row]
                for j in range(n):
                    total[j] += np.uint64(left[j]) * right[j]
                if k % _LAZY == _LAZY - 1 or k == count - 1:
                    for j in range(n):
                        total[j] = reduced(total[j], p, inverse)
    return out


@kernel
def add_to(x: Words, y: Words, primes: Words) -> None:
    """x += y, row by row."""
    for row in range(x.shape[0]):
        p = primes[row]
        for j in range(x.shape[1]):
            total = x[row, j] + y[row, j]
            x[row, j] = min(total, total - p)


@kernel
def subtract_from(x: Words, y: Words, primes: Words) -> None:
    """x -= y, row by row."""
    for row in range(x.shape[0]):
        p = primes[row]
        for j in range(x.shape[1]):
            x[row, j] = min(x[row, j] - y[row, j], x[row, j] - y[row, j] + p)


@kernel
def switch(x: Words, kept: int, primes: Words, t_residues: Words, t_inverses: Words, inverses: Words) -> Small:
    """Divide coefficients by all primes but the first ``kept``, keeping them right modulo t up to that factor.

    From the last prime on: the multiple k·t, |k| < p/2, that makes the value divisible by p is added (BGV modulus switching,
    Brakerski, Gentry, Vaikuntanathan, ITCS'12, section 4). ``inverses[p, i]``: 1/p modulo prime i.
    """
    rows, n = x.shape
    value = x.copy()
    for last in range(rows - 1, kept - 1, -1):
        p = primes[last]
        p_inverse = 1.0 / p
        half = p >> np.uint64(1)
        for row in range(last):
            q = primes[row]
            q_inverse = 1.0 / q
            t, inverse = t_residues[row], inverses[last, row]
            for j in range(n):
                k = reduced((p - value[last, j]) * t_inverses[last], p, p_inverse)
                lifted = k + (q - p) * np.uint64(k > half) + q  # k, or k - p, modulo q
                moved = reduced(reduced(lifted, q, q_inverse) * t + value[row, j], q, q_inverse)
                value[row, j] = reduced(moved * inverse, q, q_inverse)
    return value[:kept].astype(np.uint32)


@kernel
def compose(x: Words, primes: Words, inverses: Words) -> Words:
    """The number in (-q/2, q/2) with residues x (rows, n), modulo 2^64: Garner's mixed radix."""
    rows, n = x.shape
    out = np.empty(n, dtype=np.uint64)
    digits = np.empty(rows, dtype=np.uint64)
    modulus = np.uint64(1)
    for row in range(rows):
        modulus *= primes[row]
    for j in range(n):
        for row in range(rows):
            p = primes[row]
            value = x[row, j]
            for lower in range(row):
                value = (value + p - digits[lower] % p) % p * inverses[lower, row] % p
            digits[row] = value
        total, weight = np.uint64(0), np.uint64(1)
        for row in range(rows):
            total += digits[row] * weight
            weight *= primes[row]
        if digits[rows - 1] >= primes[rows - 1] >> np.uint64(1):
            total -= modulus
        out[j] = total
    return out
