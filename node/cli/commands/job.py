"""hansa job: plan, submit, agree to, watch and see jobs."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from hansa.node.admin.api import read_job_file
from hansa.node.cli import job_lines
from hansa.node.cli.ask import ask
from hansa.node.cli.job_watch import watch
from hansa.node.cli.output import again, emit, hint, say, style
from hansa.node.cli.parser import command, group
from hansa.node.cli.table import shorten, table
from hansa.node.cli.units import clock, duration

ABOUT = """\
A job is a file (docs/job.md): who takes part with which data, what is trained, who learns what. It runs once every
party's node has signed it; each node asks its policy, and that its operator where it says so. JOB is a job's id, the
start of it, or its name."""


def register(subparsers: Any) -> None:
    """Add the command."""
    sub = group(subparsers, "job", "plan, submit, watch, approve and see jobs", about=ABOUT)
    plan = command(
        sub,
        "plan",
        _plan,
        "say who would learn what and what it would cost; nobody is asked",
        examples=["hansa job plan job.toml"],
        then="hansa job submit FILE.toml",
    )
    plan.add_argument("file", metavar="FILE.toml", help="a job file; examples/ holds some")
    submit = command(
        sub,
        "submit",
        _submit,
        "sign a job and propose it to its parties",
        examples=["hansa job submit job.toml", "hansa job submit job.toml --watch"],
        then="hansa job watch JOB",
    )
    submit.add_argument("file", metavar="FILE.toml", help="a job file")
    submit.add_argument("--watch", action="store_true", help="watch it until it ends")
    command(sub, "list", _list, "all jobs this node knows", examples=["hansa job list"], then="hansa job show JOB")
    _of_one_job(
        sub, "show", _show, "everything about a job: contract, consent, result or error", then="its last line says"
    )
    _of_one_job(
        sub,
        "watch",
        _watch,
        "live progress of every party, then the result",
        about="Ctrl-C stops watching; the job goes on. With --json: one event a line, the job itself last.",
        then="hansa model list",
    )
    _of_one_job(sub, "logs", _logs, "what happened in a job, line by line", then="hansa job show JOB")
    _of_one_job(
        sub,
        "approve",
        _approve,
        "agree to a job that waits for this node",
        about="Final: it can be cancelled later, but not un-agreed. Read `hansa job show JOB` first.",
        then="hansa job watch JOB",
    )
    refuse = _of_one_job(sub, "refuse", _refuse, "say no to a job; all parties hear the reason", then="hansa job list")
    refuse.add_argument("--reason", default="the operator refused", help="what the other parties are told")
    cancel = _of_one_job(sub, "cancel", _cancel, "end a job at every party", then="hansa job list")
    cancel.add_argument("--reason", default="cancelled by its operator", help="what the other parties are told")


def _of_one_job(sub: Any, name: str, run: Any, summary: str, *, about: str = "", then: str = "") -> Any:
    parser = command(sub, name, run, summary, about=about, examples=[f"hansa job {name} 4f1c"], then=then)
    parser.add_argument("job", metavar="JOB", help="its id, the start of it, or its name")
    return parser


def _plan(args: argparse.Namespace) -> int:
    plan = ask(args, "job.plan", **read_job_file(args.file))
    emit(args, plan, lambda: _plan_lines(args, plan))
    return 0


def _plan_lines(args: argparse.Namespace, plan: dict[str, Any]) -> list[str]:
    engine = plan["engine"]
    contract = {**plan["contract"], "engine": f"{engine['name']} ({engine['why']})"}
    warnings = [style(f"! {warning}", "yellow") for warning in plan["warnings"]]
    return [
        style(contract["name"], "bold"),
        *job_lines.contract_lines(contract),
        "",
        *job_lines.leakage_lines(plan["leakage"]),
        "",
        *job_lines.trust_lines(plan["trust"]),
        "",
        *job_lines.cost_lines(plan["cost"]),
        *(["", *warnings] if warnings else []),
        "",
        hint(args, f"job submit {args.file}", "nobody has been asked yet"),
    ]


def _submit(args: argparse.Namespace) -> int:
    submitted = ask(args, "job.submit", **read_job_file(args.file))
    job = submitted["job"]
    if not args.watch:
        then = hint(args, f"job watch {job}", f"who has agreed: {again(args, f'job show {job}')}")
        emit(args, submitted, lambda: [f"Proposed the job {style(job, 'bold')} to its parties.", then])
        return 0
    if args.json:
        print(json.dumps({"kind": "submitted", **submitted}))
    else:
        say(f"Proposed the job {style(job, 'bold')} to its parties.")
    return watch(args, job)


def _list(args: argparse.Namespace) -> int:
    jobs = ask(args, "job.list")
    emit(args, jobs, lambda: _list_lines(args, jobs))
    return 0


def _list_lines(args: argparse.Namespace, jobs: list[dict[str, Any]]) -> list[str]:
    if not jobs:
        return ["No jobs yet.", hint(args, "job plan FILE.toml")]
    rows = [
        (
            job["job"],
            shorten(job["name"], 28),
            job["kind"],
            job_lines.coloured_state(job["state"]),
            job["proposer"],
            ", ".join(job["parties"]),
            f"{duration(max(0.0, time.time() - job['created']))} ago",
        )
        for job in jobs
    ]
    lines = table(("job", "name", "kind", "state", "proposed by", "parties", "when"), rows, right=["when"])
    return [*lines, "", hint(args, "job show JOB")]


def _show(args: argparse.Namespace) -> int:
    job = ask(args, "job.show", job=args.job)
    emit(args, job, lambda: job_lines.show_lines(args, job))
    return 0


def _watch(args: argparse.Namespace) -> int:
    return watch(args, args.job)


def _logs(args: argparse.Namespace) -> int:
    entries = ask(args, "job.logs", job=args.job)
    emit(args, entries, lambda: [f"{clock(entry['time'])}  {entry['text']}" for entry in entries] or ["Nothing yet."])
    return 0


def _approve(args: argparse.Namespace) -> int:
    done = ask(args, "job.approve", job=args.job)
    emit(args, done, lambda: ["Signed. The job starts once every party has.", hint(args, f"job watch {args.job}")])
    return 0


def _refuse(args: argparse.Namespace) -> int:
    done = ask(args, "job.refuse", job=args.job, reason=args.reason)
    emit(args, done, lambda: ["Refused; its parties are told why.", hint(args, "job list")])
    return 0


def _cancel(args: argparse.Namespace) -> int:
    done = ask(args, "job.cancel", job=args.job, reason=args.reason)
    emit(args, done, lambda: ["Cancelled at every party.", hint(args, "job list")])
    return 0
