"""hansa doctor: which leg of the mesh fails, and why."""

from __future__ import annotations

import argparse
from typing import Any

from hansa.node.cli.ask import ask
from hansa.node.cli.output import emit, hint, style
from hansa.node.cli.parser import command
from hansa.node.cli.table import table
from hansa.node.cli.units import latency

PEER_TROUBLE = 5
ABOUT = """\
Tries this node's own connections, and asks each peer that answers about its connections to the others.
The exit code is 5 if a connection fails."""


def register(subparsers: Any) -> None:
    """Add the command."""
    command(
        subparsers,
        "doctor",
        run,
        "examine every connection of the league, and say which fails and why",
        about=ABOUT,
        examples=["hansa doctor", "hansa doctor --json"],
        then="do what the lines marked 'fix' say",
    )


def run(args: argparse.Namespace) -> int:
    """Examine; 5 if a leg fails."""
    found = ask(args, "node.doctor")
    emit(args, found, lambda: _lines(args, found["legs"]))
    return 0 if all(leg["ok"] for leg in found["legs"]) else PEER_TROUBLE


def _lines(args: argparse.Namespace, legs: list[dict[str, Any]]) -> list[str]:
    if not legs:
        return ["This node has no peers yet.", hint(args, "peer invite", "or, with a code: hansa peer join CODE")]
    rows = [
        (
            style("ok", "green") if leg["ok"] else style("FAILS", "red"),
            leg["from"],
            leg["to"],
            latency(leg["latency_ms"]),
            leg["detail"],
        )
        for leg in legs
    ]
    lines = table(("", "from", "to", "round trip", "what was found"), rows, right=["round trip"])
    bad = [leg for leg in legs if not leg["ok"]]
    if not bad:
        return [*lines, "", "The connection stands." if len(legs) == 1 else f"All {len(legs)} connections stand."]
    fixes = [f"fix {leg['from']} to {leg['to']}: {leg['remedy']}" for leg in bad if leg["remedy"]]
    return [
        *lines,
        "",
        f"{len(bad)} of {len(legs)} connections fail.",
        *fixes,
        hint(args, "doctor", "when that is done"),
    ]
