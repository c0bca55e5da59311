"""hansa run: the daemon in the foreground."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from hansa.config.settings import TeeSettings, load_settings
from hansa.config.vocabulary import BACKENDS
from hansa.node.cli.output import again, hint, say, style
from hansa.node.cli.parser import command

KEY_FILE = "identity.key"
INSECURE_SIMULATED = BACKENDS[-1]
ABOUT = """\
Serves until Ctrl-C or SIGTERM. Its log goes to standard error. A sealed identity is opened with
$HANSA_PASSPHRASE, or asked for. examples/ holds a systemd unit."""


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = command(
        subparsers,
        "run",
        run,
        "run the node in the foreground",
        about=ABOUT,
        examples=["hansa run", "hansa run --home ./bank"],
        then="hansa status   (in another terminal)",
    )
    parser.add_argument(
        "--make-identity",
        action="store_true",
        help="make the keys first, if hansa.toml is there and they are not: for homes that only an enclave can write",
    )


def run(args: argparse.Namespace) -> int:
    """Serve; returns once the daemon was stopped."""
    settings = load_settings(args.home)
    if args.make_identity and not (args.home / KEY_FILE).exists():
        from hansa.node.identity import create_identity  # noqa: PLC0415  # loads cryptography

        create_identity(args.home, None)
    _ask_passphrase(args)
    from hansa.node import daemon  # noqa: PLC0415  # the only command that needs trio and the keys

    def ready(port: int, key: str) -> None:
        address = f"{settings.listen.host}:{port}"
        if args.json:
            told = {"ready": True, "name": settings.node.name, "port": port, "pid": os.getpid(), "key": key}
            print(json.dumps(told))
        else:
            say(f"The node '{settings.node.name}' is up and listens at {address}. Ctrl-C ends it.")
            say(*([f"Its key, for `hansa peer add` elsewhere: {key}"] if args.make_identity else []))
            say(*_insecure(settings.tee))
            say(hint(args, "status", "in another terminal"))
        sys.stdout.flush()

    daemon.main(args.home, ready=ready)
    if not args.json:
        say("", f"The node '{settings.node.name}' has stopped.", f"Start it again with `{again(args, 'run')}`.")
    return 0


def _insecure(tee: TeeSettings) -> list[str]:
    """Who plays with simulated hardware is told so at every start."""
    lines = []
    if tee.backend == INSECURE_SIMULATED:
        lines.append(
            "INSECURE: it only pretends to be in trusted hardware ([tee] backend): give it worthless data only."
        )
    if tee.accept == INSECURE_SIMULATED:
        lines.append("INSECURE: it accepts peers that only pretend to be in trusted hardware ([tee] accept).")
    return [style(line, "red") for line in lines]


def _ask_passphrase(args: argparse.Namespace) -> None:
    """Where the keys are sealed and nobody gave the passphrase, ask whoever sits at the terminal."""
    if os.environ.get("HANSA_PASSPHRASE") or not sys.stdin.isatty():
        return
    try:
        sealed = '"sealed"' in (args.home / KEY_FILE).read_text()
    except OSError:
        return  # the daemon says what is wrong with the file
    if sealed:
        import getpass  # noqa: PLC0415  # only where it is asked for

        os.environ["HANSA_PASSPHRASE"] = getpass.getpass(f"passphrase of {args.home}: ")
