"""Following a job to its end: what `job watch`, `job submit --watch` and `model predict` have in common."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from hansa.node.admin.client import AdminClient
from hansa.node.cli.job_lines import coloured_state, end_lines, next_line
from hansa.node.cli.job_progress import Lines, Live, Raw, Silent, View
from hansa.node.cli.output import again, clean, say
from hansa.node.errors import RelayedError

INTERRUPTED = 130
JOB_FAILED = 7
NOT_AGREED = 6
_NOT_AGREED = {"refused", "expired", "cancelled"}


def watch(args: argparse.Namespace, job: str) -> int:
    """Show a job until it ends, then its result; 0 if it is done. Ctrl-C leaves the job running (130)."""
    ended = follow(args, job, Raw() if args.json else None)
    if ended is None:
        return INTERRUPTED
    if args.json:
        print(json.dumps({"kind": "end", "job": ended["job"], "state": ended["state"], "detail": ended}))
        return exit_code(ended)
    check(ended)
    state = coloured_state(ended["state"])
    say("", f"{ended['job']}  {ended['name']}  {state}", *end_lines(ended), "", next_line(args, ended))
    return exit_code(ended)


def follow(args: argparse.Namespace, job: str, view: View | None = None) -> dict[str, Any] | None:
    """The job once it has ended; None if the user stopped watching."""
    view = view or (Silent() if args.json else Live() if sys.stdout.isatty() else Lines())
    try:
        with AdminClient(args.home) as client:
            for kind, event in client.stream("job.watch", job=job):
                if kind == "job.event":
                    view.event(event)
            view.end()
            return dict(client.call("job.show", job=job))
    except KeyboardInterrupt:
        view.end()
        note = f"Stopped watching; the job goes on.\n  next: {again(args, f'job watch {job}')}"
        print(clean(note, sys.stderr), file=sys.stderr)
        return None


def exit_code(job: dict[str, Any]) -> int:
    """0 for a job that is done; what its error says for a failed one; 6 where the parties did not agree."""
    if job["state"] == "done":
        return 0
    return NOT_AGREED if job["state"] in _NOT_AGREED else int(_error(job).get("exit_code") or JOB_FAILED)


def check(job: dict[str, Any]) -> None:
    """Raise the error of a job that ended without a result."""
    if job["state"] == "done":
        return
    fallback = {"message": f"the job '{job['name']}' is {job['state']}", "remedy": f"hansa job logs {job['job']}"}
    error = RelayedError.from_dict({"code": "job-failed", **fallback, **_error(job), "exit_code": exit_code(job)})
    error.fields.setdefault("job", job["job"])
    raise error


def _error(job: dict[str, Any]) -> dict[str, Any]:
    error = job.get("error")
    return error if isinstance(error, dict) else {}
