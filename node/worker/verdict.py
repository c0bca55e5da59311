"""What one party holds to be the reason why an attempt ended: whose fault, in which step, in words for every party.

The worker judges the error that ended it. Its daemon judges what a worker cannot see (node.jobs.failure), and agrees
with the other daemons on one verdict.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from hansa.config.errors import HansaError
from hansa.node.net.connection import ChannelClosed
from hansa.protocols.errors import (
    DesyncError,
    PeerAborted,
    PeerLost,
    PeerMisbehaved,
    PeerTimeout,
    SecurityError,
)

MAX_TEXT = 2000


class Priority(IntEnum):
    """Who says so; the lower one is believed."""

    OWN = 1  # first hand: the culprit's own worker says what it could not do
    MISBEHAVED = 2  # a party was seen to break the protocol
    WORKER_LOST = 3  # first hand: the culprit's own daemon says that its worker died
    NODE_LOST = 4  # the culprit's daemon does not answer
    LINK_LOST = 5  # the connection to the culprit's worker broke
    RELAYED = 6  # the culprit's worker aborted the session and told us why


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
            priority, culprit, step, error_dict(type(error), text, error.remedy, name, step=step, job=job)
        )
    return own_failure(error, me, parties[me], step=step, job=job)


def own_failure(error: HansaError, me: bytes, name: str, *, step: str, job: str) -> FailureVerdict:
    """What our own worker could not do. A local path is shortened to its last part: peers read this."""
    message = error.message
    file = error.fields.get("file")
    if isinstance(file, str) and file:
        message = message.replace(file, os.path.basename(file))
    data = error_dict(type(error), f"{name}: {message}", error.remedy, name, step=step, job=job)
    data["code"], data["exit_code"] = error.code, error.exit_code
    kept = {k: error.fields[k] for k in ("column", "row", "what") if error.fields.get(k) is not None}
    data["fields"] = {**kept, **data["fields"]}
    return FailureVerdict(Priority.OWN, me, step, data)


def link_lost(culprit: bytes, name: str, *, step: str, job: str) -> FailureVerdict:
    """The connection to the culprit's worker broke, and its daemon may still answer."""
    remedy = f"the job resumes by itself; `hansa doctor` shows whether {name} can be reached"
    error = error_dict(PeerLost, f"the connection to {name} broke in step '{step}'", remedy, name, step=step, job=job)
    return FailureVerdict(Priority.LINK_LOST, culprit, step, error)


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


def error_dict(kind: type[HansaError], message: str, remedy: str, name: str, *, step: str, job: str) -> dict[str, Any]:
    """An error as data, the same at every party that judges so; ``name`` is the culprit's."""
    return {
        "code": kind.code,
        "exit_code": kind.exit_code,
        "message": message[:MAX_TEXT],
        "remedy": remedy[:MAX_TEXT],
        "fields": {"culprit": name, "step": step, "job": job},
    }
