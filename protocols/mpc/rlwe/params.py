"""Parameters: how large a modulus a computation needs, and which degree makes that modulus secure.

Ciphertexts are (c0, c1) with c0 + c1·s = m + t·e mod q, q a product of primes below 2^30 (BGV, ITCS 2012). Whoever
computes on them ends with v = V + U over the integers: V depends on data and randomness, |V| <= ``noise``; U is uniform with
``mask_bits`` bits. V + U is |V| / 2^mask_bits from uniform, so all coefficients that a job returns are together 2^-40 from
numbers that are independent of the data. The key's owner finds m + U mod t as long as q is at least 4·(|V| + |U|).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import prod
from typing import Final

from hansa.protocols.errors import ProtocolError

SECURITY: Final[Mapping[int, int]] = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881}
"""Bits of q per degree for 128-bit security, classical, ternary secret, error 3.2 (HomomorphicEncryption.org, 2018, table 1)."""

DEGREES: Final = (8192, 16384)
STATISTICAL: Final = 40
ERROR_BOUND: Final = 21
"""Errors are centred binomial of 42 bits, as NewHope's and Kyber's are: variance 10.5 (the table's is 10.2), at most 21."""

RING: Final = 2**64
_PRIME_BITS: Final = 30
_STEP: Final = 2 * DEGREES[-1]


@dataclass(frozen=True, slots=True)
class RlweParams:
    """What both parties agree on: ``degree``, the ``primes`` of q, the plaintext modulus ``t``, and the noise budget.

    ``slots``: the primes of t, where plaintexts are vectors of values (empty for t = 2^64). ``kept``: of how many primes
    a returned ciphertext has its coefficients. ``noise``, ``mask_bits``: see above. ``returned``: for how many
    coefficients in the job the mask is wide enough.
    """

    degree: int
    primes: tuple[int, ...]
    t: int
    slots: tuple[int, ...]
    noise: int
    mask_bits: int
    kept: int
    returned: int

    @property
    def modulus_bits(self) -> int:
        """log2 of q, rounded up."""
        return prod(self.primes).bit_length()


def assert_secure(params: RlweParams) -> RlweParams:
    """The parameters, after a check against the table of secure moduli and their own budget."""
    q, kept = prod(params.primes), prod(params.primes[: params.kept])
    assert params.modulus_bits <= SECURITY[params.degree]
    assert 2**params.mask_bits >= params.noise * params.returned * 2**STATISTICAL
    assert q >= 4 * (2 ** (params.mask_bits - 1) + params.noise)
    assert kept >= 8 * params.t * (params.degree + 1)
    return params


@lru_cache(maxsize=64)
def linear_params(columns: int, returned: int) -> RlweParams:
    """For sums of ``columns`` products mod 2^64, ``returned`` coefficients in the whole job.

    Raises ``ProtocolError`` where no degree carries that.
    """
    for degree in DEGREES:
        params = fit(degree, RING, (), linear_noise(degree, columns), returned)
        if params.modulus_bits <= SECURITY[degree]:
            return assert_secure(params)
    raise ProtocolError(
        f"{columns} columns and {returned} results need too large a modulus", remedy="train on fewer rows or epochs"
    )


def linear_noise(degree: int, columns: int) -> int:
    """|V| for sums of ``columns`` products of (m + t·e), 0 <= m < t, with numbers |w| <= 2^63, re-randomised."""
    return columns * (ERROR_BOUND + 1) * RING * 2**63 + _fresh_noise(degree, RING)


def product_noise(degree: int, slots: tuple[int, ...], terms: int) -> int:
    """|V| for 2·terms products of polynomials: base conversion leaves up to ``len(slots)`` times t in each coefficient."""
    t, k = prod(slots), len(slots)
    return 2 * terms * degree * ((k + ERROR_BOUND) * t) * (k * t) + _fresh_noise(degree, t)


def fit(degree: int, t: int, slots: tuple[int, ...], noise: int, returned: int) -> RlweParams:
    """The smallest q for this much noise, whether secure or not."""
    mask_bits = (noise * returned << STATISTICAL).bit_length()
    need = 4 * (2 ** (mask_bits - 1) + noise)
    primes: list[int] = []
    for p in _primes_down():
        if p in slots:
            continue
        primes.append(p)
        if prod(primes) >= need:
            break
    kept = next(k for k in range(1, len(primes) + 1) if prod(primes[:k]) >= 8 * t * (degree + 1))
    return RlweParams(degree, tuple(primes), t, slots, noise, mask_bits, kept, returned)


@lru_cache(maxsize=64)
def product_params(bits: int, count: int, degree: int, terms: int = 1) -> tuple[RlweParams, ...]:
    """For ``count`` sums of ``terms`` a0·b1 + a1·b0, of signed numbers of ``bits`` bits: one set of parameters a ciphertext.

    The product T of all slot primes is at least 2^40·count times the largest such sum. Of all divisions of the slot primes
    among ciphertexts, the one that sends least is taken. Raises ``ProtocolError`` where none is secure.
    """
    best: tuple[RlweParams, ...] = ()
    need = 2 ** (2 * bits - 1 + STATISTICAL) * terms * count
    fewest = -(-need.bit_length() * 10 // 294)
    for total in range(fewest, fewest + 2):
        slots = _slot_primes(need, total)
        for ciphertexts in range(1, total + 1):
            plan = tuple(
                _fit_slots(degree, slots[i::ciphertexts], count * ciphertexts, terms) for i in range(ciphertexts)
            )
            secure = all(params.modulus_bits <= SECURITY[degree] for params in plan)
            if secure and (not best or product_bytes(plan, terms) < product_bytes(best, terms)):
                best = plan
    if not best:
        raise ProtocolError(f"no parameters for {count} products of {bits} bits", remedy="ask for fewer at a time")
    for params in best:
        assert_secure(params)
    assert prod(params.t for params in best) >= need
    return best


def product_bytes(plan: tuple[RlweParams, ...], terms: int) -> int:
    """Bytes on the wire an element, both ways."""
    return sum(8 * (terms * len(params.primes) + params.kept) for params in plan)


def _fit_slots(degree: int, slots: tuple[int, ...], returned: int, terms: int) -> RlweParams:
    return fit(degree, prod(slots), slots, product_noise(degree, slots, terms), returned)


def _fresh_noise(degree: int, t: int) -> int:
    """t·(e·u + s·e1) of a fresh encryption of zero under the public key."""
    return 2 * t * degree * ERROR_BOUND


@lru_cache(maxsize=64)
def _slot_primes(need: int, count: int) -> tuple[int, ...]:
    """The first ``count`` primes from the count-th root of ``need`` on."""
    low = round(2 ** (need.bit_length() / count))
    first = low + (1 - low) % _STEP
    return tuple(islice((p for p in range(first, 2**_PRIME_BITS, _STEP) if _is_prime(p)), count))


def ntt_primes(count: int) -> tuple[int, ...]:
    """The largest primes that serve all degrees."""
    return tuple(islice(_primes_down(), count))


def _primes_down() -> Iterator[int]:
    return (p for p in range(2**_PRIME_BITS - _STEP + 1, 2 ** (_PRIME_BITS - 1), -_STEP) if _is_prime(p))


@lru_cache(maxsize=4096)
def _is_prime(n: int) -> bool:
    """Miller and Rabin's test; these bases are enough below 3.2 thousand millions (Jaeschke 1993)."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(
        (x := pow(a, odd, n)) in (1, n - 1) or any((x := x * x % n) == n - 1 for _ in range(twos - 1))
        for a in (2, 3, 5, 7)
    )
