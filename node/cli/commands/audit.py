"""hansa audit: the log of everything this node agreed to and opened."""

from __future__ import annotations

import argparse
from typing import Any

from hansa.node.cli.ask import ask
from hansa.node.cli.output import emit, hint, style
from hansa.node.cli.parser import command, group
from hansa.node.cli.table import shorten
from hansa.node.cli.units import clock

BROKEN = 8
_LONG_HEX = 32
ABOUT = """\
Each entry is signed and carries the hash of the one before. At a job's start and end the parties keep each other's
signed newest entry, so a log rewritten or shortened here is found as long as one peer answers."""


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "audit", "show and verify the log of everything agreed to and opened", about=ABOUT)
    show = command(
        sub,
        "show",
        _show,
        "the log's entries, the newest last",
        examples=["hansa audit show", "hansa audit show --since 120 --limit 20", "hansa audit show --json"],
        then="hansa audit verify",
    )
    show.add_argument("--since", type=int, default=0, metavar="N", help="only entries after number N")
    show.add_argument("--limit", type=int, default=1000, metavar="N", help="at most N entries (default: 1000)")
    command(
        sub,
        "verify",
        _verify,
        "recompute the log, and compare it with what peers hold of it",
        about="The exit code is 8 if the log is not what it was.",
        examples=["hansa audit verify"],
    )


def _show(args: argparse.Namespace) -> int:
    entries = ask(args, "audit.show", since=args.since, limit=args.limit)
    emit(args, entries, lambda: _lines(args, entries))
    return 0


def _lines(args: argparse.Namespace, entries: list[dict[str, Any]]) -> list[str]:
    if not entries:
        return ["Nothing has been logged yet." if not args.since else f"Nothing after entry {args.since}."]
    wide = len(str(entries[-1]["seq"]))
    lines = [
        f"{entry['seq']:>{wide}}  {clock(entry['time'])}  {style(entry['kind'].ljust(14), 'bold')}  {_body(entry['body'])}"
        for entry in entries
    ]
    if len(entries) == args.limit:
        lines.append(hint(args, f"audit show --since {entries[-1]['seq']}", "there may be more"))
    return lines


def _body(body: dict[str, Any]) -> str:
    shown = {key: value for key, value in body.items() if value is not None and (key == "to" or value not in ("", []))}
    return ", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in shown.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(_value(item) for item in value) or "nobody"
    text = str(value)
    if len(text) >= _LONG_HEX and all(letter in "0123456789abcdef" for letter in text):
        return shorten(text, 17)
    return text


def _verify(args: argparse.Namespace) -> int:
    found = ask(args, "audit.verify")
    emit(args, found, lambda: _verdict(args, found))
    return 0 if found["ok"] else BROKEN


def _verdict(args: argparse.Namespace, found: dict[str, Any]) -> list[str]:
    lines = []
    for check in found["heads_checked"]:
        mark = style("ok", "green") if check["ok"] else style("DIFFERS", "red")
        lines.append(f"{mark}  {check['peer']} holds {check['count']} signed heads of this log")
    lines += [f"{style('-', 'yellow')}   {name} could not be asked" for name in found["unreachable"]]
    if not found["ok"]:
        return [
            *lines,
            style(f"The log is not what it was: {found['problem']}", "red"),
            "next: keep the home folder as it is, compare with a backup of node.db, and tell your peers",
        ]
    lines.append(f"The log's {found['entries']} entries are whole and in order.")
    if not any(check["count"] for check in found["heads_checked"]):
        lines.append("No peer vouches for its length yet: peers keep its heads from the first job on.")
    if found["unreachable"]:
        lines.append(hint(args, "audit verify", "again when they are online"))
    return lines
