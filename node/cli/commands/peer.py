"""hansa peer: who belongs to this node's league."""

from __future__ import annotations

import argparse
import time
from typing import Any

from hansa.node.cli.ask import ask
from hansa.node.cli.output import again, emit, hint, style
from hansa.node.cli.parser import command, group
from hansa.node.cli.table import table
from hansa.node.cli.units import ago, clock, duration, latency

ABOUT = """\
A peer is known by its pinned key. One introduction is enough: the members already in tell each other."""


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "peer", "invite, join, add, list, remove other institutions", about=ABOUT)
    invite = command(
        sub,
        "invite",
        _invite,
        "print a one-time code that lets one institution in",
        about="Give the code to the other institution over a channel you trust: who has it, is let in.",
        examples=["hansa peer invite", "hansa peer invite --ttl 10m"],
        then="the other institution types: hansa peer join CODE",
    )
    invite.add_argument(
        "--ttl", type=duration_arg, default="1h", help="how long the code is good (default: 1h; at most 7d)"
    )
    join = command(
        sub,
        "join",
        _join,
        "join the league of whoever gave you a code",
        examples=["hansa peer join hansa1-..."],
        then="hansa status",
    )
    join.add_argument("code", metavar="CODE", help="what `hansa peer invite` printed there")
    add = command(
        sub,
        "add",
        _add,
        "pin a peer by hand, by the key its operator told you",
        about="Both sides must add each other. `hansa status --key` prints a node's key.",
        examples=["hansa peer add bank --key 4f...c1.9a...07 --address bank.example:7400"],
        then="hansa doctor",
    )
    add.add_argument("name", metavar="NAME", help="what this node will call it")
    add.add_argument("--key", required=True, metavar="HEX.HEX", help="what `hansa status --key` prints there")
    add.add_argument("--address", required=True, metavar="HOST:PORT", help="where it listens")
    command(sub, "list", _list, "all pinned peers", examples=["hansa peer list"])
    remove = command(
        sub,
        "remove",
        _remove,
        "unpin a peer; it is not let in again by introduction",
        examples=["hansa peer remove bank"],
        then="hansa peer list",
    )
    remove.add_argument("peer", metavar="PEER", help="its name, fingerprint, or the start of its identity")


def duration_arg(text: str) -> int:
    """``90s``, ``15m``, ``2h``, ``7d`` in seconds, as an argument's type."""
    from hansa.config.jobfile import duration_s  # noqa: PLC0415  # the TOML reader is not needed to list peers

    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _invite(args: argparse.Namespace) -> int:
    made = ask(args, "peer.invite", ttl_s=args.ttl)
    left = made["expires_s"]
    emit(
        args,
        made,
        lambda: [
            made["code"],
            "",
            f"Good once, for {duration(left)} (until {clock(time.time() + left)}).",
            style("next: at the other institution, type: hansa peer join CODE", "dim"),
        ],
    )
    return 0


def _join(args: argparse.Namespace) -> int:
    joined = ask(args, "peer.join", code=args.code)
    emit(args, joined, lambda: [*_pinned(joined["peer"], "Joined"), hint(args, "status")])
    return 0


def _add(args: argparse.Namespace) -> int:
    added = ask(args, "peer.add", name=args.name, key=args.key, address=args.address)
    then = hint(args, "doctor", "once the other side has added this node too")
    emit(args, added, lambda: [*_pinned(added["peer"], "Pinned"), then])
    return 0


def _pinned(peer: dict[str, Any], verb: str) -> list[str]:
    return [
        f"{verb} {peer['name']} at {peer['address']}.",
        f"Its fingerprint is {style(peer['fingerprint'], 'bold')}; compare it with its operator by phone.",
    ]


def _list(args: argparse.Namespace) -> int:
    peers = ask(args, "peer.list")
    emit(args, peers, lambda: _peer_lines(args, peers))
    return 0


def _peer_lines(args: argparse.Namespace, peers: list[dict[str, Any]]) -> list[str]:
    if not peers:
        return ["No peers yet.", hint(args, "peer invite", f"or, with a code: {again(args, 'peer join CODE')}")]
    names, rows = peer_columns(peers)
    cells = [(*row, peer.get("how")) for row, peer in zip(rows, peers, strict=True)]
    return table([*names, "came in"], cells, right=["round trip"])


def peer_columns(peers: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Headers and rows of a table of peers, the column of trusted hardware only where one has some."""
    rows = [_facts(peer) for peer in peers]
    names = ["peer", "seen", "round trip", "version", "hardware", "fingerprint", "address"]
    if not any(row["hardware"] for row in rows):
        names.remove("hardware")
    return tuple(names), [tuple(row[name] for name in names) for row in rows]


def _facts(peer: dict[str, Any]) -> dict[str, object]:
    return {
        "peer": peer["name"],
        "seen": style("online", "green") if peer["online"] else style(ago(peer["last_seen_s"]), "yellow"),
        "round trip": latency(peer["latency_ms"]),
        "version": peer["version"],
        "hardware": hardware(peer.get("hardware")),
        "fingerprint": peer["fingerprint"],
        "address": peer["address"],
    }


def hardware(told: dict[str, Any] | None) -> str | None:
    """A peer's trusted hardware in a few words; None where it has none."""
    if told is None:
        return None
    simulated = "INSECURE: simulated" if "insecure" in f"{told['claims']}{told['platform']}" else told["platform"]
    colour = {"accept": "green", "refuse": "red"}.get(told["verdict"], "yellow")
    words = {"accept": "accepted" if "INSECURE" in str(simulated) else "attested", "refuse": "REFUSED"}.get(
        told["verdict"], told["verdict"]
    )
    return style(f"{simulated or told['claims']}, {words}", "yellow" if "INSECURE" in str(simulated) else colour)


def _remove(args: argparse.Namespace) -> int:
    removed = ask(args, "peer.remove", peer=args.peer)
    note = [removed["note"]] if removed["note"] else []
    emit(args, removed, lambda: [f"{args.peer} is no longer a peer.", *note, hint(args, "peer list")])
    return 0
