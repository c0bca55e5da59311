"""hansa config: the settings and the policy, without a daemon."""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields
from typing import Any

from hansa.config.paths import settings_file
from hansa.config.policy import load_policy
from hansa.config.settings import SECTIONS, Settings, load_settings, toml_value
from hansa.node.cli.output import emit, hint, style
from hansa.node.cli.parser import command, group
from hansa.node.tee.settings_check import check_tee


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "config", "show and check the settings", about="Needs no running node.")
    command(
        sub,
        "show",
        _show,
        "every setting with its value and meaning",
        examples=["hansa config show", "hansa config show --json"],
        then="edit hansa.toml, then: hansa config check",
    )
    command(
        sub,
        "check",
        _check,
        "read hansa.toml, policy.toml and tee.toml, and say where something is wrong",
        about="The exit code is 3 if one cannot be used. A running node reads its settings anew at its next start.",
        examples=["hansa config check"],
        then="hansa run",
    )


def _show(args: argparse.Namespace) -> int:
    settings = load_settings(args.home)
    emit(args, asdict(settings), lambda: _lines(settings))
    return 0


def _lines(settings: Settings) -> list[str]:
    lines: list[str] = []
    for section, kind in SECTIONS.items():
        lines.append(style(f"[{section}]", "bold"))
        for field in fields(kind):
            value = getattr(getattr(settings, section), field.name)
            mark = "" if value == field.default else f"   # default: {toml_value(field.default)}"
            lines.append(style(f"# {field.metadata['doc']}", "dim"))
            lines.append(f"{field.name} = {toml_value(value)}{mark}")
        lines.append("")
    for peer in settings.peer:
        lines.append(style("[[peer]]", "bold"))
        lines += [f"{field.name} = {toml_value(getattr(peer, field.name))}" for field in fields(peer)]
        lines.append("")
    return lines


def _check(args: argparse.Namespace) -> int:
    settings = load_settings(args.home)
    path = args.home / settings.policy.file
    policy = load_policy(path)
    present = path.exists()
    evidence = check_tee(args.home, settings.tee)
    found = {
        "ok": True,
        "settings": str(settings_file(args.home)),
        "policy": str(path) if present else None,
        "rules": len(policy.rules),
        "default": policy.default,
        "tee_policy": evidence,
    }
    rules = (
        f"{len(policy.rules)} rules, else {policy.default}" if present else "missing: this node asks about every job"
    )
    judged = [f"{evidence}: good"] if evidence else []
    emit(args, found, lambda: [f"{found['settings']}: good", f"{path}: {rules}", *judged, hint(args, "run")])
    return 0
