"""Per-bin sums of a shared vector at the cost of plain ones: hinted aggregation.

The owner's bins are fixed for the job. So the owner works out once the hint W: the sums, over each bin, of the rows of a
public matrix A (the idea of SimplePIR, USENIX Security'23, turned to aggregation).

For each vector the owner is sent LWE encryptions of the part x that it lacks: c = A s + e + Delta x, with a fresh ternary s.
An encryption is as long as x, and uniform to the owner. On additive shares each other party sends one of its own summand. On
replicated shares two parties know the component that the owner lacks, and one of them sends it.

Summed over a bin, c is W s + Delta (sum of x) + noise. The owner counts bins as in plain; their number is no factor of its
work. Shares of W s, whose size does not depend on the rows, come from the product of the owner's matrix W with s, which all
but the owner share (``private_linear``). One truncation divides by Delta.

A is negacyclic in blocks, so A s is a product of polynomials. Security: LWE of dimension 2048, ternary secret, standard
deviation 3.24 and q <= 2^54, 128 bits by the HomomorphicEncryption.org table (docs/protocols.md argues the rest).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, Protocol

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.arrays import Ring
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.concurrency import offload
from hansa.protocols.mpc.kernels.ring import add_rows, bin_sums
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.ring_product import RingFactor, errors_ring, ternary_ring
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.mpc.shares import Linear, Product, Share, concatenate

DIMENSION: Final = 2048
MAX_MODULUS_BITS: Final = 54
DEVIATION: Final = math.sqrt(10.5)


@dataclass(frozen=True, slots=True)
class OwnedBins:
    """Private bins, plain at their owner; ``seed`` makes A, ``hint`` is (columns·n_bins, 2048)."""

    owner: int
    shape: tuple[int, int]
    n_bins: int
    seed: bytes = field(repr=False)
    hint: Any = field(repr=False)
    bins: NDArray[np.uint8] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Moduli:
    """Powers of two, as bits: plaintexts below 2^t, ciphertexts below 2^q."""

    t: int
    q: int

    @property
    def delta(self) -> int:
        """The factor of the message."""
        return 1 << (self.q - self.t)

    @property
    def octets(self) -> int:
        """Bytes of a ciphertext's element."""
        return -(-self.q // 8)


def moduli(rows: int, bits: int, senders: int) -> Moduli:
    """For sums of at most ``rows`` numbers below 2^bits in size, encrypted in parts by ``senders``.

    Raises ``ProtocolError`` where 2^54 is not enough.

    t leaves two bits above the largest sum, for the truncation; Delta exceeds twice the noise of all, twelve standard
    deviations (errors are sums of fair coins, so by Hoeffding the noise is larger with probability below 2^-100).
    """
    t = bits + rows.bit_length() + 2
    least = t + _noise_bits(rows, senders)
    whole = -(-least // 8) * 8  # whole bytes, where they fit
    found = Moduli(t, whole if whole <= MAX_MODULUS_BITS else MAX_MODULUS_BITS)
    if not bits > 0 or least > MAX_MODULUS_BITS:
        raise ProtocolError(
            f"sums of {rows} numbers of {bits} bits do not fit the encryption's {MAX_MODULUS_BITS} bits",
            remedy="take fewer rows, or coarser gradients",
        )
    return found


def most_bits(rows: int, senders: int) -> int:
    """The most bits that ``moduli`` takes for so many rows; below 1 where there are too many."""
    return MAX_MODULUS_BITS - _noise_bits(rows, senders) - rows.bit_length() - 2


def _noise_bits(rows: int, senders: int) -> int:
    """Bits of Delta: more than twice the largest noise."""
    return math.ceil(math.log2(24 * DEVIATION * math.sqrt(max(rows, 1) * senders))) + 1


class AggregationEngine(Protocol):
    """What hinted aggregation needs of an engine: which part of a shared vector an owner has, and who encrypts the rest."""

    @property
    def session(self) -> Session:
        """The session of all who may own bins."""
        ...

    @property
    def rank(self) -> int:
        """This party's rank in it."""
        ...

    @property
    def first(self) -> bool:
        """Whether this party adds the public constants."""
        ...

    def senders(self, owner: int) -> tuple[int, ...]:
        """The parties that send the owner encryptions."""
        ...

    def part_of_owner(self, v: Share) -> Ring:
        """What this party, as the owner, holds of v in plain."""
        ...

    def encrypted_part(self, owner: int, v: Share) -> tuple[Ring, Keystream] | None:
        """What this party encrypts of v for another as the owner, and the coins of the encryption; None if it encrypts nothing.

        Parties that know the same part have the same coins, though only one of them sends. Else the coins are its own.
        """
        ...

    async def share_of_secrets(self, owner: int, secrets: Ring) -> Share:
        """The secrets of all that is encrypted for the owner, as one share: each party gives those that it drew, else zeros."""
        ...

    async def product_from_owner(self, owner: int, values: Ring) -> Product:
        """The owner's values as a product; the other parties give zeros."""
        ...

    async def private_matrix(self, owner: int, values: Ring | None, shape: tuple[int, int]) -> Any:
        """As ``Engine.private_matrix``."""
        ...

    async def private_linear(self, xs: Sequence[Any], ws: Sequence[Share], rows: slice) -> list[Product]:
        """As ``Engine.private_linear``."""
        ...

    async def truncate(self, x: Linear, bits: int) -> Share:
        """As ``Engine.truncate``."""
        ...


async def private_bins(
    e: AggregationEngine, owner: int, bins: NDArray[np.uint8] | None, shape: tuple[int, int], n_bins: int
) -> OwnedBins:
    """Agree on A, and pad the hint of the owner's bins, (rows, columns) of values below ``n_bins``, once a job.

    Rounds: 1, and those of ``private_matrix`` for (columns·n_bins, 2048). Bytes sent per party: 32 to each
    other; by the owner, where masks are dealt, 16384·columns·n_bins to each. Work of the owner: 2048·rows·columns additions.
    """
    if e.rank == owner and (bins is None or bins.shape != shape or (bins.size and int(bins.max()) >= n_bins)):
        raise ProtocolError("bins out of range", remedy="report this as a bug")
    mine = np.frombuffer(os.urandom(32), dtype=np.uint8)
    peers = e.session.peers
    got = await e.session.exchange(dict.fromkeys(peers, [mine]), dict.fromkeys(peers, [32]), dtype=np.uint8)
    parts = {rank: theirs[0].tobytes() for rank, theirs in got.items()} | {e.rank: mine.tobytes()}
    seed = blake2b(b"".join(parts[rank] for rank in sorted(parts)), digest_size=32, person=b"hansa-hint").digest()
    hint = None
    if e.rank == owner and bins is not None:
        hint = await trio.to_thread.run_sync(_hint, bins, seed, n_bins)
    matrix = await e.private_matrix(owner, hint, (shape[1] * n_bins, DIMENSION))
    return OwnedBins(owner, shape, n_bins, seed, matrix, bins if e.rank == owner else None)


async def select_sum(e: AggregationEngine, xs: Sequence[OwnedBins], v: Share, bits: int) -> list[Share]:
    """H[k, j, b] = sum of v[k, i] over the rows i whose bin in column j is b, or one more, for each of the owners' bins.

    1. The senders encrypt for each owner what it lacks of v.
    2. Each owner counts, over its bins, these encryptions and what it has of v itself.
    3. What it counted, less the hint times the encryptions' secrets, is divided by Delta.

    ``v`` is (vectors, rows), |v| < 2^bits; each result is (vectors, columns, n_bins).
    Rounds: 3, whatever the number of vectors and owners. Bytes sent: to each owner (5 to 7)·vectors·rows by each
    ``senders``; those of ``private_linear`` with (columns·n_bins, 2048) for each vector; and of one truncation.
    """
    vectors, rows = v.shape
    if any(x.shape[0] != rows for x in xs):
        raise ProtocolError("vectors that do not fit the bins", remedy="report this as a bug")
    m = moduli(rows, bits, max(len(e.senders(x.owner)) for x in xs))
    secrets, encryptions = await _exchange(e, xs, v, m)
    factors: list[tuple[Any, Share]] = []
    counted, ends = [], [0]
    for x, secret, received in zip(xs, secrets, encryptions, strict=True):
        values = await _count(e, x, v, m, received)
        counted.append(await e.product_from_owner(x.owner, values))
        ends.append(ends[-1] + values.size)
        shared = await e.share_of_secrets(x.owner, secret)
        factors += [(x.hint, shared[k]) for k in range(vectors)]
    masks = await e.private_linear([hint for hint, _ in factors], [secret for _, secret in factors], slice(0, None))
    scaled = (concatenate(counted) - concatenate(masks)).parts[0]
    if e.first:
        scaled = scaled + np.uint64(m.delta >> 1)
    sums = await e.truncate(Product((scaled << np.uint64(64 - m.q),)), 64 - m.t)
    return [
        sums[start:end].reshape(vectors, x.shape[1], x.n_bins)
        for x, start, end in zip(xs, ends, ends[1:], strict=False)
    ]


Octets = NDArray[np.uint8]


async def _exchange(
    e: AggregationEngine, xs: Sequence[OwnedBins], v: Share, m: Moduli
) -> tuple[list[Ring], list[list[Octets]]]:
    """For each of the bins the secrets of what this party encrypts, and what it receives, as their owner. Rounds: 1."""
    vectors, rows = v.shape
    outgoing: dict[int, list[Octets]] = {}
    secrets = []
    for x in xs:
        secret = np.zeros((vectors, DIMENSION), dtype=np.uint64)
        encrypts = e.encrypted_part(x.owner, v) if x.bins is None else None
        if encrypts is not None:
            part, coins = encrypts
            secret = ternary_ring(coins, secret.size).reshape(secret.shape)
            noise = errors_ring(coins, vectors * rows).reshape(vectors, rows)
            if e.rank in e.senders(x.owner):
                encrypted = part * np.uint64(m.delta) + noise
                encrypted += await trio.to_thread.run_sync(_times, x.seed, secret, rows)
                outgoing.setdefault(x.owner, []).append(_octets(encrypted, m))
        secrets.append(secret)
    mine = [x.bins is not None for x in xs]
    incoming = dict.fromkeys(e.senders(e.rank) if any(mine) else (), [(vectors, rows, m.octets)] * sum(mine))
    received = iter(zip(*(await e.session.exchange(outgoing, incoming, dtype=np.uint8)).values(), strict=True))
    return secrets, [list(next(received)) if owned else [] for owned in mine]


async def _count(e: AggregationEngine, x: OwnedBins, v: Share, m: Moduli, received: Sequence[Octets]) -> Ring:
    """The per-bin sums of Delta v and the encryptions' masks, (vectors·columns·n_bins,), at the owner; zeros at the others."""
    vectors = v.shape[0]
    if x.bins is None:
        return np.zeros(vectors * x.shape[1] * x.n_bins, dtype=np.uint64)
    everything = sum(map(_words, received), start=e.part_of_owner(v) * np.uint64(m.delta))
    lines = np.ascontiguousarray(everything.T)
    counted: Ring = await offload(x.bins.size * vectors, bin_sums, x.bins, lines, x.n_bins)
    return counted.reshape(-1, vectors).T.reshape(-1)


def _octets(encrypted: Ring, m: Moduli) -> Octets:
    """The bytes of elements modulo 2^q, lowest first along a new last axis."""
    lowest = (encrypted & np.uint64((1 << m.q) - 1)).view(np.uint8).reshape(*encrypted.shape, 8)
    return np.ascontiguousarray(lowest[..., : m.octets])


def _words(octets: NDArray[np.uint8]) -> Ring:
    """Elements of a few bytes each, lowest first along the last axis, as words."""
    out = np.zeros((*octets.shape[:-1], 8), dtype=np.uint8)
    out[..., : octets.shape[-1]] = octets
    return out.view(np.uint64)[..., 0]


def _blocks(seed: bytes, rows: int) -> list[tuple[slice, Ring]]:
    """For each block of rows its polynomial of A."""
    stream = Keystream(seed, b"public matrix")
    return [(slice(low, min(low + DIMENSION, rows)), stream.words(DIMENSION)) for low in range(0, rows, DIMENSION)]


def _hint(bins: NDArray[np.uint8], seed: bytes, n_bins: int) -> Ring:
    rows, columns = bins.shape
    hint = np.zeros((columns, n_bins, DIMENSION), dtype=np.uint64)
    for part, a in _blocks(seed, rows):
        add_rows(hint, np.ascontiguousarray(bins[part]), a)
    return hint.reshape(columns * n_bins, DIMENSION)


def _times(seed: bytes, secrets: Ring, rows: int) -> Ring:
    """A s for each of the secrets, (vectors, rows), modulo 2^64."""
    factors = [RingFactor(secret) for secret in secrets]
    out = np.empty((len(secrets), rows), dtype=np.uint64)
    for part, a in _blocks(seed, rows):
        for factor, line in zip(factors, out, strict=True):
            line[part] = factor.times(a)[: part.stop - part.start]
    return out
