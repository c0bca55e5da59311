"""What `hansa bench` measures, by name: the usual sizes, what may be chosen, and what it takes of memory.

Without numpy or the engines, so that the command line can refuse a plan before anything starts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final

from hansa.node.errors import UsageError
from hansa.node.lab.testnet.shape import Shape

SOURCES: Final = ("auto", "softspoken", "silent")
KINDS: Final = ("random", "correlated", "one-of-16")
MAX_N: Final = 1 << 30
_REST: Final = 300_000_000
"""Bytes of a process that has nothing to do yet, with room: Python, numba, the kernels and their buffers."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large: elements or rows n, columns d, rows a batch (0 where it has none); of transfers their kind and trees' depth
    w; of boosting bins a column, depth and trees."""

    n: int
    d: int = 0
    batch: int = 0
    kind: str = ""
    w: int = 0
    bins: int = 0
    depth: int = 0
    trees: int = 0


@dataclass(frozen=True, slots=True)
class BenchEntry:
    """One measurement: its usual size, what it does, bytes of memory an element (n, or n x d) at a party, its greatest n."""

    usual: Size
    about: str
    memory: int = 400
    most: int = MAX_N
    least: int = 1


SORTED: Final = 1 << 22
CATALOGUE: Final[dict[str, BenchEntry]] = {
    "rtt": BenchEntry(Size(1024), "a round trip of n bytes", 4),
    "bulk": BenchEntry(Size(1 << 28), "n bytes one way", 1),
    "mul": BenchEntry(Size(1_000_000), "products with truncation"),
    "square": BenchEntry(Size(1_000_000), "squares with truncation"),
    "inner": BenchEntry(Size(1_000_000), "one inner product of vectors of n"),
    "product": BenchEntry(Size(1_000, 100), "a shared n x d matrix times a shared d x d one"),
    "truncate": BenchEntry(Size(1_000_000), "truncations by all fraction bits"),
    "open": BenchEntry(Size(1_000_000), "n numbers opened to all"),
    "and": BenchEntry(Size(1_000_000), "ANDs of bits"),
    "less": BenchEntry(Size(1_000_000), "comparisons of 64-bit numbers", 600),
    "msb": BenchEntry(Size(1_000_000), "signs", 600),
    "equal": BenchEntry(Size(100_000), "tests for equality", 1200),
    "mux": BenchEntry(Size(1_000_000), "choices between two numbers"),
    "inject": BenchEntry(Size(1_000_000), "bits times numbers"),
    "a2b": BenchEntry(Size(100_000), "decompositions into 64 bits", 2000),
    "b2a": BenchEntry(Size(1_000_000), "bits as ring elements"),
    "sigmoid": BenchEntry(Size(100_000), "sigmoids", 3000),
    "reciprocal": BenchEntry(Size(100_000), "reciprocals", 400),
    "divide": BenchEntry(Size(20_000), "quotients"),
    "sqrt": BenchEntry(Size(20_000), "square roots"),
    "rsqrt": BenchEntry(Size(20_000), "inverse square roots"),
    "exp": BenchEntry(Size(20_000), "exponentials"),
    "log": BenchEntry(Size(20_000), "logarithms"),
    "softmax": BenchEntry(Size(1_000, 10), "softmax of n lines of d", 2000),
    "maximum": BenchEntry(Size(10_000), "the greatest of n", 1000, SORTED),
    "argmax": BenchEntry(Size(10_000), "the greatest of n, and its place", 1000, SORTED),
    "top-k": BenchEntry(Size(1_000), "the 10 greatest of n, and their places", 1000, SORTED),
    "sort": BenchEntry(Size(1_000), "n numbers in order", 1000, SORTED),
    "shuffle": BenchEntry(Size(1_000), "n numbers in an order nobody knows", 6000, SORTED),
    "permute": BenchEntry(Size(1_000), "n numbers moved to secret places", 1000, SORTED),
    "auc": BenchEntry(Size(1_000), "the AUC of n shared scores", 2500, SORTED, 2),
    "ks": BenchEntry(Size(1_000), "the KS of n shared scores", 2500, SORTED, 2),
    "uniform": BenchEntry(Size(100_000), "uniform random numbers below 1", 2000),
    "matmul": BenchEntry(Size(10_000, 100), "an owner's n x d matrix times a shared vector", 100),
    "select-sum": BenchEntry(Size(10_000, 50), "sums of a shared vector over an owner's n x d bins, 16 a column", 500),
    "ot": BenchEntry(Size(4_000_000, kind="random", w=4), "oblivious transfers between two", 100),
    "psi": BenchEntry(Size(1000), "the alignment of n rows a party", 2000),
    "lr": BenchEntry(
        Size(12_500, 100, 1024), "an epoch of logistic regression, a fifth of n rows held out", 120, least=20
    ),
    "gbdt": BenchEntry(
        Size(10_000, 100, bins=16, depth=3, trees=3), "boosted trees, logistic, on n x d bins", 150, least=20
    ),
}
"""LR's 12,500 rows leave 10,000 to train on. Memory is an upper estimate, by which a plan is refused."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One measurement: what, how large, how often, between whom, over which links."""

    operation: str
    size: Size
    repeat: int
    suite: str
    shape: Shape | None
    engine: str = "replicated"
    parties: int = 3
    dealer: bool = False
    ahead: bool = False
    ot: str = "auto"

    @property
    def processes(self) -> int:
        """The parties, and the dealer."""
        return self.parties + self.dealer


def chosen_size(operation: str, wanted: dict[str, int | str | None], *, strict: bool) -> Size:
    """The usual size but for what is wanted; an option without meaning for it is refused, or skipped if not ``strict``."""
    usual = CATALOGUE[operation].usual
    size = usual
    for name, value in wanted.items():
        if value is None:
            continue
        if getattr(usual, name):
            size = replace(size, **{name: value})  # type: ignore[arg-type]  # each by its own name
        elif strict:
            having = [known for known, entry in CATALOGUE.items() if getattr(entry.usual, name)]
            raise UsageError(
                f"--{name} means nothing to {operation}",
                remedy=f"leave it out: {', '.join(having)} take{'s' if len(having) == 1 else ''} it",
            )
    return size


def check_plan(plan: Plan) -> None:
    """Refuse with ``UsageError`` what cannot be measured: the wrong parties, too few rows, more than memory holds."""
    entry, size = CATALOGUE[plan.operation], plan.size
    if plan.engine == "replicated" and (plan.parties < 3 or plan.dealer):
        raise UsageError(
            "the engine replicated takes three parties or more, and no dealer",
            remedy=f"hansa bench {plan.operation} --engine additive --parties {plan.parties}",
        )
    if plan.ahead and (plan.engine != "additive" or plan.dealer):
        raise UsageError(
            "only the engine additive without a dealer uses what was made ahead",
            remedy=f"hansa bench {plan.operation} --engine additive --ahead",
        )
    if plan.ot != "auto" and (plan.engine != "additive" or plan.dealer):
        raise UsageError(
            "only the engine additive without a dealer chooses where transfers come from",
            remedy=f"hansa bench {plan.operation} --engine additive --ot {plan.ot}",
        )
    if not entry.least <= size.n <= entry.most:
        raise UsageError(
            f"{plan.operation} takes n from {entry.least} to {entry.most}, not {size.n}",
            remedy=f"hansa bench {plan.operation} --n {entry.usual.n}",
        )
    if plan.operation in ("lr", "gbdt") and size.d < plan.parties:
        raise UsageError(
            f"{size.d} columns are too few for {plan.parties} parties",
            remedy=f"hansa bench {plan.operation} --d {plan.parties}",
        )
    needed = plan.processes * (_REST + entry.memory * size.n * max(size.d, 1))
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UsageError(
            f"{plan.operation} of this size may take {needed / 1e9:.0f} GB for its {plan.processes} processes; "
            f"this machine has {there / 1e9:.0f} GB",
            remedy="choose a smaller --n or --d",
        )
