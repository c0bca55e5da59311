"""hansa correlations: random numbers made ahead of time, so that later jobs wait less."""

from __future__ import annotations

import argparse
from typing import Any

from hansa.node.cli.ask import ask
from hansa.node.cli.job_lines import STORED_KINDS
from hansa.node.cli.job_watch import INTERRUPTED, check, follow
from hansa.node.cli.output import emit, hint, say, style
from hansa.node.cli.parser import command, group
from hansa.node.cli.table import table
from hansa.node.cli.units import clock, count, size
from hansa.node.errors import UsageError

ABOUT = """\
Jobs without a dealer use random numbers that their parties make together, which takes most of the time among three or
more. They can be made ahead, when the nodes have nothing else to do; the next job of exactly these parties takes them.
Each is used once, and what is made ahead is of use to nobody else."""


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "correlations", "make and list random numbers ahead of jobs", about=ABOUT)
    make = command(
        sub,
        "make",
        _make,
        "make some with these peers, in a job that all must agree to; waits for it",
        about="PEER...: everybody else who takes part in the jobs to come. Amounts are rounded up to whole files.",
        examples=["hansa correlations make --like 4f1c", "hansa correlations make bureau telecom --triples 1000000"],
        then="hansa correlations list",
    )
    make.add_argument(
        "peers", metavar="PEER", nargs="*", help="their names; with --like those of that job if none is given"
    )
    make.add_argument("--like", metavar="JOB", help="as many as this finished job used")
    make.add_argument(
        "--triples", type=_amount, default=0, metavar="N", help="Beaver triples: for products, 24 bytes each"
    )
    make.add_argument("--bit-triples", type=_amount, default=0, metavar="N", help="for ANDs, 3/8 of a byte each")
    make.add_argument(
        "--bit-pairs", type=_amount, default=0, metavar="N", help="for two ANDs at once, 5/8 of a byte each"
    )
    make.add_argument("--dabits", type=_amount, default=0, metavar="N", help="bits that are numbers too, 8 bytes each")
    command(sub, "list", _list, "what lies here unused, by parties", examples=["hansa correlations list"])
    drop = command(
        sub,
        "drop",
        _drop,
        "throw away what was made with exactly these peers",
        about="What the others still have of it is of no use then; they may drop it too.",
        examples=["hansa correlations drop bureau telecom", "hansa correlations drop --all"],
        then="hansa correlations list",
    )
    drop.add_argument("peers", metavar="PEER", nargs="*", help="all of them")
    drop.add_argument("--all", dest="everything", action="store_true", help="what was made with anybody")


def _amount(text: str) -> int:
    try:
        return int(float(text.replace(",", "").replace("_", "")))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number, like 1000000 or 1e6") from None


def _make(args: argparse.Namespace) -> int:
    amounts = {kind: getattr(args, kind) for kind in STORED_KINDS}
    if not args.like and not any(amounts.values()):
        raise UsageError("there is nothing to make", remedy="name a job (--like JOB), or amounts: see --help")
    like = {"like": args.like} if args.like else {}
    proposed = ask(args, "correlations.make", peers=args.peers, amounts=amounts, **like)
    job = proposed["job"]
    if not args.json:
        say(f"Proposed the job {style(job, 'bold')}: it leaves {size(proposed['bytes'])} at each party.")
    ended = follow(args, job)
    if ended is None:
        return INTERRUPTED
    check(ended)
    made = (ended.get("result") or {}).get("made") or {}
    emit(args, {"job": job, "made": made}, lambda: ["", *_amount_lines(made), "", hint(args, "correlations list")])
    return 0


def _amount_lines(made: dict[str, int]) -> list[str]:
    rows = [(STORED_KINDS.get(kind, kind), count(elements)) for kind, elements in made.items()]
    return table(("made ahead", "elements"), rows, right=["elements"])


def _list(args: argparse.Namespace) -> int:
    found = ask(args, "correlations.list")
    emit(args, found, lambda: _list_lines(args, found))
    return 0


def _list_lines(args: argparse.Namespace, found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return ["Nothing is made ahead.", hint(args, "correlations make --like JOB")]
    rows = [
        (
            ", ".join(one["peers"]),
            *(count(one["amounts"][kind]) for kind in STORED_KINDS),
            size(one["bytes"]),
            clock(one["made"]),
        )
        for one in found
    ]
    names = [*STORED_KINDS.values()]
    return table(("made with", *names, "on disk", "newest"), rows, right=[*names, "on disk"])


def _drop(args: argparse.Namespace) -> int:
    done = ask(args, "correlations.drop", peers=args.peers, everything=args.everything)
    text = f"Dropped {size(done['bytes'])}." if done["sets"] else "There was nothing to drop."
    emit(args, done, lambda: [text, hint(args, "correlations list")])
    return 0
