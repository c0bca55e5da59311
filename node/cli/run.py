"""hansa run: the daemon in the foreground."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from hansa.config.settings import load_settings
from hansa.node.cli.output import again, hint, say
from hansa.node.cli.parser import command

ABOUT = """\
Serves until Ctrl-C or SIGTERM. Its log goes to standard error. A sealed identity is opened with
$HANSA_PASSPHRASE, or asked for. examples/ holds a systemd unit."""


def register(subparsers: Any) -> None:
    """Add the command."""
    command(
        subparsers,
        "run",
        run,
        "run the node in the foreground",
        about=ABOUT,
        examples=["hansa run", "hansa run --home ./bank"],
        then="hansa status   (in another terminal)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve; returns once the daemon was stopped."""
    settings = load_settings(args.home)
    _ask_passphrase(args)
    from hansa.node import daemon  # noqa: PLC0415  # the only command that needs trio and the keys

    def ready(port: int) -> None:
        address = f"{settings.listen.host}:{port}"
        if args.json:
            print(json.dumps({"ready": True, "name": settings.node.name, "port": port, "pid": os.getpid()}))
        else:
            say(f"The node '{settings.node.name}' is up and listens at {address}. Ctrl-C ends it.")
            say(hint(args, "status", "in another terminal"))
        sys.stdout.flush()

    daemon.main(args.home, ready=ready)
    if not args.json:
        say("", f"The node '{settings.node.name}' has stopped.", f"Start it again with `{again(args, 'run')}`.")
    return 0


def _ask_passphrase(args: argparse.Namespace) -> None:
    """Where the keys are sealed and nobody gave the passphrase, ask whoever sits at the terminal."""
    if os.environ.get("HANSA_PASSPHRASE") or not sys.stdin.isatty():
        return
    try:
        sealed = '"sealed"' in (args.home / "identity.key").read_text()
    except OSError:
        return  # the daemon says what is wrong with the file
    if sealed:
        import getpass  # noqa: PLC0415  # only where it is asked for

        os.environ["HANSA_PASSPHRASE"] = getpass.getpass(f"passphrase of {args.home}: ")
