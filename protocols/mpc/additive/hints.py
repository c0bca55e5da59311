"""Per-bin sums of a shared vector at the cost of plain ones: hinted aggregation.

The owner's bins are fixed for the job, so the sums of the rows of a public matrix A over each bin, the hint W, are worked out
once (the idea of SimplePIR, USENIX Security'23, turned to aggregation). For each vector every other party sends the
owner an LWE encryption of its share x, c = A s + e + Delta x, with a fresh ternary s: as long as the share, and
uniform to the owner. Summed over a bin, c is W s + Delta (sum of x) + noise; the owner counts bins as in plain, with no
factor for their number. Shares of W s, whose size does not depend on the rows, come from the product of the owner's
matrix W with s, which all but the owner share (``private_linear``). One truncation divides by Delta.

A is negacyclic in blocks, so A s is a product of polynomials. Security: LWE of dimension 2048, ternary secret, standard
deviation 3.24 and q <= 2^54, 128 bits by the HomomorphicEncryption.org table (docs/protocols.md argues the rest).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.kernels.hints import add_rows
from hansa.protocols.mpc.kernels.ring import bin_sums
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.rlwe.ring_product import RingFactor, errors_ring, ternary_ring
from hansa.protocols.mpc.shares import Product, Ring, Share

if TYPE_CHECKING:
    from hansa.protocols.mpc.additive.engine import Additive

DIMENSION: Final = 2048
MAX_MODULUS_BITS: Final = 54
DEVIATION: Final = math.sqrt(10.5)


@dataclass(frozen=True, slots=True)
class OwnedBins:
    """Private bins, plain at their owner; ``seed`` makes A, ``hint`` is (columns·n_bins, 2048)."""

    owner: int
    shape: tuple[int, int]
    n_bins: int
    seed: bytes
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


def moduli(rows: int, bits: int, n_parties: int) -> Moduli:
    """For sums of at most ``rows`` numbers below 2^bits in size; raises ``ProtocolError`` where 2^54 is not enough.

    t leaves two bits above the largest sum, for the truncation; Delta exceeds twice the noise of all, twelve standard
    deviations (errors are sums of fair coins, so by Hoeffding the noise is larger with probability below 2^-100).
    """
    t = bits + rows.bit_length() + 2
    noise = 12 * DEVIATION * math.sqrt(max(rows, 1) * (n_parties - 1))
    least = t + math.ceil(math.log2(2 * noise)) + 1
    whole = -(-least // 8) * 8  # whole bytes, where they fit
    found = Moduli(t, whole if whole <= MAX_MODULUS_BITS else MAX_MODULUS_BITS)
    if not bits > 0 or least > MAX_MODULUS_BITS:
        raise ProtocolError(
            f"sums of {rows} numbers of {bits} bits do not fit the encryption's {MAX_MODULUS_BITS} bits",
            remedy="take fewer rows, or coarser gradients",
        )
    return found


async def private_bins(
    e: Additive, owner: int, bins: NDArray[np.uint8] | None, shape: tuple[int, int], n_bins: int
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


async def select_sum(e: Additive, x: OwnedBins, v: Share, bits: int) -> Product:
    """H[j, b] = sum of v_i over the rows i whose bin in column j is b, or one more, as (columns, n_bins); |v_i| < 2^bits.

    Rounds: 3. Bytes sent: (5 to 7)·rows + 16384 to the owner by each of the others, and those of a truncation of
    columns·n_bins elements. Preprocessing: a pad product of (columns·n_bins, 2048), a truncation mask each.
    """
    rows, columns = x.shape
    if v.shape != (rows,):
        raise ProtocolError("a vector that does not fit the bins", remedy="report this as a bug")
    m = moduli(rows, bits, e.session.n_parties)
    scaled = v.parts[0] * np.uint64(m.delta)
    total = np.zeros(columns * x.n_bins, dtype=np.uint64)
    if x.bins is None:
        stream = Keystream(os.urandom(32), b"hinted aggregation")
        secret = ternary_ring(stream, DIMENSION)
        noise = errors_ring(stream, rows)
        encrypted = scaled + noise + await trio.to_thread.run_sync(_times, x.seed, secret, rows)
        lowest = (encrypted & np.uint64((1 << m.q) - 1)).view(np.uint8).reshape(rows, 8)[:, : m.octets]
        await e.session.exchange({x.owner: [lowest]}, {}, dtype=np.uint8)
    else:
        shapes = dict.fromkeys(e.session.peers, [(rows, m.octets)])
        got = await e.session.exchange({}, shapes, dtype=np.uint8)
        everything = sum((_words(theirs[0]) for theirs in got.values()), start=scaled)
        total = (await e.run(x.bins.size, bin_sums, x.bins, everything, x.n_bins)).reshape(-1)
        secret = np.zeros(DIMENSION, dtype=np.uint64)
    masks = await e.private_linear(x.hint, Share((secret,)), slice(0, total.size))
    total -= masks.parts[0]
    if e.first:
        total += np.uint64(m.delta >> 1)
    sums = await e.truncate(Share((total << np.uint64(64 - m.q),)), 64 - m.t)
    return e.as_product(sums.reshape(columns, x.n_bins))


def _words(octets: NDArray[np.uint8]) -> Ring:
    """Elements of a few bytes each, lowest first, as words."""
    out = np.zeros((octets.shape[0], 8), dtype=np.uint8)
    out[:, : octets.shape[1]] = octets
    return out.reshape(-1).view(np.uint64)


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


def _times(seed: bytes, secret: Ring, rows: int) -> Ring:
    """A s, (rows,), modulo 2^64."""
    factor = RingFactor(secret)
    out = np.empty(rows, dtype=np.uint64)
    for part, a in _blocks(seed, rows):
        out[part] = factor.times(a)[: part.stop - part.start]
    return out
