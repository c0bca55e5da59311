"""Boosted trees against rows, columns, bins, depth and parties: a table of benchmarks/RESULTS.md, and a page of plots.

python benchmarks/trees.py [AXIS ...] [--repeat 3] [--large] [--raw FILE] [--out FILE] [--plot FILE.svg]

One number at a time is varied from 10,000 rows x 100 columns, 16 bins, depth 3, with two parties (replicated: three). Runs
`hansa bench gbdt --json`; beside it XGBoost trains on the same rows in plain, its bins made before. What ``--raw`` holds is not
measured again, so that a run may be broken off, or drawn anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import xgboost
from plot import Curves, Panel, page
from report import bench, machine, markdown, megabytes, seconds

from hansa.algorithms.gbdt import xgboost_adapter
from hansa.algorithms.gbdt.params import TreeParams
from hansa.node.lab.bench.training import problem

TREES: Final = 2
ENGINES: Final[dict[str, list[str]]] = {
    "no dealer": ["--engine", "additive"],
    "dealer": ["--engine", "additive", "--dealer"],
    "replicated": ["--engine", "replicated"],
}
THREADS: Final = {"XGBoost, 1 thread": 1, "XGBoost, 2 threads": 2}
LARGE: Final = 1_000_000

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """What is measured; ``parties`` 0: as few as the engine takes."""

    n: int = 10_000
    d: int = 100
    bins: int = 16
    depth: int = 3
    parties: int = 0


AXES: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "n": ("rows", (1_000, 3_000, 10_000, 30_000, 100_000)),
    "d": ("columns", (20, 50, 100, 200)),
    "bins": ("bins a column", (4, 8, 16, 32, 64)),
    "depth": ("depth", (1, 2, 3, 4, 5, 6, 7)),
    "parties": ("parties", (2, 3, 4, 5)),
}
"""Axis: its name, and its values."""


def least_parties(engine: str) -> int:
    """As few as there may be."""
    return 3 if engine == "replicated" else 2


def secret(engine: str, at: Point, repeat: int) -> Found:
    """By one engine; once only where it takes long."""
    parties = at.parties or least_parties(engine)
    slow = engine == "no dealer" and (parties > 2 or at.depth > 5 or at.n > 50_000)
    sizes = {"d": at.d, "bins": at.bins, "depth": at.depth, "trees": TREES, "parties": parties}
    options = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    found = bench("gbdt", at.n, 1 if slow else repeat, [*ENGINES[engine], *options])
    sent = sum(found["online_bytes_per_party"]) + sum(found["preprocessing_bytes_per_party"])
    return {
        "seconds": found["seconds_per_tree"],
        "setup": found["setup_seconds"],
        "bytes": sent + found.get("dealer_bytes", 0),
        "rounds": found["rounds_per_tree"],
    }


def plain(threads: int, at: Point, repeat: int) -> Found:
    """By XGBoost: a tree of twenty, the median of five times ``repeat``, for they take milliseconds."""
    x, y = problem(at.n, at.d)
    params = TreeParams(n_estimators=20, max_depth=at.depth, max_bin=at.bins)
    rows = xgboost.QuantileDMatrix(x, y, max_bin=at.bins, nthread=threads)
    took = []
    for _ in range(5 * repeat):
        began = time.perf_counter()
        xgboost.train(xgboost_adapter.settings(params, y, threads), rows, params.n_estimators)
        took.append((time.perf_counter() - began) / params.n_estimators)
    return {"seconds": statistics.median(took)}


class Measured:
    """Measurements by who and where; kept in a file of JSON lines if there is one."""

    def __init__(self, raw: Path | None, repeat: int) -> None:
        self._raw, self._repeat = raw, repeat
        lines = raw.read_text().splitlines() if raw and raw.exists() else []
        self._found: dict[tuple[str, Point], Found] = {
            (line["who"], Point(**line["at"])): line["found"] for line in map(json.loads, lines)
        }

    def __call__(self, who: str, at: Point) -> Found | None:
        """None where the engine does not take so few parties."""
        if who in ENGINES:
            if 0 < at.parties < least_parties(who):
                return None
            at = replace(at, parties=at.parties or least_parties(who))
        elif at.parties:
            return None  # it pools
        if (who, at) not in self._found:
            found = secret(who, at, self._repeat) if who in ENGINES else plain(THREADS[who], at, self._repeat)
            self._found[who, at] = found
            if self._raw:
                with self._raw.open("a") as file:
                    file.write(json.dumps({"who": who, "at": asdict(at), "found": found}) + "\n")
        return self._found[who, at]


Measure = Callable[[str, Point], Found | None]


def points(axis: str, large: bool) -> list[Point]:
    """Along an axis."""
    more = (LARGE,) if axis == "n" and large else ()
    return [replace(Point(), **{axis: value}) for value in (*AXES[axis][1], *more)]


def table(measure: Measure, axes: list[str], large: bool) -> str:
    """Of every point each engine's time, set-up, bytes and rounds, and XGBoost's time."""
    rows = []
    for axis in axes:
        for at in points(axis, large):
            found = [measure(who, at) for who in (*ENGINES, *THREADS)]
            rows.append([f"{AXES[axis][0]} {getattr(at, axis):,}", *(cell(one) for one in found)])
    return markdown(["", *ENGINES, *THREADS], rows)


def cell(found: Found | None) -> str:
    """A measurement in the table."""
    if found is None:
        return ""
    if "bytes" not in found:
        return seconds(found["seconds"])
    return (
        f"{seconds(found['seconds'])} + {seconds(found['setup'])}, {megabytes(found['bytes'])} MB, {found['rounds']:,}"
    )


def panels(measure: Measure, axes: list[str], large: bool) -> list[Panel]:
    """Of every axis seconds, and beside them bytes."""
    drawn = []
    for axis in axes:
        for what, scale, title in (("seconds", 1.0, "seconds a tree"), ("bytes", 1e-6, "MB a tree, sent by all")):
            curves: Curves = {}
            for who in (*ENGINES, *THREADS):
                each = [(getattr(at, axis), measure(who, at)) for at in points(axis, large)]
                line = [(float(x), found[what] * scale) for x, found in each if found and what in found]
                if line:
                    curves[who] = line
            drawn.append(Panel(title, AXES[axis][0], curves, x_log=axis in ("n", "d", "bins")))
    return drawn


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description="Measure boosted trees against what they depend on.")
    parser.add_argument("axes", metavar="AXIS", nargs="*", help=f"of {', '.join(AXES)} (default: all)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="up to a million rows: hours, and 20 GB")
    parser.add_argument("--raw", type=Path, help="JSON lines of what was measured; read if it exists, and added to")
    parser.add_argument("--out", type=Path, help="write the table to a file (default: print it)")
    parser.add_argument("--plot", type=Path, help="draw the page")
    args = parser.parse_args()
    axes = args.axes or list(AXES)
    if not set(axes) <= set(AXES):
        parser.error(f"choose of {', '.join(AXES)}")
    began, measure = machine(), Measured(args.raw, args.repeat)
    text = f"{began} Medians of {args.repeat}.\n\n{table(measure, axes, args.large)}"
    if args.out:
        args.out.write_text(text)
    else:
        sys.stdout.write(text)
    if args.plot:
        title = "Boosted trees: 10,000 rows x 100 columns, 16 bins, depth 3, one of these varied at a time"
        args.plot.write_text(page(panels(measure, axes, args.large), title, columns=2, dashed=frozenset(THREADS)))


if __name__ == "__main__":
    main()
