"""The operators on shares, as a table: their inputs, the call, and what plain numbers give.

Inputs come from public seeds, so that every party can compare the opened result. Of bits at most ``CHECKED`` are opened.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hansa.algorithms.lr.plaintext import sigmoid
from hansa.algorithms.metrics import evaluate
from hansa.config.vocabulary import FRAC_BITS as F
from hansa.node.lab.bench.catalogue import Size
from hansa.node.lab.bench.operation import Build, Facts, Operation, distance, numbers
from hansa.protocols.mpc import operators as op
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.fixed_point import decode, encode
from hansa.protocols.mpc.shares import BitShare, Share

Plain = NDArray[Any]
Inputs = list[Plain]
CHECKED: Final = 1 << 20
_K: Final = 10


@dataclass(frozen=True, slots=True)
class Operator:
    """Inputs: floats are shared in fixed point, integers as they are, truth values as bits; ``plain`` gives likewise.

    ``seen`` is what of the result is determined, for operators that choose at random.
    """

    inputs: Callable[[Size], Inputs]
    call: Callable[..., Awaitable[Any]]
    plain: Callable[..., Plain | tuple[Plain, ...]]
    seen: Callable[[Plain], Plain] = np.asarray


def _one(size: Size) -> Inputs:
    return [numbers(size.n, 1)]


def _two(size: Size) -> Inputs:
    return [numbers(size.n, 1), numbers(size.n, 2)]


def _positive(size: Size) -> Inputs:
    return [np.abs(numbers(size.n, 1)) + 0.25]


def _quotient(size: Size) -> Inputs:
    return [numbers(size.n, 2), *_positive(size)]


def _exponents(size: Size) -> Inputs:
    return [numbers(size.n, 1) / 4]


def _alike(size: Size) -> Inputs:
    return [part.astype(np.int64) // 10 for part in _two(size)]


def _bits(size: Size) -> Inputs:
    return [numbers(size.n, 3) > 0]


def _words(size: Size) -> Inputs:
    return [numbers(size.n, 1).view(np.int64)]


def _matrices(size: Size) -> Inputs:
    lines = numbers(size.n * size.d, 1).reshape(size.n, size.d)
    return [lines, numbers(size.d * size.d, 2).reshape(size.d, size.d)]


def _lines(size: Size) -> Inputs:
    return [numbers(size.n * size.d, 1).reshape(size.n, size.d)]


def _places(size: Size) -> Inputs:
    return [np.random.default_rng(4).permutation(size.n), numbers(size.n, 1)]


def _ranking(size: Size) -> Inputs:
    """Scores that have to do with labels, of which both occur."""
    labels = np.arange(size.n) % 2
    return [np.random.default_rng(5).permutation(size.n) / size.n + labels / 2, labels]


def _softmax(x: Plain) -> Plain:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _top(k: int, x: Plain) -> tuple[Plain, Plain]:
    places = np.argsort(-x, kind="stable")[:k]
    return x[places], places


def _moved(places: Plain, x: Plain) -> Plain:
    out = np.empty_like(x)
    out[places] = x
    return out


async def _greatest(e: Engine, x: Share) -> tuple[Share, ...]:
    return await op.top_k(e, x, min(_K, x.size))


async def _ranked(measure: Callable[[Engine, op.Ranked], Awaitable[Share]], e: Engine, *pair: Share) -> Share:
    return await measure(e, await op.rank(e, *pair))


def _metric(name: str, scores: Plain, labels: Plain) -> Plain:
    return np.array([evaluate(labels.astype(np.float64), scores)[name]])


def _word_bits(x: Plain) -> Plain:
    return np.stack([(x >> k) & 1 for k in range(64)]).astype(np.bool_)


OPERATORS: Final[dict[str, Operator]] = {
    "mul": Operator(_two, op.mul, np.multiply),
    "square": Operator(_one, op.square, np.square),
    "inner": Operator(_two, op.inner, lambda x, y: np.array([x @ y])),
    "product": Operator(_matrices, op.matmul, np.matmul),
    "truncate": Operator(_one, lambda e, x: e.truncate(x, F), lambda x: x / 2**F),
    "open": Operator(_one, lambda e, x: e.open(x, what="bench"), np.asarray),
    "and": Operator(lambda s: _bits(s) * 2, lambda e, x, y: e.and_bits(x, y), np.logical_and),
    "less": Operator(_two, lambda e, x, y: e.less(x, y), np.less),
    "msb": Operator(_one, lambda e, x: e.msb(x), lambda x: x < 0),
    "equal": Operator(_alike, op.equal, np.equal),
    "mux": Operator(lambda s: _bits(s) + _two(s), op.mux, np.where),
    "inject": Operator(lambda s: _bits(s) + _one(s), op.inject, np.multiply),
    "a2b": Operator(_words, lambda e, x: e.a2b(x, 64), _word_bits),
    "b2a": Operator(_bits, lambda e, x: e.b2a(x), lambda x: x.astype(np.int64)),
    "sigmoid": Operator(_one, lambda e, x: e.sigmoid(x, F), sigmoid),
    "reciprocal": Operator(_positive, op.reciprocal, np.reciprocal),
    "divide": Operator(_quotient, op.divide, np.divide),
    "sqrt": Operator(_positive, op.sqrt, np.sqrt),
    "rsqrt": Operator(_positive, op.rsqrt, lambda x: 1 / np.sqrt(x)),
    "exp": Operator(_exponents, op.exp, np.exp),
    "log": Operator(_positive, op.log, np.log),
    "softmax": Operator(_lines, lambda e, x: op.softmax(e, x, 1), _softmax),
    "maximum": Operator(_one, op.maximum, np.max),
    "argmax": Operator(_one, op.argmax, lambda x: (x.max(), x.argmax())),
    "top-k": Operator(_one, _greatest, partial(_top, _K)),
    "sort": Operator(_one, op.sort, np.sort),
    "shuffle": Operator(_one, op.shuffle, np.sort, np.sort),
    "permute": Operator(_places, op.permute, _moved),
    "auc": Operator(_ranking, partial(_ranked, op.auc), partial(_metric, "auc")),
    "ks": Operator(_ranking, partial(_ranked, op.ks), partial(_metric, "ks")),
    "uniform": Operator(
        _one, lambda e, x: op.uniform(e, x.shape), np.zeros_like, lambda x: x - np.clip(x, 0, 1 - 2**-F)
    ),
}


async def build(operator: Operator, e: Engine, size: Size) -> Operation:
    """The operator on its inputs, the first of which is party 0's, the next party 1's, and so on in turn."""
    plain = [_representable(values) for values in operator.inputs(size)]
    inputs = [await _input(e, turn % 2, values) for turn, values in enumerate(plain)]
    out: list[Any] = []

    async def timed() -> None:
        found = await operator.call(e, *inputs)
        out[:] = found if isinstance(found, tuple) else (found,)

    async def facts() -> Facts:
        expected = operator.plain(*plain)
        found = expected if isinstance(expected, tuple) else (expected,)
        errors = [await _error(e, operator, *pair) for pair in zip(out, found, strict=True)]
        return {"max_abs_error": max(errors)}

    return Operation(timed, facts)


def _representable(values: Plain) -> Plain:
    """In fixed point, so that errors are the operator's own."""
    return decode(encode(values, F), F) if values.dtype == np.float64 else values


async def _input(e: Engine, owner: int, values: Plain) -> Share | BitShare:
    mine = e.session.rank == owner
    if values.dtype == np.bool_:
        return await e.msb(await _input_ring(e, owner, -values.astype(np.int64)))
    if values.dtype == np.float64:
        return await e.input(owner, encode(values, F) if mine else None, values.shape)
    return await _input_ring(e, owner, values)


async def _input_ring(e: Engine, owner: int, values: Plain) -> Share:
    return await e.input(owner, values.view(np.uint64) if e.session.rank == owner else None, values.shape)


async def _error(e: Engine, operator: Operator, out: Any, expected: Plain) -> float:
    expected = np.asarray(expected)
    if isinstance(out, BitShare):
        words = min(out.parts[0].shape[1], CHECKED // 64 // out.planes)
        count = min(out.length, 64 * words)
        some = BitShare(tuple(np.ascontiguousarray(part[:, :words]) for part in out.parts), count)
        (bits,) = await e.open(await op.b2a_planes(e, some), what="bench")
        return distance(bits, expected.reshape(out.planes, -1)[:, :count])
    ring = out if isinstance(out, np.ndarray) else (await e.open(out, what="bench"))[0]
    found = decode(ring, F) if expected.dtype == np.float64 else ring.view(np.int64)
    return distance(operator.seen(found).reshape(expected.shape), expected)


BUILDS: Final[dict[str, Build]] = {name: partial(build, operator) for name, operator in OPERATORS.items()}
