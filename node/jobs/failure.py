"""How the parties of a job come to the same error: every verdict to everyone, and the least one counts.

Each daemon that sees an attempt fail makes one ``FailureVerdict`` of what it saw, sends it to all and collects the others'
for ``COLLECT_S``. All then take the minimum of the same set, ordered by (priority, culprit, step, content): first-hand
reports beat what others saw of it, and no order of arrival matters. A verdict that arrives later can only lower the
minimum, so parties that were apart converge when they meet again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from hansa.config.errors import HansaError
from hansa.config.vocabulary import PRINTABLE
from hansa.node.errors import JobError
from hansa.node.net.connection import ChannelClosed
from hansa.protocols.errors import (
    ConsentError,
    DesyncError,
    PeerAborted,
    PeerLost,
    PeerMisbehaved,
    PeerTimeout,
    SecurityError,
)

COLLECT_S = 1.5
MAX_TEXT = 2000
MAX_FIELDS = 16


class Priority(IntEnum):
    """Who says so; the lower one is believed."""

    OWN = 1  # first hand: the culprit's own worker says what it could not do
    MISBEHAVED = 2  # a party was seen to break the protocol
    WORKER_LOST = 3  # first hand: the culprit's own daemon says that its worker died
    NODE_LOST = 4  # the culprit's daemon does not answer
    LINK_LOST = 5  # the connection to the culprit's worker broke
    RELAYED = 6  # the culprit's worker said goodbye


RESUMABLE = frozenset({Priority.WORKER_LOST, Priority.NODE_LOST, Priority.LINK_LOST})


@dataclass(frozen=True, slots=True)
class FailureVerdict:
    """What one daemon holds to be the reason why an attempt ended; ``culprit`` is a party's identity."""

    priority: Priority
    culprit: bytes | None
    step: str
    error: dict[str, Any]

    @property
    def order(self) -> tuple[int, bytes, str, str, str]:
        """The key whose minimum is the common verdict: content only, nothing of who reported it."""
        return (
            int(self.priority),
            self.culprit or b"",
            self.step,
            str(self.error["code"]),
            str(self.error["message"]),
        )

    @property
    def state(self) -> str:
        """The state of the job after this: interrupted (a resume may follow) or failed."""
        return "interrupted" if self.priority in RESUMABLE else "failed"


@dataclass(slots=True)
class Agreement:
    """The verdicts known on one attempt of one job."""

    verdicts: list[FailureVerdict] = field(default_factory=list)

    def add(self, verdict: FailureVerdict) -> bool:
        """Take a verdict in; True when it changes the common one."""
        before = self.common
        if verdict not in self.verdicts:
            self.verdicts.append(verdict)
        return self.common != before

    @property
    def common(self) -> FailureVerdict | None:
        """The verdict that every party with the same reports holds."""
        return min(self.verdicts, key=lambda verdict: verdict.order, default=None)


def judge(error: HansaError, *, me: bytes, parties: Mapping[bytes, str], step: str, job: str) -> FailureVerdict:
    """Judge the error that ended this party's worker.

    ``parties`` maps identities to the contract's names, in rank order; the error's fields ``culprit`` and ``peer`` are
    ranks. What we saw of a peer is told in words any other party would use; all else is our own failure.
    """
    culprit = _culprit(error, parties)
    cause = error.fields.get("cause", error.code)
    lost = cause in {PeerLost.code, PeerTimeout.code, ChannelClosed.code}
    if culprit is not None and lost:
        return link_lost(culprit, parties[culprit], step=step, job=job)
    if culprit is None or culprit == me:
        return own_failure(error, me, parties[me], step=step, job=job)
    name = parties[culprit]
    if isinstance(error, PeerAborted | PeerMisbehaved | SecurityError | DesyncError):
        priority = Priority.RELAYED if isinstance(error, PeerAborted) else Priority.MISBEHAVED
        text = _with_names(error.message, parties)
        return FailureVerdict(
            priority, culprit, step, _error(type(error), text, error.remedy, name, step=step, job=job)
        )
    return own_failure(error, me, parties[me], step=step, job=job)


def own_failure(error: HansaError, me: bytes, name: str, *, step: str, job: str) -> FailureVerdict:
    """What our own worker could not do. A local path is shortened to its last part: peers read this."""
    message = error.message
    file = error.fields.get("file")
    if isinstance(file, str) and file:
        message = message.replace(file, os.path.basename(file))
    data = _error(type(error), f"{name}: {message}", error.remedy, name, step=step, job=job)
    data["code"], data["exit_code"] = error.code, error.exit_code
    kept = {k: error.fields[k] for k in ("column", "row", "what") if error.fields.get(k) is not None}
    data["fields"] = {**kept, **data["fields"]}
    return FailureVerdict(Priority.OWN, me, step, data)


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
    error = _error(JobError, f"the worker of {name} died in step '{step}': {how}", remedy, name, step=step, job=job)
    return FailureVerdict(Priority.WORKER_LOST, culprit, step, error)


def node_lost(culprit: bytes, name: str, *, step: str, job: str) -> FailureVerdict:
    """The culprit's daemon went away while the job ran."""
    remedy = f"the job resumes when {name}'s node is back before the contract expires; start it with `hansa run`"
    error = _error(PeerLost, f"the node of {name} went away in step '{step}'", remedy, name, step=step, job=job)
    return FailureVerdict(Priority.NODE_LOST, culprit, step, error)


def link_lost(culprit: bytes, name: str, *, step: str, job: str) -> FailureVerdict:
    """The connection to the culprit's worker broke, and its daemon may still answer."""
    remedy = f"the job resumes by itself; `hansa doctor` shows whether {name} can be reached"
    error = _error(PeerLost, f"the connection to {name} broke in step '{step}'", remedy, name, step=step, job=job)
    return FailureVerdict(Priority.LINK_LOST, culprit, step, error)


def not_attested(culprit: bytes, name: str, why: str, *, step: str, job: str) -> FailureVerdict:
    """A member in trusted hardware no longer proves what the contract accepts."""
    remedy = f"see `hansa tee status` and ask {name} what changed; then submit the job anew"
    error = _error(SecurityError, why, remedy, name, step=step, job=job)
    return FailureVerdict(Priority.MISBEHAVED, culprit, step, error)


def other_result(culprit: bytes, name: str, *, job: str) -> FailureVerdict:
    """A party finished with other rows than ours, which the protocols exclude."""
    remedy = "check that all parties run the same version of hansa (`hansa --version`), and submit the job anew"
    error = _error(DesyncError, f"{name} finished the job with other rows", remedy, name, step="finish", job=job)
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


def _culprit(error: HansaError, parties: Mapping[bytes, str]) -> bytes | None:
    for key in ("culprit", "peer"):
        rank = error.fields.get(key)
        if isinstance(rank, int) and 0 <= rank < len(parties):
            return list(parties)[rank]
    return None


def _with_names(message: str, parties: Mapping[bytes, str]) -> str:
    """Protocols know ranks ("party 1"), people know names."""
    names = list(parties.values())

    def named(match: re.Match[str]) -> str:
        rank = int(match[1])
        return names[rank] if rank < len(names) else match[0]

    return re.sub(r"\bparty (\d{1,3})\b", named, message)


def _error(kind: type[HansaError], message: str, remedy: str, name: str, *, step: str, job: str) -> dict[str, Any]:
    return {
        "code": kind.code,
        "exit_code": kind.exit_code,
        "message": message[:MAX_TEXT],
        "remedy": remedy[:MAX_TEXT],
        "fields": {"culprit": name, "step": step, "job": job},
    }
