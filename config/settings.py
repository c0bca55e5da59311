"""hansa.toml: every key with its default and what it means, read once at start.

The documentation of a key stands in its field's metadata; ``default_toml`` and docs/configuration.md are made from it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hansa.config import toml_reader
from hansa.config.errors import ConfigError
from hansa.config.paths import settings_file
from hansa.config.toml_reader import Table
from hansa.config.vocabulary import ADDRESS, BACKENDS, MOST_ADDRESSES, MOST_PARTIES, NAME, SUITES

LEVELS = ("debug", "info", "warning", "error")


def _key(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Node:
    """[node]"""

    name: str = _key("node", "What peers call this node until they rename it: letters, digits, dot, dash, underscore.")


@dataclass(frozen=True, slots=True)
class Listen:
    """[listen]"""

    host: str = _key("127.0.0.1", "Address to listen on; 0.0.0.0 for all interfaces.")
    port: int = _key(0, "The one TCP port of this node; 0 lets the system choose one at first start, which is kept.")
    advertise: tuple[str, ...] = _key(
        (), "Addresses (host:port) under which peers reach this node; empty: the address it listens on."
    )


@dataclass(frozen=True, slots=True)
class Discovery:
    """[discovery]"""

    zeroconf: bool = _key(
        False, "Announce and look for nodes on the local network. What is found is only a candidate until pinned."
    )


@dataclass(frozen=True, slots=True)
class Channel:
    """[channel]"""

    suites: tuple[str, ...] = _key(SUITES, "Cipher suites permitted, in order of preference.")


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """[policy]"""

    file: str = _key("policy.toml", "Which jobs are approved, asked about or refused; a path relative to the home.")


@dataclass(frozen=True, slots=True)
class Limits:
    """[limits]"""

    max_jobs: int = _key(4, "Jobs that may run here at once; further ones are refused.")
    max_rows: int = _key(10_000_000, "Rows a dataset may have to be used in a job.")


@dataclass(frozen=True, slots=True)
class Correlations:
    """[correlations]"""

    max_mb: int = _key(
        2048, "Megabytes on disk for correlated random numbers made ahead; what would be more is refused."
    )
    when_idle: bool = _key(
        False, "Propose to make some when nothing has run for five minutes, as many as this node's last job used."
    )


@dataclass(frozen=True, slots=True)
class Peers:
    """[peers]"""

    accept_introductions: bool = _key(
        True, "Pin the members that a pinned peer introduces; with false each must be pinned by hand."
    )


@dataclass(frozen=True, slots=True)
class Tee:
    """[tee]"""

    backend: str = _key(
        "",
        "What this node proves its code by: gramine, tsm, sev-guest; or insecure-simulated, which proves nothing. Empty: none.",
    )
    collateral: tuple[str, ...] = _key(
        (), "Files and folders of certificates and revocation lists sent with the evidence; relative to the home."
    )
    policy: str = _key("tee.toml", "Which evidence of others is accepted (docs/tee.md); a path relative to the home.")
    accept: str = _key(
        "hardware", "hardware, or insecure-simulated: accept peers that only pretend, for trials on worthless data."
    )
    reattest_s: int = _key(600, "Seconds after which peers in hardware must prove themselves again.")
    voters: tuple[str, ...] = _key(
        (),
        "Members (this node among them, if it is to count) whose votes for code stand in for its entry in the policy file.",
    )
    votes: int = _key(
        0, "How many of the voters must have voted for code (`hansa tee vote`) to accept it so; 0: votes do not."
    )
    simulated_code: str = _key("", "With insecure-simulated: the code that is pretended; empty: this version of hansa.")


@dataclass(frozen=True, slots=True)
class Log:
    """[log]"""

    level: str = _key("info", "One of debug, info, warning, error.")


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """One [[peer]]: a peer pinned by the configuration; ``key`` is identity.static in hex."""

    name: str
    key: str
    address: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All of hansa.toml."""

    node: Node = field(default_factory=Node)
    listen: Listen = field(default_factory=Listen)
    discovery: Discovery = field(default_factory=Discovery)
    channel: Channel = field(default_factory=Channel)
    policy: PolicyFile = field(default_factory=PolicyFile)
    limits: Limits = field(default_factory=Limits)
    correlations: Correlations = field(default_factory=Correlations)
    peers: Peers = field(default_factory=Peers)
    tee: Tee = field(default_factory=Tee)
    log: Log = field(default_factory=Log)
    peer: tuple[PeerEntry, ...] = ()


SECTIONS: dict[str, type[Any]] = {
    "node": Node,
    "listen": Listen,
    "discovery": Discovery,
    "channel": Channel,
    "policy": PolicyFile,
    "limits": Limits,
    "correlations": Correlations,
    "peers": Peers,
    "tee": Tee,
    "log": Log,
}


def load_settings(home: Path) -> Settings:
    """Read HOME/hansa.toml; ``ConfigError`` names file, line and key of what is wrong."""
    path = settings_file(home)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{home} is not a hansa home: there is no {path.name} in it",
            remedy=f"make one with `hansa init --home {home}`",
            file=str(path),
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", remedy="check the file", file=str(path)) from error
    return parse_settings(text, str(path))


def parse_settings(text: str, file: str) -> Settings:
    """Settings from TOML text."""
    document = Table(toml_reader.parse(text, file), text=text, file=file)
    node, listen, discovery = document.table("node"), document.table("listen"), document.table("discovery")
    channel, policy, limits = document.table("channel"), document.table("policy"), document.table("limits")
    made, peers, tee, log = (document.table(name) for name in ("correlations", "peers", "tee", "log"))
    settings = Settings(
        node=Node(node.text("name", Node().name, pattern=NAME)),
        listen=Listen(
            listen.text("host", Listen().host),
            listen.integer("port", 0, 65535, Listen().port),
            _addresses(listen),
        ),
        discovery=Discovery(discovery.flag("zeroconf", Discovery().zeroconf)),
        channel=Channel(_suites(channel)),
        policy=PolicyFile(policy.text("file", PolicyFile().file)),
        limits=Limits(
            limits.integer("max_jobs", 1, 1000, Limits().max_jobs),
            limits.integer("max_rows", 1, 1_000_000_000, Limits().max_rows),
        ),
        correlations=Correlations(
            made.integer("max_mb", 0, 1_000_000_000, Correlations().max_mb),
            made.flag("when_idle", Correlations().when_idle),
        ),
        peers=Peers(peers.flag("accept_introductions", Peers().accept_introductions)),
        tee=Tee(
            tee.choice("backend", ("", *BACKENDS), Tee().backend),
            tee.texts("collateral", Tee().collateral),
            tee.text("policy", Tee().policy),
            tee.choice("accept", ("hardware", BACKENDS[-1]), Tee().accept),
            tee.integer("reattest_s", 10, 86_400, Tee().reattest_s),
            *_votes(tee),
            tee.text("simulated_code", Tee().simulated_code),
        ),
        log=Log(log.choice("level", LEVELS, Log().level)),
        peer=tuple(_peer(table) for table in document.tables("peer")),
    )
    for table in (document, node, listen, discovery, channel, policy, limits, made, peers, tee, log):
        table.end()
    return settings


def default_toml(name: str, **changed: Any) -> str:
    """A hansa.toml that documents every key. ``changed`` maps "section.key" (dot as ``__``) to values other than the
    default; the rest stand commented out."""
    values = {"node__name": name, **changed}
    lines = ["# hansa.toml: the settings of one node. Commented keys have the default shown.", ""]
    for section, kind in SECTIONS.items():
        lines.append(f"[{section}]")
        for f in fields(kind):
            value = values.get(f"{section}__{f.name}")
            mark = "# " if value is None else ""
            lines.append(f"# {f.metadata['doc']}")
            lines.append(f"{mark}{f.name} = {toml_value(f.default if value is None else value)}")
        lines.append("")
    lines += [
        "# Peers may also be pinned here, one section each (otherwise: hansa peer invite, hansa peer join):",
        "# [[peer]]",
        '# name = "bank"',
        '# key = "<identity>.<static key>, as `hansa status --key` prints it there"',
        '# address = "bank.example:7400"',
        "",
    ]
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """A value as TOML writes it (strings and lists of strings are the same as in JSON)."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _addresses(listen: Table) -> tuple[str, ...]:
    addresses = listen.texts("advertise", ())
    if len(addresses) > MOST_ADDRESSES:
        raise listen.wrong("advertise", f"holds {len(addresses)} addresses; peers read {MOST_ADDRESSES}")
    for address in addresses:
        _check_address(listen, "advertise", address)
    return addresses


def _check_address(table: Table, key: str, address: str) -> None:
    if not re.fullmatch(ADDRESS, address) or int(address.rpartition(":")[2]) > 65535:
        raise table.wrong(key, f"holds {address!r}, which is not host:port")


def _suites(channel: Table) -> tuple[str, ...]:
    suites = channel.texts("suites", SUITES)
    for suite in suites:
        if suite not in SUITES:
            raise channel.wrong("suites", f"holds {suite!r}; known: {', '.join(SUITES)}")
    if not suites or len(set(suites)) != len(suites):
        raise channel.wrong("suites", "must name at least one suite, each once")
    return suites


def _votes(tee: Table) -> tuple[tuple[str, ...], int]:
    voters, votes = tee.texts("voters", Tee().voters), tee.integer("votes", 0, MOST_PARTIES, Tee().votes)
    if votes > len(set(voters)):
        raise tee.wrong("votes", f"is {votes}, and there are {len(set(voters))} voters: so much code is never accepted")
    return voters, votes


def _peer(table: Table) -> PeerEntry:
    entry = PeerEntry(
        table.text("name", pattern=NAME),
        table.text("key", pattern=r"[0-9a-fA-F]{64}\.[0-9a-fA-F]{64}"),
        table.text("address"),
    )
    _check_address(table, "address", entry.address)
    table.end()
    return entry
