"""hansa net: a local test network of real nodes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hansa.node.cli.output import emit, style
from hansa.node.cli.parser import command, group
from hansa.node.cli.table import table
from hansa.node.errors import UsageError
from hansa.node.lab.testnet.shape import parse_bandwidth, parse_latency

ABOUT = """\
Real daemons, keys and sockets on this machine, each with its own home under one folder (--dir; default: one a user in
the temporary folder). All traffic between them crosses a relay that `net slow` reshapes while it runs."""


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "net", "a local test network of real nodes, to play with and to break", about=ABOUT)
    up = command(
        sub,
        "up",
        _up,
        "make and start a network, or start again what is down of it",
        examples=[
            "hansa net up -n 3",
            "hansa net up --names bank,bureau --dir ./league",
            "hansa net up -n 3 --insecure-simulated-tee 1",
        ],
        then="hansa net status",
    )
    up.add_argument("-n", dest="count", type=int, default=0, help="how many nodes (default: 3)")
    up.add_argument("--names", default="", help="their names, with commas between")
    up.add_argument(
        "--insecure-simulated-tee",
        metavar="N",
        type=int,
        default=0,
        help="N more nodes that pretend to be in trusted hardware, which proves nothing; all others accept that (default: 0)",
    )
    status = command(sub, "status", _status, "every node of the network", examples=["hansa net status"])
    logs = command(sub, "logs", _logs, "the daemons' logs", examples=["hansa net logs", "hansa net logs bank"])
    logs.add_argument("node", metavar="NODE", nargs="?", help="one node (default: all)")
    logs.add_argument("--lines", type=int, default=30, help="how many lines of each (default: 30)")
    kill = command(
        sub,
        "kill",
        _kill,
        "kill -9 a node's daemon, to see what the others do",
        examples=["hansa net kill bureau"],
        then="hansa net up   (starts it again)",
    )
    kill.add_argument("node", metavar="NODE", help="which one")
    slow = command(
        sub,
        "slow",
        _slow,
        "give the network latency and a bandwidth while it runs",
        about="Latency is one way, in each direction; bandwidth is for each connection and direction. None: unlimited.",
        examples=["hansa net slow --latency 50ms --bandwidth 100mbit", "hansa net slow"],
    )
    slow.add_argument("--latency", default="", help="like 50ms (default: none)")
    slow.add_argument("--bandwidth", default="", help="like 100mbit (default: unlimited)")
    down = command(sub, "down", _down, "stop the network and remove its folder", examples=["hansa net down"])
    down.add_argument("--keep", action="store_true", help="keep the folder, so that `net up` goes on with it")
    for parser in (up, status, logs, kill, slow, down):
        parser.add_argument("--dir", metavar="DIR", help="the network's folder")


def _net(args: argparse.Namespace) -> Any:
    from hansa.node.lab.testnet.network import LocalNetwork, default_folder  # noqa: PLC0415  # only this command manages processes

    return LocalNetwork(Path(args.dir).expanduser() if args.dir else default_folder())


def _up(args: argparse.Namespace) -> int:
    names = [name.strip() for name in args.names.split(",") if name.strip()]
    if args.insecure_simulated_tee < 0:
        raise UsageError(
            "--insecure-simulated-tee cannot be negative", remedy="hansa net up -n 3 --insecure-simulated-tee 1"
        )
    state = _net(args).up(args.count, names, args.insecure_simulated_tee)
    emit(args, state, lambda: _lines(state, args, fresh=True))
    return 0


def _status(args: argparse.Namespace) -> int:
    state = _net(args).status()
    emit(args, state, lambda: _lines(state, args, fresh=False))
    return 0


def _lines(state: dict[str, Any], args: argparse.Namespace, *, fresh: bool) -> list[str]:
    rows = [
        (
            node["name"] + (" (INSECURE: simulated hardware)" if node["insecure_simulated_tee"] else ""),
            style("up", "green") if node["up"] else style("down", "red"),
            node["peers_online"],
            node["pid"],
            node["port"],
            f"hansa status --home {node['home']}",
        )
        for node in state["nodes"]
    ]
    relay = state["relay"]
    shape = f"latency {relay['latency'] or 'none'}, bandwidth {relay['bandwidth'] or 'unlimited'}"
    where = _where(args)
    first = state["nodes"][0]["home"]
    lines = [
        *table(("node", "state", "peers online", "pid", "port", "look at it"), rows, right=["peers online"]),
        "",
        f"relay: {'up' if relay['up'] else 'down'}, {shape}",
    ]
    if fresh:
        lines += [
            "",
            "Now, for instance:",
            f"  hansa data add FILE.csv --key ID --home {first}     (at each node, its own file)",
            f"  hansa job submit JOB.toml --watch --home {first}",
            "  hansa job approve JOB --home HOME     (at each other member, which asks by its policy.toml; a TEE node too)",
            f"  hansa net kill {state['nodes'][1]['name']}{where}   (and `hansa net up{where}` to bring it back)",
            f"  hansa net slow --latency 50ms --bandwidth 100mbit{where}",
            f"  hansa net down{where}",
        ]
    return lines


def _where(args: argparse.Namespace) -> str:
    return f" --dir {args.dir}" if args.dir else ""


def _logs(args: argparse.Namespace) -> int:
    logs = _net(args).logs(args.node, args.lines)
    emit(args, logs, lambda: [line for name, lines in logs.items() for line in (style(f"{name}:", "bold"), *lines, "")])
    return 0


def _kill(args: argparse.Namespace) -> int:
    pid = _net(args).kill(args.node)
    emit(
        args,
        {"killed": args.node, "pid": pid},
        lambda: [
            f"Killed the daemon of {args.node} (pid {pid}).",
            style(f"next: hansa net up{_where(args)}   (starts it again)", "dim"),
        ],
    )
    return 0


def _slow(args: argparse.Namespace) -> int:
    try:
        if args.latency:
            parse_latency(args.latency)
        if args.bandwidth:
            parse_bandwidth(args.bandwidth)
    except ValueError as error:
        raise UsageError(str(error), remedy="hansa net slow --latency 50ms --bandwidth 100mbit") from error
    _net(args).slow(args.latency, args.bandwidth)
    shape = {"latency": args.latency or None, "bandwidth": args.bandwidth or None}
    emit(
        args,
        shape,
        lambda: [f"Each way now: latency {args.latency or 'none'}, bandwidth {args.bandwidth or 'unlimited'}."],
    )
    return 0


def _down(args: argparse.Namespace) -> int:
    names = _net(args).down(keep=args.keep)
    left = "its folder is kept" if args.keep else "its folder is removed"
    emit(args, {"stopped": names}, lambda: [f"Stopped {', '.join(names)}; {left}."])
    return 0
