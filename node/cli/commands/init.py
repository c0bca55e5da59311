"""hansa init: make a node's home."""

from __future__ import annotations

import argparse
import os
import re
import socket
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from hansa.config.errors import ConfigError
from hansa.config.paths import settings_file
from hansa.config.policy import DEFAULT_TEXT
from hansa.config.settings import SECTIONS, PolicySettings, default_toml, parse_settings
from hansa.config.vocabulary import ADDRESS, NAME
from hansa.node.cli.output import again, emit, hint
from hansa.node.cli.parser import command
from hansa.node.cli.table import facts

ABOUT = """\
Writes into the home folder (--home, else $HANSA_HOME, else ~/.hansa):
  hansa.toml     the settings, every key explained
  policy.toml    which jobs are signed without asking; at first: ask about each
  identity.key   the node's secret keys, mode 0600. Back it up; never copy it to a second node."""


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = command(
        subparsers,
        "init",
        run,
        "make a node: keys, settings, policy",
        about=ABOUT,
        examples=[
            "hansa init --name bank",
            "hansa init --name bank --host 0.0.0.0 --port 7400 --advertise bank.example:7400",
            "hansa init --home ./bank --passphrase",
            "hansa init --name vault --set 'tee.backend=\"tsm\"'",
        ],
        then="hansa run",
    )
    parser.add_argument(
        "--name", type=_name, help="what peers will call this node (default: the folder's or host's name)"
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1, this machine only)")
    parser.add_argument("--port", type=_port, help="the one TCP port of the node (default: chosen at first start)")
    parser.add_argument(
        "--advertise",
        metavar="HOST:PORT",
        type=_address,
        action="append",
        help="the address under which peers reach it, if another one; may be repeated",
    )
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        type=_setting,
        action="append",
        default=[],
        help="any other setting of hansa.toml, its value as TOML writes it; may be repeated",
    )
    parser.add_argument(
        "--passphrase",
        action="store_true",
        help="seal the keys under a passphrase, taken from $HANSA_PASSPHRASE or asked for",
    )


def run(args: argparse.Namespace) -> int:
    """Make the home; refuses to touch an existing one."""
    from hansa.node.identity import create_identity  # noqa: PLC0415  # loads cryptography, which --help does not need

    home: Path = args.home
    _refuse_existing(home)
    _refuse_wrong(args)
    name = args.name or _default_name(args)
    passphrase = _passphrase() if args.passphrase else None
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = create_identity(home, passphrase)
        _write(home / PolicySettings().file, DEFAULT_TEXT)
        _write(settings_file(home), default_toml(name, **_changed(args)))
    except OSError as error:
        raise ConfigError(
            f"the home {home} cannot be written: {error.strerror}",
            remedy="choose another folder: hansa init --home DIR",
            file=str(home),
        ) from error
    made = {
        "home": str(home),
        "name": name,
        "fingerprint": identity.fingerprint,
        "identity": identity.public.hex(),
        "key": identity.key_text,
        "sealed": passphrase is not None,
    }
    emit(args, made, lambda: _lines(args, made))
    return 0


def _lines(args: argparse.Namespace, made: dict[str, Any]) -> list[str]:
    lines = [
        f"Made the node '{made['name']}' in {made['home']}.",
        "",
        *facts([("fingerprint", made["fingerprint"]), ("key", made["key"])]),
        "",
    ]
    if args.host is None:
        lines.append("It will listen on this machine only; to be reached from others set listen.host in hansa.toml.")
    return [*lines, hint(args, "run", f"then, in another terminal: {again(args, 'status')}")]


def _changed(args: argparse.Namespace) -> dict[str, Any]:
    values = {"listen__host": args.host, "listen__port": args.port, "listen__advertise": args.advertise}
    return {key: value for key, value in values.items() if value is not None} | dict(args.set)


def _refuse_wrong(args: argparse.Namespace) -> None:
    for key, _ in args.set:
        section, _, name = key.partition("__")
        if section not in SECTIONS or name not in {f.name for f in fields(SECTIONS[section])}:
            raise ConfigError(
                f"hansa.toml has no setting {section}.{name}", remedy="see docs/configuration.md", field="--set"
            )
    parse_settings(default_toml("node", **_changed(args)), "hansa.toml")


def _refuse_existing(home: Path) -> None:
    for path in (settings_file(home), home / "identity.key"):
        if path.exists():
            raise ConfigError(
                f"{home} is a node's home already: {path.name} is there",
                remedy=f"start it with `hansa run --home {home}`, or choose another --home",
                file=str(path),
            )


def _write(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")


def _default_name(args: argparse.Namespace) -> str:
    """The folder's name where a folder was chosen, so that several nodes on one machine differ; else the host's."""
    wanted = args.home.absolute().name.lstrip(".") if args.home_given else socket.gethostname().partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).lstrip("._-")[:64]
    return name or "node"


def _passphrase() -> str:
    given = os.environ.get("HANSA_PASSPHRASE")
    if given:
        return given
    import getpass  # noqa: PLC0415  # only where it is asked for

    first = getpass.getpass("passphrase for the keys: ")
    if not first or first != getpass.getpass("once more: "):
        raise ConfigError(
            "the passphrase was empty or not the same twice", remedy="run `hansa init --passphrase` again"
        )
    return first


def _name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise argparse.ArgumentTypeError(f"{text!r} must be letters, digits, dots, dashes, underscores (at most 64)")
    return text


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    section, dot, name = key.strip().partition(".")
    try:
        if equals and dot:
            return f"{section}__{name}", tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} must be SECTION.KEY=VALUE, a value as TOML writes it (strings in quotes)"
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0 to 65535")
    return int(text)


def _address(text: str) -> str:
    if not re.fullmatch(ADDRESS, text) or int(text.rpartition(":")[2]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} must be host:port")
    return text
