"""How the parties of a job come to the same error: every verdict to everyone, and the least one counts.

Each daemon that sees an attempt fail makes one ``FailureVerdict`` of what it saw, sends it to all and collects the others'
for ``COLLECT_S``. All then take the minimum of the same set, ordered by (priority, culprit, step, content): what the
culprit's own worker says first, then what others saw it do wrong, then that its worker, its node or a link was lost. No
order of arrival matters. A verdict that arrives later can only lower the minimum, so parties that were apart converge when
they meet again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hansa.config.vocabulary import PRINTABLE
from hansa.node.errors import JobError
from hansa.node.worker.verdict import MAX_TEXT, FailureVerdict, Priority, error_dict
from hansa.protocols.errors import ConsentError, DesyncError, PeerLost, PeerMisbehaved, SecurityError

COLLECT_S = 1.5
MAX_FIELDS = 16


@dataclass(slots=True)
class Agreement:
    """What is agreed on one attempt of one job: ``common`` is the verdict of every party with the same reports."""

    common: FailureVerdict | None = None

    def add(self, verdict: FailureVerdict) -> bool:
        """Take a verdict in; True when it changes the common one."""
        lower = self.common is None or verdict.order < self.common.order
        if lower:
            self.common = verdict
        return lower


def ended(how: str, reason: str, name: str, *, job: str) -> dict[str, Any]:
    """The parties' consent ended: ``name`` refused or cancelled; or it expired, or was a conflict (``reason`` says)."""
    remedy = "submit the job file anew with `hansa job submit FILE.toml`"
    text = reason
    if how in {"refused", "cancelled"}:
        text, remedy = f"{name} {how} the job: {reason}", f"settle it with {name}, then {remedy}"
    return ConsentError(text, remedy=remedy, culprit=name, job=job).as_dict()


def worker_lost(culprit: bytes, name: str, how: str, *, step: str, job: str) -> FailureVerdict:
    """Said by the culprit's own daemon: its worker died, ``how`` says of what."""
    remedy = f"the job resumes by itself; if it ends again, ask {name} for `hansa job logs {job}`"
    error = error_dict(JobError, f"the worker of {name} died in step '{step}': {how}", remedy, name, step=step, job=job)
    return FailureVerdict(Priority.WORKER_LOST, culprit, step, error)


def node_lost(culprit: bytes, name: str, *, step: str, job: str) -> FailureVerdict:
    """The culprit's daemon went away while the job ran."""
    remedy = f"the job resumes when {name}'s node is back before the contract expires; start it with `hansa run`"
    error = error_dict(PeerLost, f"the node of {name} went away in step '{step}'", remedy, name, step=step, job=job)
    return FailureVerdict(Priority.NODE_LOST, culprit, step, error)


def not_attested(culprit: bytes, name: str, why: str, *, step: str, job: str) -> FailureVerdict:
    """A member in trusted hardware no longer proves what the contract accepts."""
    remedy = f"see `hansa tee status` and ask {name} what changed; then submit the job anew"
    error = error_dict(SecurityError, why, remedy, name, step=step, job=job)
    return FailureVerdict(Priority.MISBEHAVED, culprit, step, error)


def other_result(culprit: bytes, name: str, *, job: str) -> FailureVerdict:
    """A party finished with other rows than ours, which the protocols exclude."""
    remedy = "check that all parties run the same version of hansa (`hansa --version`), and submit the job anew"
    error = error_dict(DesyncError, f"{name} finished the job with other rows", remedy, name, step="finish", job=job)
    return FailureVerdict(Priority.MISBEHAVED, culprit, "finish", error)


def verdict_from_untrusted(priority: int, culprit: bytes | None, step: str, error: object) -> FailureVerdict:
    """A peer's report as a verdict, its texts cut to bounds and to one line. Raises PeerMisbehaved when it is none."""
    if priority not in set(Priority) or not isinstance(error, dict):
        raise PeerMisbehaved("a report of failure is malformed", remedy="update the peer's hansa", step=step)
    fields = error.get("fields")
    kept = {}
    if isinstance(fields, dict):
        for key, value in list(fields.items())[:MAX_FIELDS]:
            if isinstance(key, str) and isinstance(value, str | int | float | None):
                kept[_printable(key, 64)] = _printable(value, MAX_TEXT) if isinstance(value, str) else value
    exit_code = error.get("exit_code")
    data = {
        "code": _printable(error.get("code", "job-failed"), 64),
        "exit_code": exit_code if isinstance(exit_code, int) and 0 < exit_code < 128 else JobError.exit_code,
        "message": _printable(error.get("message", "the party gave no reason"), MAX_TEXT),
        "remedy": _printable(error.get("remedy", "see `hansa job logs`"), MAX_TEXT),
        "fields": kept,
    }
    return FailureVerdict(Priority(priority), culprit, step[:64], data)


def _printable(said: object, most: int) -> str:
    """A peer's words on one line, so that they look like nobody else's."""
    return "".join(char if re.match(PRINTABLE, char) else " " for char in str(said)[:most])
