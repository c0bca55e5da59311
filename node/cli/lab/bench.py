"""hansa bench: measure links and engines."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

from hansa.config.vocabulary import MPC_ENGINES
from hansa.node.cli.output import say
from hansa.node.cli.parser import command
from hansa.node.cli.table import table
from hansa.node.cli.units import count, duration, size
from hansa.node.errors import UsageError
from hansa.node.lab.bench.catalogue import CATALOGUE, KINDS, MAX_N, SOURCES, Plan, check_plan, chosen_size
from hansa.node.lab.testnet.shape import Shape, parse_bandwidth, parse_latency

ABOUT = """\
Real processes, one a party, over Noise channels on loopback, or through a relay that gives them latency and bandwidth.
Seconds are the slowest party's median, what is made ahead of the data included; rounds and bytes do not wobble. Engines:
replicated (three parties; with more, further ones only input and receive), additive (two to five; --dealer adds a
process that deals, else the parties make their correlations themselves). --json prints one object a line.

OP, or all:
""" + "\n".join(f"  {name:12}{entry.about}" for name, entry in CATALOGUE.items())


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = command(
        subparsers,
        "bench",
        run,
        "measure links and engines",
        about=ABOUT,
        examples=[
            "hansa bench all",
            "hansa bench less --n 1000000",
            "hansa bench lr --engine additive --parties 2",
            "hansa bench lr --engine additive --parties 2 --dealer",
            "hansa bench less --engine additive --parties 2 --ot silent",
            "hansa bench lr --latency 20ms --bandwidth 100mbit",
        ],
    )
    parser.add_argument(
        "operation", metavar="OP", choices=(*CATALOGUE, "all"), help="what to measure, from the list above"
    )
    parser.add_argument("--engine", choices=MPC_ENGINES, default="replicated", help="the engine (default: replicated)")
    parser.add_argument("--parties", type=int, choices=(2, 3, 4, 5), help="how many parties (default: 3; additive 2)")
    parser.add_argument("--dealer", action="store_true", help="let one more process deal (additive)")
    parser.add_argument(
        "--ahead", action="store_true", help="use correlations made ahead and stored (additive, no dealer)"
    )
    parser.add_argument(
        "--ot", choices=SOURCES, default="auto", help="source of transfers (additive, no dealer; default: by the link)"
    )
    parser.add_argument("--n", type=_count, help="elements, rows or bytes (default: the operation's own)")
    parser.add_argument("--d", type=_count, help="columns")
    parser.add_argument("--batch", type=_count, help="rows a batch")
    parser.add_argument(
        "--bins", type=int, choices=range(2, 256), metavar="B", help="bins a column (gbdt; default: 16)"
    )
    parser.add_argument(
        "--depth", type=int, choices=range(1, 11), metavar="H", help="levels of a tree (gbdt; default: 3)"
    )
    parser.add_argument("--trees", type=_count, help="trees (gbdt; default: 3)")
    parser.add_argument("--kind", choices=KINDS, help="of transfers (ot; default: random)")
    parser.add_argument("--w", type=int, choices=range(1, 9), help="depth of the transfers' trees (ot; default: 4)")
    parser.add_argument(
        "--repeat", type=_count, help="repetitions, of which the median counts (default: 5; of all, 1)", metavar="TIMES"
    )
    parser.add_argument("--suite", choices=("AESGCM_SHA256", "ChaChaPoly_BLAKE2b"), default="AESGCM_SHA256")
    parser.add_argument("--latency", default="", help="one way, like 20ms (default: none)")
    parser.add_argument("--bandwidth", default="", help="a connection and direction, like 100mbit (default: unlimited)")


def run(args: argparse.Namespace) -> int:
    """Refuse what cannot be measured, measure the rest, and print."""
    whole = args.operation == "all"
    shape = _shape(args)
    plans = [_plan(args, operation, shape) for operation in (CATALOGUE if whole else (args.operation,))]
    for plan in plans:
        check_plan(plan)
    from hansa.node.lab.bench.measure import measure  # noqa: PLC0415  # brings the engines along

    results = []
    for plan in plans:
        found = measure(plan)
        results.append(found)
        if args.json:
            print(json.dumps(found))
            sys.stdout.flush()
    if not args.json:
        say(*_lines(results))
    return 0


def _plan(args: argparse.Namespace, operation: str, shape: Shape | None) -> Plan:
    whole = args.operation == "all"
    wanted = {name: getattr(args, name) for name in ("n", "d", "batch", "kind", "w", "bins", "depth", "trees")}
    chosen = chosen_size(operation, wanted, strict=not whole)
    parties = args.parties or (3 if args.engine == "replicated" else 2)
    repeat = args.repeat or (1 if whole else 5)
    return Plan(operation, chosen, repeat, args.suite, shape, args.engine, parties, args.dealer, args.ahead, args.ot)


def _shape(args: argparse.Namespace) -> Shape | None:
    try:
        latency = parse_latency(args.latency) if args.latency else 0.0
        bandwidth = parse_bandwidth(args.bandwidth) if args.bandwidth else math.inf
    except ValueError as error:
        raise UsageError(str(error), remedy="hansa bench lr --latency 20ms --bandwidth 100mbit") from error
    return Shape(latency, bandwidth) if args.latency or args.bandwidth else None


def _lines(results: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            found["bench"],
            count(found["n"]) + (f" x {found['d']}" if "d" in found else ""),
            duration(found["seconds"]) if found["seconds"] >= 0.1 else f"{found['seconds'] * 1000:.2f} ms",
            found["rounds"],
            " / ".join(size(sent) for sent in found["online_bytes_per_party"]),
            _prepared(found),
            duration(found["setup_seconds"]),
            f"{found['peak_rss_mb']:.0f} MB",
            _quality(found),
        )
        for found in results
    ]
    headers = ("bench", "n", "time", "rounds", "sent online by each", "preprocessing", "set-up", "memory", "")
    return table(headers, rows, right=["n", "time", "rounds", "set-up", "memory"])


def _prepared(found: dict[str, Any]) -> str:
    sent = max(found["preprocessing_bytes_per_party"], default=0) + found.get("dealer_bytes", 0)
    ahead = f", made ahead in {duration(found['making_seconds'])}" if "making_seconds" in found else ""
    return f"{duration(found['preprocessing_seconds'])}, {size(sent)}{ahead}" if sent else ""


def _quality(found: dict[str, Any]) -> str:
    if "auc" in found and "auc_plaintext" not in found:
        return f"AUC {found['auc']:.4f}"
    if "auc" in found:
        return f"AUC {found['auc']:.4f}, plaintext {found['auc_plaintext']:.4f}"
    if found["bench"] == "ot":
        return f"{found['n'] / found['seconds'] / 1e6:.1f} M/s"
    if found["bench"] == "bulk":
        return f"{found['n'] / found['seconds'] / 1e9:.2f} GB/s"
    return f"error {found['max_abs_error']:.1e}" if "max_abs_error" in found else ""


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MAX_N:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 to {MAX_N}")
    return int(text)
