"""What every command's parser has in common: --home and --json anywhere, help that teaches, errors of our own kind."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from hansa.node.errors import UsageError

Run = Callable[[argparse.Namespace], int]


class HansaParser(argparse.ArgumentParser):
    """A parser that takes ``--home`` and ``--json`` wherever they stand and raises ``UsageError`` instead of exiting."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)
        common = self.add_argument_group("common options")
        common.add_argument(
            "--home",
            metavar="DIR",
            default=argparse.SUPPRESS,
            help="the node's folder (default: $HANSA_HOME, else ~/.hansa)",
        )
        common.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for programs; errors too"
        )

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found wrong."""
        raise UsageError(f"{self.prog}: {message}", remedy=f"{self.prog} --help")


def command(
    subparsers: Any,
    name: str,
    run: Run,
    summary: str,
    *,
    about: str = "",
    examples: Sequence[str] = (),
    then: str = "",
) -> argparse.ArgumentParser:
    """Add a command: ``run(args) -> exit code``; its help has what it is for, examples and what comes next."""
    lines = ["examples:", *(f"  {example}" for example in examples)] if examples else []
    if then:
        lines += ["", f"next: {then}"] if lines else [f"next: {then}"]
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}." + (f"\n\n{about}" if about else ""),
        epilog="\n".join(lines) or None,
    )
    parser.set_defaults(run=run)
    return parser


def group(subparsers: Any, name: str, summary: str, *, about: str = "") -> Any:
    """Add a command that only has sub-commands; returns where to add them."""
    parser = subparsers.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}." + (f"\n\n{about}" if about else "")
    )
    return parser.add_subparsers(metavar="COMMAND", required=True, title="commands", dest=f"{name}_command")
