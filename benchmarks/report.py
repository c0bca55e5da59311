"""The tables of benchmarks/RESULTS.md, measured.

python benchmarks/report.py [OP ...] [--scale 1] [--repeat 5] [--out FILE] [--plot FILE.svg]

Runs `hansa bench ... --json` for every engine: operators and training on loopback, training at 100 Mbit/s and 20 ms, memory at
n and 2n, and for the plot seconds against n. Prints markdown; --scale 0.01 tries it with a hundredth of the sizes. "Theirs" are
SPU 0.9.5 (and its engines named), measured on two cores of the same kind, every party on them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from plot import Curves, Panel, page

ENGINES: Final[dict[str, list[str]]] = {
    "replicated, 3 parties": ["--engine", "replicated"],
    "additive, dealer, 2 parties": ["--engine", "additive", "--dealer"],
    "additive, no dealer, 2 parties": ["--engine", "additive"],
    "additive, no dealer, 3 parties": ["--engine", "additive", "--parties", "3"],
}
SIZES: Final = {
    "less": 1_000_000,
    "mul": 1_000_000,
    "sigmoid": 100_000,
    "reciprocal": 100_000,
    "matmul": 10_000,
    "select-sum": 10_000,
    "sort": 10_000,
    "auc": 10_000,
    "lr": 12_500,
}
SLOWER: Final = {"additive, no dealer, 3 parties": 10}
"""Engines that are measured with so much less, lest the report take hours (of lr all rows: its figure is an epoch's)."""
THEIRS: Final = {
    ("less", "replicated, 3 parties"): "ABY3 1.04 s, 36 MB",
    ("less", "additive, dealer, 2 parties"): "SEMI2K 0.86 s, 56 MB",
    ("less", "additive, no dealer, 2 parties"): "Cheetah 12.8 s, 71 / 14 MB",
    ("mul", "replicated, 3 parties"): "ABY3 0.11 s, 20 MB",
    ("mul", "additive, dealer, 2 parties"): "SEMI2K 0.17 s, 20 MB",
    ("mul", "additive, no dealer, 2 parties"): "Cheetah 3.47 s, 114 MB",
    ("sigmoid", "replicated, 3 parties"): "ABY3 0.60 s, 59 MB",
    ("sigmoid", "additive, dealer, 2 parties"): "SEMI2K 0.53 s, 60 MB",
    ("sigmoid", "additive, no dealer, 2 parties"): "Cheetah 2.4 s crude, 29 s real",
    ("reciprocal", "replicated, 3 parties"): "ABY3 0.52 s, 45 MB",
    ("reciprocal", "additive, dealer, 2 parties"): "SEMI2K 0.45 s, 50 MB",
    ("reciprocal", "additive, no dealer, 2 parties"): "Cheetah 21.8 s, 160 MB",
    ("matmul", "replicated, 3 parties"): "ABY3 12 ms, 0.2 MB",
    ("matmul", "additive, dealer, 2 parties"): "SEMI2K 64 ms, 8 MB",
    ("matmul", "additive, no dealer, 2 parties"): "Cheetah 0.45 s, 0.9 MB",
    ("lr", "replicated, 3 parties"): "ABY3 0.21-0.41 s, 1.5-6 MB",
    ("lr", "additive, dealer, 2 parties"): "SEMI2K 0.24-0.39 s, 18-22 MB",
    ("lr", "additive, no dealer, 2 parties"): "Cheetah 5.2-10 s, 12-84 MB",
}
SLOW_LINK: Final = ["--latency", "20ms", "--bandwidth", "100mbit"]
GROWING: Final = ("less", "mul", "sigmoid", "lr")
CURVES: Final = (1_000, 10_000, 100_000, 1_000_000)

Found = dict[str, Any]


def bench(operation: str, n: int, repeat: int, options: list[str]) -> Found:
    """One measurement by `hansa bench`."""
    hansa = Path(sys.executable).with_name("hansa")
    command = [str(hansa), "bench", operation, "--n", str(n), "--repeat", str(repeat), "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(f"{' '.join(command[1:])}: {json.loads(done.stdout)['seconds']:.4g} s", file=sys.stderr, flush=True)
    return dict(json.loads(done.stdout))


def size(operation: str, engine: str, scale: float) -> int:
    """How large; of lr no less than has both labels among the rows held out."""
    less = 1 if operation == "lr" else SLOWER.get(engine, 1)
    return max(int(SIZES[operation] * scale / less), 100)


def machine() -> str:
    """Where and when this was measured, and with how much else going on."""
    names = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores ({names[0] if names else platform.machine()}), "
        f"{memory:.0f} GiB, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before."
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def markdown(headers: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (headers, ["---"] * len(headers), *rows))


def figures(found: list[tuple[str, Found]]) -> str:
    """Times, rounds, bytes, errors of (engine, measurement), beside theirs."""
    rows = []
    for engine, f in found:
        wide = f" x {f['d']}" if "d" in f else ""
        quality = f"AUC {f['auc']:.4f} ({f['auc_plaintext']:.4f})" if "auc" in f else f"{f['max_abs_error']:.1e}"
        ahead = max(f["preprocessing_bytes_per_party"]) + f.get("dealer_bytes", 0)
        usual = f["n"] == SIZES.get(f["bench"]) and not f["latency_s"]
        rows.append(
            [
                f["bench"],
                f"{f['n']:,}{wide}",
                engine,
                seconds(f["seconds"]),
                seconds(f["preprocessing_seconds"]),
                f"{f['rounds']:,}",
                " / ".join(megabytes(sent) for sent in f["online_bytes_per_party"]),
                megabytes(ahead),
                f"{f['peak_rss_mb']:.0f}",
                quality,
                THEIRS.get((f["bench"], engine), "") if usual else "",
            ]
        )
    headers = ["bench", "n", "engine", "time", "of it ahead", "rounds", "MB online by each", "MB ahead", "MB memory"]
    return markdown([*headers, "error, or AUC (plaintext)", "theirs"], rows)


def growth(found: list[tuple[str, Found, Found]]) -> str:
    """Memory and time of (engine, at n, at 2n), and what an element more takes."""
    rows = []
    for engine, once, twice in found:
        elements = (twice["n"] - once["n"]) * once.get("d", 1)
        more = (twice["peak_rss_mb"] - once["peak_rss_mb"]) * 1e6 / elements
        peaks = f"{once['peak_rss_mb']:.0f} / {twice['peak_rss_mb']:.0f}"
        times = f"{seconds(once['seconds'])} / {seconds(twice['seconds'])}"
        rows.append([once["bench"], engine, f"{once['n']:,} / {twice['n']:,}", times, peaks, f"{more:.0f}"])
    return markdown(["bench", "engine", "n", "time", "MB memory", "bytes an element more (lr: row and column)"], rows)


def seconds(value: float) -> str:
    """With three digits."""
    return f"{value:.3g} s" if value >= 0.1 else f"{value * 1000:.3g} ms"


def megabytes(value: float) -> str:
    """With three digits."""
    return f"{value / 1e6:.3g}"


def measured(operations: list[str], scale: float, repeat: int) -> str:
    """All tables, of some operations."""
    began = machine()
    local = [
        (engine, bench(operation, size(operation, engine, scale), repeat, options))
        for operation in operations
        for engine, options in ENGINES.items()
    ]
    transfers = bench("ot", int(4_000_000 * scale), repeat, ["--engine", "additive"])
    busy = " + ".join(f"{1e9 * spent / transfers['n']:.0f}" for spent in transfers["processor_seconds_per_party"])
    slow = [
        (engine, bench("lr", size("lr", engine, scale), 1, [*options, *SLOW_LINK]))
        for engine, options in ENGINES.items()
    ]
    grown = [
        (engine, *(bench(operation, many * size(operation, engine, scale), 1, options) for many in (1, 2)))
        for operation in GROWING
        if operation in operations
        for engine, options in ENGINES.items()
        if engine not in SLOWER
    ]
    return (
        f"{began} Medians of {repeat}, every party a process on these cores.\n\n{figures(local)}\n"
        f"Random oblivious transfers: {transfers['n'] / transfers['seconds'] / 1e6:.1f} M/s; processor "
        f"{busy} ns each, "
        f"{transfers['bytes_sent_per_party'] / transfers['n']:.2f} bytes.\n\n"
        f"At 100 Mbit/s and 20 ms one way, one run:\n\n{figures(slow)}\nTwice the data:\n\n{growth(grown)}"
    )


def curves(operations: list[str], scale: float, repeat: int) -> list[Panel]:
    """Seconds against n for less and mul on every engine."""
    panels = []
    for operation in [name for name in ("less", "mul") if name in operations]:
        found: Curves = {}
        for engine, options in ENGINES.items():
            if engine in SLOWER:
                continue
            points = [bench(operation, max(int(n * scale), 10), repeat, options) for n in CURVES]
            found[engine] = [(p["n"], p["seconds"]) for p in points]
        panels.append(Panel("seconds", f"n ({operation})", found))
    return panels


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description="Measure the tables of benchmarks/RESULTS.md.")
    parser.add_argument("operations", metavar="OP", nargs="*", help=f"of {', '.join(SIZES)} (default: all)")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the tables to a file (default: print them)")
    parser.add_argument("--plot", type=Path, help="draw seconds against n as well")
    args = parser.parse_args()
    operations = args.operations or list(SIZES)
    if not set(operations) <= set(SIZES) or (args.plot and not {"less", "mul"} & set(operations)):
        parser.error(f"choose of {', '.join(SIZES)}; the plot draws less and mul")
    tables = measured(operations, args.scale, args.repeat)
    if args.out:
        args.out.write_text(tables)
    else:
        print(tables)
    if args.plot:
        panels = curves(operations, args.scale, args.repeat)
        args.plot.write_text(page(panels, "hansa bench: seconds against n", columns=len(panels)))


if __name__ == "__main__":
    main()
