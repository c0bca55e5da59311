"""Where commands write: text or JSON, colours only where a person looks, and nothing a peer wrote can move the cursor."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_OURS = "|".join(["0", *_STYLES.values()])
_UNSAFE = re.compile(
    f"(\x1b\\[(?:{_OURS})(?:;(?:{_OURS}))*m)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def colours(stream: IO[str]) -> bool:
    """Whether a person looks at the stream and wants colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, *names: str) -> str:
    """The text in these styles, plain where standard output takes no colours."""
    if not text or not colours(sys.stdout):
        return text
    return f"\x1b[{';'.join(_STYLES[name] for name in names)}m{text}\x1b[0m"


def clean(text: str, stream: IO[str]) -> str:
    """The text without control characters: names, purposes and reasons were written by peers."""
    keep = colours(stream)
    return _UNSAFE.sub(lambda found: found[1] if found[1] and keep else "" if found[1] else "\ufffd", text)


def say(*lines: str) -> None:
    """Print lines."""
    for line in lines:
        print(clean(line, sys.stdout))


def emit(args: argparse.Namespace, value: Any, text: Callable[[], Iterable[str]]) -> None:
    """Print ``value`` as JSON where it was asked for, else the lines of ``text``."""
    if args.json:
        print(json.dumps(value, indent=2))
    else:
        say(*text())


def again(args: argparse.Namespace, command: str) -> str:
    """The command to type next, with this call's --home."""
    return f"hansa {command}" + (f" --home {args.home_given}" if args.home_given else "")


def hint(args: argparse.Namespace, command: str, why: str = "") -> str:
    """A last line: ``next: hansa ...``."""
    return style(f"next: {again(args, command)}" + (f"   ({why})" if why else ""), "dim")
