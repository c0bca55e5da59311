"""What `hansa bench` measures, one operation each: set-up, the timed part, and its largest error against plain numbers.

Inputs come from a public seed, so that every party can check the opened result.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms import lr
from hansa.algorithms.metrics import evaluate
from hansa.algorithms.plaintext import sigmoid, train_and_test
from hansa.algorithms.prepare import Standardisation
from hansa.algorithms.split import split_order
from hansa.algorithms.terms import Terms
from hansa.config.vocabulary import FRAC_BITS as F
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.operators.division import reciprocal
from hansa.protocols.mpc.ot import start_pair
from hansa.protocols.mpc.session import Session
from hansa.protocols.mpc.shares import Share
from hansa.protocols.psi.ddh import intersect

Vector = NDArray[np.float64]
SEED = bytes(16)
BULK_CHUNK = 1 << 24
ROUND_TRIPS = 200
BINS = 16


@dataclass(frozen=True, slots=True)
class Size:
    """How large: elements or rows n, columns d, batch B."""

    n: int
    d: int
    batch: int


@dataclass(slots=True)
class Operation:
    """``timed`` runs once a repetition, and does the operation ``times`` times; ``facts`` afterwards, untimed."""

    timed: Callable[[], Awaitable[None]]
    facts: Callable[[], Awaitable[dict[str, float]]]
    times: int = 1


async def nothing() -> dict[str, float]:
    """No facts."""
    return {}


async def rtt(e: Engine, size: Size) -> Operation:
    """A round trip of n bytes between parties 0 and 1."""
    message = bytes(size.n)

    async def timed() -> None:
        for _ in range(ROUND_TRIPS):
            if e.session.rank == 0:
                await e.session.send_bytes(1, message)
                await e.session.recv_bytes(1, size.n)
            elif e.session.rank == 1:
                await e.session.send_bytes(0, await e.session.recv_bytes(0, size.n))

    return Operation(timed, nothing, ROUND_TRIPS)


async def bulk(e: Engine, size: Size) -> Operation:
    """n bytes from party 0 to party 1, and one byte back."""
    chunk = bytes(min(size.n, BULK_CHUNK))

    async def timed() -> None:
        if e.session.rank == 0:
            for _ in range(0, size.n, BULK_CHUNK):
                await e.session.send_bytes(1, chunk)
            await e.session.recv_bytes(1, 1)
        elif e.session.rank == 1:
            for _ in range(0, size.n, BULK_CHUNK):
                await e.session.recv_bytes(0, BULK_CHUNK)
            await e.session.send_bytes(0, b".")

    return Operation(timed, nothing)


async def mul(e: Engine, size: Size) -> Operation:
    """n products with truncation."""
    x, y = _numbers(size.n, 1), _numbers(size.n, 2)
    a, b = await _shared(e, 0, x), await _shared(e, 1, y)
    out = [a]

    async def timed() -> None:
        out[0] = await e.truncate(await e.mul(a, b), F)

    async def facts() -> dict[str, float]:
        return {"max_abs_error": float(np.max(np.abs(await _opened(e, out[0]) - x * y)))}

    return Operation(timed, facts)


async def less(e: Engine, size: Size) -> Operation:
    """n comparisons of 64-bit numbers."""
    x, y = _numbers(size.n, 1), _numbers(size.n, 2)
    a, b = await _shared(e, 0, x), await _shared(e, 1, y)
    out = [await e.msb(a[:1])]

    async def timed() -> None:
        out[0] = await e.less(a, b)

    async def facts() -> dict[str, float]:
        bits = (await e.open(await e.b2a(out[0]), what="bench"))[0]
        return {"max_abs_error": float(np.max(np.abs(bits.astype(np.int64) - (x < y))))}

    return Operation(timed, facts)


async def sigmoid_(e: Engine, size: Size) -> Operation:
    """n sigmoids."""
    x = _numbers(size.n, 1)
    a = await _shared(e, 0, x)
    out = [a]

    async def timed() -> None:
        out[0] = await e.sigmoid(a, F)

    async def facts() -> dict[str, float]:
        return {"max_abs_error": float(np.max(np.abs(await _opened(e, out[0]) - sigmoid(x))))}

    return Operation(timed, facts)


async def matmul(e: Engine, size: Size) -> Operation:
    """An owner's (n, d) matrix times a shared vector, reshared; the matrix is prepared before."""
    x, w = _numbers(size.n * size.d, 1).reshape(size.n, size.d), _numbers(size.d, 2)
    matrix = await e.private_matrix(0, encode(x, F) if e.session.rank == 0 else None, x.shape)
    shared = await _shared(e, 1, w)
    out = [shared]

    async def timed() -> None:
        out[0] = await e.truncate(await e.private_linear(matrix, shared, slice(0, size.n)), F)

    async def facts() -> dict[str, float]:
        return {"max_abs_error": float(np.max(np.abs(await _opened(e, out[0]) - x @ w)))}

    return Operation(timed, facts)


async def reciprocal_(e: Engine, size: Size) -> Operation:
    """n reciprocals of numbers from 1/4 to 20."""
    x = np.abs(_numbers(size.n, 1)) + 0.25
    a = await _shared(e, 0, x)
    out = [a]

    async def timed() -> None:
        out[0] = await reciprocal(e, a)

    async def facts() -> dict[str, float]:
        return {"max_abs_error": float(np.max(np.abs(await _opened(e, out[0]) - 1 / x)))}

    return Operation(timed, facts)


async def select_sum(e: Engine, size: Size) -> Operation:
    """Sums of a shared vector over party 0's n x d bins, ``BINS`` a column; the bins are prepared before."""
    bins = np.random.default_rng(1).integers(0, BINS, (size.n, size.d)).astype(np.uint8)
    v = np.random.default_rng(2).uniform(-1, 1, size.n)
    held = await e.private_bins(0, bins if e.session.rank == 0 else None, bins.shape, BINS)
    shared = await _shared(e, 1, v)
    out = [shared]

    async def timed() -> None:
        out[0] = await e.reshare(await e.select_sum(held, shared, F + 1))

    async def facts() -> dict[str, float]:
        sums = np.stack([np.bincount(bins[:, j], v, BINS) for j in range(size.d)])
        return {"max_abs_error": float(np.max(np.abs(await _opened(e, out[0]) - sums)))}

    return Operation(timed, facts)


async def ot(e: Engine, size: Size) -> Operation:
    """n random oblivious transfers of bits from party 0 to party 1, from the engine's source."""
    session: Session = e.session.fork("ot")
    silently = e.session.transcript.sources.get(1 - session.rank) == "silent"
    ends = await start_pair(session, 1 - session.rank, silently=silently) if session.rank < 2 else None
    found: list[tuple[Any, Any]] = []

    async def timed() -> None:
        if ends is not None:
            found[:] = [await (ends[0] if session.rank == 0 else ends[1]).random_bits(size.n, 1)]

    async def facts() -> dict[str, float]:
        """Both show what they have: the transfers are spent on nothing else."""
        if ends is None:
            return {}
        (mine,) = found
        first, second = (np.ascontiguousarray(part).reshape(-1) for part in mine)
        got = await session.exchange(
            {1 - session.rank: [first, second]}, {1 - session.rank: [first.shape, second.shape]}
        )
        sent, taken = ((first, second), got[1]) if session.rank == 0 else (got[0], (first, second))
        choices, bits = taken
        wrong = bits ^ sent[0] ^ (choices & (sent[0] ^ sent[1]))
        whole = wrong[: size.n // 64]
        return {"max_abs_error": float(np.count_nonzero(whole))}

    return Operation(timed, facts)


async def psi(e: Engine, size: Size) -> Operation:
    """The alignment of n rows a party, nine tenths of them common."""
    first = size.n // 10 * (e.session.rank + 1)
    keys = [b"%d" % i for i in range(first, first + size.n)]

    async def timed() -> None:
        fork: Session = e.session.fork("psi")
        await intersect(fork, keys, seed=SEED, max_rows=size.n)

    return Operation(timed, nothing)


async def lr_(e: Engine, size: Size) -> Operation:
    """One epoch of logistic regression on (n, d), batches of B; the matrices are prepared before."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((size.n, size.d))
    truth = rng.standard_normal(size.d) / np.sqrt(size.d) * 2
    y = (rng.random(size.n) < sigmoid(x @ truth)).astype(np.float64)
    parties = e.session.n_parties
    cuts = np.array_split(np.arange(size.d), parties)
    params: dict[str, int | float] = {"epochs": 1, "batch_size": size.batch, "learning_rate": 0.5, "l2": 0.0001}
    names = tuple(tuple(f"x{i}" for i in cut) for cut in cuts)
    terms = Terms(tuple(map(str, range(parties))), names, 0, SEED, 0.2, params, "label-owner", "owner", "all", size.n)
    order, train = split_order(SEED, size.n, terms.test_fraction)
    mine = x[order][:, cuts[e.session.rank]]
    standardised = Standardisation.fit(mine[:train]).apply(mine)
    blocks = await lr.prepare_blocks(e, terms, standardised, size.n)
    label = await e.input(0, encode(y[order[:train]], F) if e.session.rank == 0 else None, (train,))
    out = [label]

    async def timed() -> None:
        out[0] = await lr.train(
            e, terms, blocks, label, start=None, after_epoch=lambda *_: None, after_batch=lambda _: None
        )

    async def facts() -> dict[str, float]:
        w = await _opened(e, out[0])
        ordered = np.concatenate([cuts[0], [size.d], *cuts[1:]]).astype(np.int64)
        weights = np.empty(size.d + 1)
        weights[ordered] = w
        reference, metrics = train_and_test(x, y, seed=SEED, test_fraction=0.2, params=params)
        test = np.hstack((Standardisation.fit(x[order[:train]]).apply(x[order[train:]]), np.ones((size.n - train, 1))))
        auc = evaluate(y[order[train:]], sigmoid(test @ weights))["auc"]
        error = float(np.max(np.abs(weights - reference)))
        return {"max_abs_error": error, "auc": auc, "auc_plaintext": metrics["auc"], "train_rows": train}

    return Operation(timed, facts)


Build = Callable[[Engine, Size], Awaitable[Operation]]
OPERATIONS: dict[str, tuple[Build, Size]] = {
    "rtt": (rtt, Size(1024, 0, 0)),
    "bulk": (bulk, Size(1 << 28, 0, 0)),
    "mul": (mul, Size(1_000_000, 0, 0)),
    "less": (less, Size(1_000_000, 0, 0)),
    "sigmoid": (sigmoid_, Size(100_000, 0, 0)),
    "matmul": (matmul, Size(10_000, 100, 0)),
    "reciprocal": (reciprocal_, Size(100_000, 0, 0)),
    "select-sum": (select_sum, Size(10_000, 50, 0)),
    "ot": (ot, Size(4_000_000, 0, 0)),
    "psi": (psi, Size(1000, 0, 0)),
    "lr": (lr_, Size(12_500, 100, 1024)),
}
"""Each with its default size; LR's 12,500 rows leave 10,000 to train on."""


def _numbers(count: int, seed: int) -> Vector:
    return np.random.default_rng(seed).uniform(-20, 20, count)


async def _shared(e: Engine, owner: int, x: Vector) -> Share:
    return await e.input(owner, encode(x, F) if e.session.rank == owner else None, x.shape)


async def _opened(e: Engine, share: Share) -> Vector:
    return decode((await e.open(share, what="bench"))[0], F)
