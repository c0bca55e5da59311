"""hansa bench: measure links and engines."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

from hansa.node.cli.output import say
from hansa.node.cli.parser import command
from hansa.node.cli.table import table
from hansa.node.cli.units import count, duration, size
from hansa.node.errors import UsageError

OPERATIONS = ("rtt", "bulk", "mul", "less", "sigmoid", "matmul", "psi", "lr")

ABOUT = """\
Real processes, one a party, over Noise channels on loopback, or through a relay that gives them latency and bandwidth.
Seconds are the slowest party's median; rounds and bytes do not wobble. OP: rtt (round trip of n bytes), bulk (n bytes
one way), mul (with truncation), less, sigmoid, matmul (an owner's n x d matrix times a shared vector), psi (n rows a
party), lr (one epoch on n x d, a fifth of the rows held out), or all. --json prints one object a line."""


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
            "hansa bench lr --latency 20ms --bandwidth 100mbit",
        ],
    )
    parser.add_argument(
        "operation", metavar="OP", choices=(*OPERATIONS, "all"), help=f"{', '.join(OPERATIONS)}, or all"
    )
    parser.add_argument("--engine", choices=("replicated",), default="replicated", help="the engine")
    parser.add_argument("--parties", type=int, choices=(3,), default=3, help="how many parties")
    parser.add_argument("--n", type=_count, help="elements, rows or bytes (default: the operation's own)")
    parser.add_argument("--d", type=_count, help="columns")
    parser.add_argument("--batch", type=_count, help="rows a batch")
    parser.add_argument("--repeat", type=_count, default=5, help="repetitions, of which the median counts (default: 5)")
    parser.add_argument("--suite", choices=("AESGCM_SHA256", "ChaChaPoly_BLAKE2b"), default="AESGCM_SHA256")
    parser.add_argument("--latency", default="", help="one way, like 20ms (default: none)")
    parser.add_argument("--bandwidth", default="", help="a connection and direction, like 100mbit (default: unlimited)")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from hansa.node.bench import measure  # noqa: PLC0415  # brings the engines along

    results = []
    for operation in OPERATIONS if args.operation == "all" else (args.operation,):
        found = measure(_plan(args, operation))
        results.append(found)
        if args.json:
            print(json.dumps(found))
            sys.stdout.flush()
    if not args.json:
        say(*_lines(results))
    return 0


def _plan(args: argparse.Namespace, operation: str) -> Any:
    from hansa.node.bench import Plan  # noqa: PLC0415
    from hansa.node.bench_ops import OPERATIONS as KNOWN  # noqa: PLC0415
    from hansa.node.bench_ops import Size  # noqa: PLC0415
    from hansa.node.relay import Shape, parse_bandwidth, parse_latency  # noqa: PLC0415

    usual = KNOWN[operation][1]
    wanted = Size(args.n or usual.n, args.d or usual.d, args.batch or usual.batch)
    try:
        latency = parse_latency(args.latency) if args.latency else 0.0
        bandwidth = parse_bandwidth(args.bandwidth) if args.bandwidth else math.inf
    except ValueError as error:
        raise UsageError(str(error), remedy="hansa bench lr --latency 20ms --bandwidth 100mbit") from error
    shape = Shape(latency, bandwidth) if args.latency or args.bandwidth else None
    return Plan(operation, wanted, args.repeat, args.suite, shape)


def _lines(results: list[dict[str, Any]]) -> list[str]:
    rows = [
        (
            found["bench"],
            count(found["n"]) + (f" x {found['d']}" if "d" in found else ""),
            duration(found["seconds"]) if found["seconds"] >= 0.1 else f"{found['seconds'] * 1000:.2f} ms",
            found["rounds"],
            " / ".join(size(sent) for sent in found["bytes_sent_per_party"]),
            duration(found["setup_seconds"]),
            f"{found['peak_rss_mb']:.0f} MB",
            _quality(found),
        )
        for found in results
    ]
    headers = ("bench", "n", "time", "rounds", "sent by party 0 / 1 / 2", "set-up", "memory", "")
    return table(headers, rows, right=["n", "time", "rounds", "set-up", "memory"])


def _quality(found: dict[str, Any]) -> str:
    if "auc" in found:
        return f"AUC {found['auc']:.4f}, plaintext {found['auc_plaintext']:.4f}"
    if found["bench"] == "bulk":
        return f"{found['n'] / found['seconds'] / 1e9:.2f} GB/s"
    return f"error {found['max_abs_error']:.1e}" if "max_abs_error" in found else ""


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1 << 30:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 to {1 << 30}")
    return int(text)
