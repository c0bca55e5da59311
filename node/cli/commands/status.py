"""hansa status: the node on one screen."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from hansa.node.cli.ask import ask
from hansa.node.cli.commands.peer import peer_columns
from hansa.node.cli.job_lines import coloured_state
from hansa.node.cli.output import again, emit, hint, style
from hansa.node.cli.parser import command
from hansa.node.cli.table import shorten, table
from hansa.node.cli.units import duration

SCREEN_LINES = 24
_WIDE = 96
_LEAST_ROWS = 1
ABOUT = """\
Me, my peers, jobs and who waits for whom, what waits for my approval, and what is wrong with its remedy.
It fits one screen; what does not is folded, with the command that shows the rest."""


@dataclass
class Section:
    """A part of the screen: ``head`` stays, ``rows`` (of one or more lines) may be folded into ``… N more: see``."""

    head: list[str]
    rows: list[str]
    see: str
    shown: int = 0

    def lines(self) -> list[str]:
        """What is on the screen."""
        left = len(self.rows) - self.shown
        rows = [line for row in self.rows[: self.shown] for line in row.split("\n")]
        return [*self.head, *rows, *([style(f"  … {left} more: {self.see}", "dim")] if left else [])]


def register(subparsers: Any) -> None:
    """Add the command."""
    parser = command(
        subparsers,
        "status",
        run,
        "the node at a glance: peers, jobs, approvals, warnings",
        about=ABOUT,
        examples=["hansa status", "hansa status --json", "hansa status --key"],
        then="its last line says",
    )
    parser.add_argument("--key", action="store_true", help="print only this node's key, for `hansa peer add` elsewhere")


def run(args: argparse.Namespace) -> int:
    """Show the node."""
    status = ask(args, "node.status")
    emit(args, status, lambda: [status["key"]] if args.key else screen(args, status))
    return 0


def screen(args: argparse.Namespace, status: dict[str, Any]) -> list[str]:
    """At most ``SCREEN_LINES`` lines."""
    head = [
        f"{style(status['name'], 'bold')}  {style(status['fingerprint'], 'cyan')}  hansa {status['version']}, "
        f"up {duration(status['uptime_s'])}, {_datasets(status['datasets'])}, {status['rss_mb'] or '-'} MB",
        shorten(f"listens at {status['listen']}, reached at {', '.join(status['addresses'])}", _WIDE),
    ]
    sections = [section for section in _sections(args, status) if section.rows]
    last = _next(args, status)
    fold(sections, SCREEN_LINES - len(head) - 2 - len(sections))
    return [*head, *(line for section in sections for line in ("", *section.lines())), "", last]


def fold(sections: list[Section], room: int) -> None:
    """Show all rows, then take from the longest until everything fits into ``room`` lines."""
    for section in sections:
        section.shown = len(section.rows)
    while sum(len(section.lines()) for section in sections) > room:
        longest = max(sections, key=lambda section: section.shown)
        if longest.shown <= _LEAST_ROWS:
            return
        longest.shown -= 2 if longest.shown == len(longest.rows) and longest.shown > _LEAST_ROWS + 1 else 1


def _sections(args: argparse.Namespace, status: dict[str, Any]) -> list[Section]:
    warnings = [_warning(warning["text"], warning["remedy"]) for warning in status["warnings"]]
    approvals = [
        f"  {approval['job']}  {shorten(_proposal(approval), 60)} ({duration(approval['expires_in_s'])} left)"
        for approval in status["approvals"]
    ]
    jobs = sorted(status["jobs"], key=lambda job: (job["state"] in _ENDED, job["age_s"]))
    return [
        Section([style("waiting for your approval", "bold")], approvals, again(args, "job list")),
        _table_section(*peer_columns(status["peers"]), again(args, "peer list"), "round trip"),
        _table_section(JOB_HEADERS, [_job_row(job) for job in jobs], again(args, "job list"), "age"),
        Section(
            [style("seen on the local network, not pinned", "bold")], _candidates(status), again(args, "status --json")
        ),
        Section([], warnings, again(args, "doctor")),
    ]


_ENDED = {"done", "failed", "refused", "expired", "cancelled"}
JOB_HEADERS = ("job", "name", "kind", "state", "age", "what it does")


def _datasets(number: int) -> str:
    return f"{number} dataset{'' if number == 1 else 's'}"


def _proposal(approval: dict[str, Any]) -> str:
    role = "" if approval["role"] == "party" else f", as its {approval['role']}"
    return f"{shorten(approval['name'], 24)}{role}, from {approval['proposer']}: {approval['purpose']}"


def _warning(text: str, remedy: str) -> str:
    """On one line if both fit, else on two."""
    between = "  → " if len(text) + len(remedy) + 6 <= _WIDE else "\n    → "
    return style("! ", "yellow") + shorten(text, _WIDE) + style(between + shorten(remedy, _WIDE - 6), "dim")


def _table_section(headers: tuple[str, ...], rows: list[Any], see: str, right: str) -> Section:
    lines = table(headers, rows, right=[right])
    return Section(lines[:1], lines[1:], see)


def _job_row(job: dict[str, Any]) -> tuple[object, ...]:
    return (
        job["job"],
        shorten(job["name"], 24),
        job["kind"],
        coloured_state(job["state"]),
        duration(job["age_s"]),
        shorten(_doing(job), 32),
    )


def _doing(job: dict[str, Any]) -> str:
    if job.get("waiting_for"):
        return f"waits for {', '.join(job['waiting_for'])}"
    if job["state"] in _ENDED or not job.get("step"):
        return ""
    total = job.get("total") or 0
    return f"{job['step']} {100 * (job.get('done') or 0) / total:.0f} %" if total else str(job["step"])


def _candidates(status: dict[str, Any]) -> list[str]:
    return [f"  {found['address']}" for found in status.get("candidates") or ()]


def _next(args: argparse.Namespace, status: dict[str, Any]) -> str:
    if status["approvals"]:
        job = status["approvals"][0]["job"]
        return hint(args, f"job show {job}", f"then: {again(args, f'job approve {job}')}")
    if not status["peers"]:
        return hint(args, "peer invite", f"or, with a code: {again(args, 'peer join CODE')}")
    if not all(peer["online"] for peer in status["peers"]):
        return hint(args, "doctor")
    if not status["datasets"]:
        return hint(args, "data add FILE.csv --key COLUMN")
    under_way = [job for job in status["jobs"] if job["state"] not in _ENDED]
    if under_way:
        return hint(args, f"job watch {under_way[0]['job']}")
    return hint(args, "job plan FILE.toml")
