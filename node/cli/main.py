"""The command ``hansa``: finds the module of the command asked for, runs it, and turns errors into lines and exit codes.

Only that one module is imported, so that a command starts at once. A command module offers ``register(subparsers)``,
which adds parsers with ``run`` set to a function of the arguments that returns the exit code.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hansa.config.errors import HansaError
from hansa.config.paths import default_home
from hansa.node.cli.output import clean
from hansa.node.cli.parser import HansaParser
from hansa.node.errors import UsageError

INTERRUPTED = 130
BROKEN_PIPE = 141

LAB = "try it on this machine"
COMMANDS: dict[str, dict[str, str]] = {
    "your node": {
        "init": "make a node: keys, settings, policy",
        "run": "run the node in the foreground",
        "status": "the node at a glance: peers, jobs, approvals, warnings",
        "doctor": "examine every connection of the league, and say which fails and why",
        "config": "show and check the settings",
    },
    "the league": {
        "peer": "invite, join, add, list, remove other institutions",
        "data": "add, list, show, remove datasets of this node",
        "job": "plan, submit, watch, approve and see jobs",
        "model": "list, show, use and release trained models",
        "correlations": "make and list random numbers ahead of jobs",
        "audit": "show and verify the log of everything agreed to and opened",
        "tee": "trusted hardware: what peers prove, votes for code, judging evidence",
    },
    LAB: {
        "demo": "three institutions train a model on real data",
        "net": "a local test network of real nodes, to play with and to break",
        "bench": "measure links and engines",
    },
}

_FIRST_STEPS = """\
first steps:
  hansa demo                        see it work, on this machine alone
  hansa init                        make a node, then: hansa run
  hansa peer invite                 the code it prints lets one institution in
  hansa data add clients.csv --key customer_id
  hansa job plan job.toml           who would learn what, at which cost; nothing is sent

`hansa COMMAND --help` explains a command. `hansa status` says what to do next."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (docs/errors.md)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except HansaError as error:
        _tell(error, as_json="--json" in words)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except Exception as error:  # the border to the user
        return _unexpected_end(error, words)


def _drop_output() -> None:
    """What is left to be written would fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unexpected_end(error: Exception, words: list[str]) -> int:
    """No traceback, but a log of it; a full disk is no bug."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _drop_output()
        print(f"error: nothing more can be written: {error.strerror}\n  next: make room", file=sys.stderr)
        return 1
    if os.environ.get("HANSA_DEBUG") == "1":
        raise error
    _tell(_unexpected(error, words), as_json="--json" in words)
    return 1


def build_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with these commands registered."""
    parser = HansaParser(prog="hansa", add_help=False)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for name in names:
        importlib.import_module(module_of(name)).register(subparsers)
    return parser


def module_of(name: str) -> str:
    """The module of a command of the first level."""
    return f"hansa.node.cli.{'lab' if name in COMMANDS[LAB] else 'commands'}.{name}"


def command_names() -> list[str]:
    """All commands of the first level."""
    return [name for commands in COMMANDS.values() for name in commands]


def _run(words: list[str]) -> int:
    name = _command_of(words)
    if name is None:
        return _without_command(words)
    if name not in command_names():
        raise _unknown(name)
    args = build_parser([name]).parse_args(words)
    args.home_given = getattr(args, "home", None)
    args.home = Path(args.home_given).expanduser() if args.home_given else default_home()
    args.json = getattr(args, "json", False)
    code = args.run(args)
    sys.stdout.flush()
    return int(code)


def _command_of(words: list[str]) -> str | None:
    rest = iter(words)
    for word in rest:
        if word == "--home":
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return None


def _without_command(words: list[str]) -> int:
    if "--version" in words:
        from importlib.metadata import version  # noqa: PLC0415  # half the start-up time of a command

        print(f"hansa {version('hansa')}")
        return 0
    strange = [word for word in words if word not in {"-h", "--help", "--json"}]
    if strange:
        raise UsageError(f"hansa: no command given, only {' '.join(strange)}", remedy="hansa --help")
    print(overview())
    return 0


def overview() -> str:
    """What `hansa --help` prints."""
    lines = [
        "usage: hansa COMMAND [--home DIR] [--json] ...",
        "",
        "A league of equals: train models on data that may not move. Every institution runs one node;",
        "nothing happens to its data that its own node did not agree to.",
        "",
    ]
    for title, commands in COMMANDS.items():
        lines += [f"{title}:", *(f"  {name:<12} {summary}" for name, summary in commands.items()), ""]
    return "\n".join([*lines, _FIRST_STEPS])


def _unknown(name: str) -> UsageError:
    import difflib  # noqa: PLC0415  # only where somebody mistyped

    near = difflib.get_close_matches(name, command_names(), n=1)
    hint = f" (did you mean 'hansa {near[0]}'?)" if near else ""
    return UsageError(
        f"hansa has no command '{name}'{hint}", remedy=f"hansa {near[0]} --help" if near else "hansa --help"
    )


def _tell(error: HansaError, *, as_json: bool) -> None:
    sys.stdout.flush()
    if as_json:
        body: dict[str, Any] = {"error": error.as_dict()}
        print(json.dumps(body, default=str))
    else:
        print(clean(f"error: {error}", sys.stderr), file=sys.stderr)


def _unexpected(error: Exception, words: list[str]) -> HansaError:
    import tempfile  # noqa: PLC0415  # only after a bug
    import traceback  # noqa: PLC0415

    where = "was not written"
    try:
        descriptor, path = tempfile.mkstemp(prefix="hansa-error-", suffix=".log")
        with os.fdopen(descriptor, "w") as file:
            traceback.print_exception(error, file=file)
        where = f"is in {path}"
    except OSError:
        pass  # the error itself matters more than its log
    command = " ".join(word for word in words[:2] if not word.startswith("-"))
    return HansaError(
        f"hansa {command} failed unexpectedly: {type(error).__name__}: {error} (the traceback {where})",
        remedy="report it as a bug, with the traceback",
    )
