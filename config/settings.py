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
from hansa.config.toml_reader import TomlTable
from hansa.config.vocabulary import ADDRESS, BACKENDS, MOST_ADDRESSES, MOST_PARTIES, NAME, SUITES

LEVELS = ("debug", "info", "warning", "error")


def _key(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """[node]"""

    name: str = _key("node", "What peers call this node until they rename it: letters, digits, dot, dash, underscore.")


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """[listen]"""

    host: str = _key("127.0.0.1", "Address to listen on; 0.0.0.0 for all interfaces.")
    port: int = _key(0, "The one TCP port of this node; 0 lets the system choose one at first start, which is kept.")
    advertise: tuple[str, ...] = _key(
        (), "Addresses (host:port) under which peers reach this node; empty: the address it listens on."
    )


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """[discovery]"""

    zeroconf: bool = _key(
        False, "Announce and look for nodes on the local network. What is found is only a candidate until pinned."
    )


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """[channel]"""

    suites: tuple[str, ...] = _key(SUITES, "Cipher suites permitted, in order of preference.")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """[policy]"""

    file: str = _key("policy.toml", "Which jobs are approved, asked about or refused; a path relative to the home.")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """[limits]"""

    max_jobs: int = _key(4, "Jobs that may run here at once; further ones are refused.")
    max_rows: int = _key(10_000_000, "Rows a dataset may have to be used in a job.")


@dataclass(frozen=True, slots=True)
class CorrelationSettings:
    """[correlations]"""

    max_mb: int = _key(
        2048, "Megabytes on disk for correlated random numbers made ahead; what would be more is refused."
    )
    when_idle: bool = _key(
        False, "Propose to make some when nothing has run for five minutes, as many as this node's last job used."
    )


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """[peers]"""

    accept_introductions: bool = _key(
        True, "Pin the members that a pinned peer introduces; with false each must be pinned by hand."
    )


@dataclass(frozen=True, slots=True)
class TeeSettings:
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
class LogSettings:
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

    node: NodeSettings = field(default_factory=NodeSettings)
    listen: ListenSettings = field(default_factory=ListenSettings)
    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    channel: ChannelSettings = field(default_factory=ChannelSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    correlations: CorrelationSettings = field(default_factory=CorrelationSettings)
    peers: PeerSettings = field(default_factory=PeerSettings)
    tee: TeeSettings = field(default_factory=TeeSettings)
    log: LogSettings = field(default_factory=LogSettings)
    peer: tuple[PeerEntry, ...] = ()


SECTIONS: dict[str, type[Any]] = {
    "node": NodeSettings,
    "listen": ListenSettings,
    "discovery": DiscoverySettings,
    "channel": ChannelSettings,
    "policy": PolicySettings,
    "limits": LimitSettings,
    "correlations": CorrelationSettings,
    "peers": PeerSettings,
    "tee": TeeSettings,
    "log": LogSettings,
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
    document = TomlTable(toml_reader.parse(text, file), text=text, file=file)
    node, listen, discovery = document.table("node"), document.table("listen"), document.table("discovery")
    channel, policy, limits = document.table("channel"), document.table("policy"), document.table("limits")
    made, peers, tee, log = (document.table(name) for name in ("correlations", "peers", "tee", "log"))
    settings = Settings(
        node=NodeSettings(node.text("name", NodeSettings().name, pattern=NAME)),
        listen=ListenSettings(
            listen.text("host", ListenSettings().host),
            listen.integer("port", 0, 65535, ListenSettings().port),
            _addresses(listen),
        ),
        discovery=DiscoverySettings(discovery.flag("zeroconf", DiscoverySettings().zeroconf)),
        channel=ChannelSettings(_suites(channel)),
        policy=PolicySettings(policy.text("file", PolicySettings().file)),
        limits=LimitSettings(
            limits.integer("max_jobs", 1, 1000, LimitSettings().max_jobs),
            limits.integer("max_rows", 1, 1_000_000_000, LimitSettings().max_rows),
        ),
        correlations=CorrelationSettings(
            made.integer("max_mb", 0, 1_000_000_000, CorrelationSettings().max_mb),
            made.flag("when_idle", CorrelationSettings().when_idle),
        ),
        peers=PeerSettings(peers.flag("accept_introductions", PeerSettings().accept_introductions)),
        tee=TeeSettings(
            tee.choice("backend", ("", *BACKENDS), TeeSettings().backend),
            tee.texts("collateral", TeeSettings().collateral),
            tee.text("policy", TeeSettings().policy),
            tee.choice("accept", ("hardware", BACKENDS[-1]), TeeSettings().accept),
            tee.integer("reattest_s", 10, 86_400, TeeSettings().reattest_s),
            *_votes(tee),
            tee.text("simulated_code", TeeSettings().simulated_code),
        ),
        log=LogSettings(log.choice("level", LEVELS, LogSettings().level)),
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


def _addresses(listen: TomlTable) -> tuple[str, ...]:
    addresses = listen.texts("advertise", ())
    if len(addresses) > MOST_ADDRESSES:
        raise listen.wrong("advertise", f"holds {len(addresses)} addresses; peers read {MOST_ADDRESSES}")
    for address in addresses:
        _check_address(listen, "advertise", address)
    return addresses


def _check_address(table: TomlTable, key: str, address: str) -> None:
    if not re.fullmatch(ADDRESS, address) or int(address.rpartition(":")[2]) > 65535:
        raise table.wrong(key, f"holds {address!r}, which is not host:port")


def _suites(channel: TomlTable) -> tuple[str, ...]:
    suites = channel.texts("suites", SUITES)
    for suite in suites:
        if suite not in SUITES:
            raise channel.wrong("suites", f"holds {suite!r}; known: {', '.join(SUITES)}")
    if not suites or len(set(suites)) != len(suites):
        raise channel.wrong("suites", "must name at least one suite, each once")
    return suites


def _votes(tee: TomlTable) -> tuple[tuple[str, ...], int]:
    voters, votes = (
        tee.texts("voters", TeeSettings().voters),
        tee.integer("votes", 0, MOST_PARTIES, TeeSettings().votes),
    )
    if votes > len(set(voters)):
        raise tee.wrong("votes", f"is {votes}, and there are {len(set(voters))} voters: so much code is never accepted")
    return voters, votes


def _peer(table: TomlTable) -> PeerEntry:
    entry = PeerEntry(
        table.text("name", pattern=NAME),
        table.text("key", pattern=r"[0-9a-fA-F]{64}\.[0-9a-fA-F]{64}"),
        table.text("address"),
    )
    _check_address(table, "address", entry.address)
    table.end()
    return entry
