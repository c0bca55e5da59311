"""What the daemon and a worker say to each other: a closed vocabulary over node.worker.fd_passing's frames.

        daemon                                worker
          Start (once)  ─────────────────────▶
          Route + a socket, any number  ─────▶
          ◀───────────  Stepped, Opened, Attested, any number
          ◀───────────  Finished  or  Broke (once, the last)

The identity key is in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import msgpack

from hansa.protocols.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Start:
    """All that a worker needs for one attempt of one job.

    ``addresses`` maps each other party's identity to where its daemon listens; ``dataset`` is the table's description
    for node.data.table (empty for a release); ``scores_file`` is where scores go if this party receives some;
    ``model`` is the sealed model of the training job (predict and release). ``correlation_store`` is where the correlations
    lie that these parties made ahead, ``correlation_key`` seals them; both are empty where the engine takes none. ``tee`` is
    what a worker proves and judges hardware by (node.tee.evidence.prover.worker_settings); ``release_policy`` is what this owner
    signed for an enclave, empty where there is none.
    """

    contract: bytes
    certificate: bytes
    attempt: int
    me: bytes
    job_secret: bytes = field(repr=False)
    sealing_key: bytes = field(repr=False)
    addresses: dict[bytes, list[str]]
    suites: list[str]
    dataset: dict[str, Any]
    folder: str
    scores_file: str
    released_file: str
    model: bytes = field(repr=False)
    resume_epoch: int
    correlation_store: str
    correlation_key: bytes = field(repr=False)
    tee: dict[str, Any]
    release_policy: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """A connection that reached the daemon for this job; the socket comes with the frame. ``preamble`` is as read."""

    preamble: bytes


@dataclass(frozen=True, slots=True)
class Stepped:
    """Progress: ``done`` of ``total`` in ``step``, with what the job has cost so far, and a few words on how it goes."""

    step: str
    done: int
    total: int
    rounds: int
    bytes_sent: int
    elapsed_ms: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """Values were opened under the name ``what`` to the ranks ``to``: ``elements`` numbers."""

    what: str
    to: list[int]
    elements: int


@dataclass(frozen=True, slots=True)
class Attested:
    """What was made of a member's proof on the job's own link, for the audit log; ``member`` is its identity."""

    member: bytes
    role: str
    verdict: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """The job's result at this party, as JSON-like data (node.worker.outputs says what), and the sealed model if any."""

    result: dict[str, Any] = field(repr=False)
    model: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Broke:
    """The worker ended on an error; ``priority``, ``culprit`` and ``error`` as in node.worker.verdict.FailureVerdict."""

    priority: int
    culprit: bytes
    step: str
    error: dict[str, Any]


ToWorker = Start | Route
FromWorker = Stepped | Opened | Attested | Finished | Broke
TAGS: dict[str, type[ToWorker | FromWorker]] = {
    "start": Start,
    "route": Route,
    "stepped": Stepped,
    "opened": Opened,
    "attested": Attested,
    "finished": Finished,
    "broke": Broke,
}
_TAG_OF = {kind: tag for tag, kind in TAGS.items()}


def encode(message: ToWorker | FromWorker) -> bytes:
    """One frame's body."""
    body: bytes = msgpack.packb([_TAG_OF[type(message)], *(getattr(message, f.name) for f in fields(message))])
    return body


def decode(body: bytes) -> ToWorker | FromWorker:
    """The message of a frame. Raises ProtocolError when it is none of the vocabulary (a bug: both ends are ours)."""
    try:
        name, *values = msgpack.unpackb(body, strict_map_key=False)
        return TAGS[name](*values)
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise ProtocolError(
            "the daemon and its worker do not speak the same language",
            remedy="restart the daemon with `hansa run`: its program changed while it ran",
        ) from error
