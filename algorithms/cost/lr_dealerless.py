"""What LR costs without a dealer: ciphertexts and transfers between each two parties, of the party that sends most.

That is the first, which owns the key in all products of sines. docs/protocols.md has the sources of the constants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hansa.algorithms.cost.training_cost import DEALERLESS_MB, TrainingCost

SLOTS = 8192
"""Numbers in a ciphertext of products, coefficients in one of a matrix."""
CIPHERTEXT = 4 * 7 * SLOTS
"""Bytes of a matrix's ciphertext, or of a key."""
HELD = 2 * CIPHERTEXT
"""Bytes of memory it takes at the other end."""
ANSWER = 4 * 3 * SLOTS
"""Bytes of the answer to a product with a matrix, besides 12 an entry."""
SINES, PRODUCTS = 8 * 14 * SLOTS, 8 * 27 * SLOTS
"""Bytes of as many products as there are slots: of sines, and of ring elements."""
KEYS_OF_SINES, KEYS_OF_PRODUCTS = 2 * CIPHERTEXT, 4 * CIPHERTEXT
SETUP = 60_000
"""Transfers, with each other party."""
LINK = 655_369
"""The measuring of the link to each other party."""
BYTES_PER_SECOND = 5e7
"""Of ciphertexts and transfers that two cores make."""
ROUNDS = {2: 22}
"""A batch's, chunks of transfers included; ``rounds_of`` has those of more parties."""


def dealerless(sizes: Sequence[int], epochs: int, test: int, widths: Sequence[int]) -> TrainingCost:
    """Training in batches of these sizes each epoch, and ``test`` rows to evaluate; ``widths``: weights a party.

    The work is that of ciphertexts and transfers.
    """
    n, peers = len(widths), len(widths) - 1
    steps = [*sizes] * epochs + [test] * bool(test)
    elements = sum(steps)
    rounds = 35 * peers + rounds_of(n) * len(steps)
    sent = KEYS_OF_SINES * min(peers, 2) + KEYS_OF_PRODUCTS * max(0, n - 2)
    sent += sum(_series(size, n) for size in steps) + elements * _signs(n)
    sent += sum(peers * 2 * (ANSWER + 12 * (size + sum(widths) // n)) for size in steps)
    polynomials = [_polynomials(sizes, test, width) for width in widths]
    sent += peers * max(polynomials) * CIPHERTEXT
    held = (DEALERLESS_MB << 20) + (sum(polynomials) - min(polynomials)) * HELD
    ahead = _correlations(elements, n)
    return TrainingCost(rounds, sent, ahead, held, (sent + ahead) / BYTES_PER_SECOND)


def rounds_of(n: int) -> int:
    """Rounds of a batch among n parties."""
    return ROUNDS.get(n, 32 + 14 * (n - 3))


def _polynomials(sizes: Sequence[int], test: int, width: int) -> int:
    """Ciphertexts of a party's matrix: each batch, as it is and transposed, and the rows to evaluate."""
    whole = sum(_packed(size, width) + _packed(width, size) for size in sizes)
    return whole + (_packed(test, width) if test else 0)


def _packed(rows: int, terms: int) -> int:
    block = max(16, 1 << max(rows - 1, 0).bit_length())
    return math.ceil(rows / SLOTS) * math.ceil(terms * min(block, SLOTS) / SLOTS)


def _series(size: int, n: int) -> int:
    """Of sines and cosines: between two parties 6 elements each; among more 12, then for each further party 12, the last 6."""
    if n == 2:
        return math.ceil(6 * size / SLOTS) * SINES
    longer, shorter = math.ceil(12 * size / SLOTS), math.ceil(6 * size / SLOTS)
    return longer * SINES + ((n - 3) * longer + shorter) * PRODUCTS


def _signs(n: int) -> int:
    """Bytes an element of the comparisons, truncations and choices of a sigmoid."""
    if n == 2:
        return 125
    return (n - 1) * ((128 * (n - 2) + 309) // 4 + 8 * (12 * (n - 2) + 1) + 20)


def _correlations(elements: int, n: int) -> int:
    """Bit triples and daBits, up to twice as many as are used, and among more than two parties Beaver triples."""
    each = SETUP + LINK + CIPHERTEXT
    if n == 2:
        return each + 110 * elements
    triples = math.ceil(elements / SLOTS) * PRODUCTS + KEYS_OF_PRODUCTS
    bits = 8 * (190 + 64 * (n - 3)) + (12 * (n - 2) + 1) * (130 + 70 * (n - 3))
    return (n - 1) * (each + triples + (3 * bits // 2) * elements)
