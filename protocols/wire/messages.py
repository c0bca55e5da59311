"""What daemons say to each other over a control channel: a closed vocabulary, every field bounded.

``TAGS`` names every message. Unknown tags and fields are refused. A field ``mark`` is an enclave's epoch token: that
is the token's name on the wire. What is signed stands beside what it is about: offers, ends and evidence in
``consent.statements``, heads of audit logs in ``chain``.
"""

from __future__ import annotations

from typing import Any

from hansa.config.vocabulary import BACKENDS
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.attestation.statements.binding import NONCE_BYTES, Role
from hansa.protocols.wire.chain import AuditHead
from hansa.protocols.wire.consent.statements import End, Equivocation, Offer, ResumeOffer
from hansa.protocols.wire.declared import (
    bit,
    blob,
    blobs,
    choice,
    declared,
    each,
    number,
    octets,
    optional_octets,
    optional_printable,
    parts,
    plain,
    printable,
    read_untrusted,
    texts,
)
from hansa.protocols.wire.fields import Fields


@declared()
class Hello:
    """The first message of a connection: the node's name, software version, clock and addresses.

    ``hardware`` is the backend that can prove its code; empty where there is none.
    """

    name: str = printable(limits.NAME_MAX, 1)
    version: str = printable(32, 1)
    clock: int = number(1 << 40)
    addresses: tuple[str, ...] = texts(limits.RECORD_MAX_ADDRESSES, 300)
    hardware: str = choice("", *BACKENDS)


@declared()
class Records:
    """Signed peer records (encoded) that the sender has pinned."""

    records: tuple[bytes, ...] = blobs(limits.MAX_RECORDS, limits.RECORD_MAX_BYTES)


@declared()
class ProgressNote:
    """How far the sender's worker is."""

    job_id: bytes = octets(32)
    attempt: int = number(limits.MAX_ATTEMPT)
    step: str = printable(limits.NAME_MAX)
    done: int = number(limits.MAX_COUNTER)
    total: int = number(limits.MAX_COUNTER)
    rounds: int = number(limits.MAX_COUNTER)
    bytes_sent: int = number(limits.MAX_COUNTER)
    elapsed_ms: int = number(limits.MAX_COUNTER)


@declared()
class Failed:
    """The sender's verdict on why this attempt ended (node.jobs.failure); ``error`` is canonical bytes of its dict form."""

    job_id: bytes = octets(32)
    attempt: int = number(limits.MAX_ATTEMPT)
    priority: int = number(100)
    culprit: bytes | None = optional_octets(32)
    step: str = printable(limits.NAME_MAX)
    error: bytes = blob(16 * 1024)


@declared()
class JobDone:
    """The sender's worker has finished this attempt; ``digest`` is over what all must have alike."""

    job_id: bytes = octets(32)
    attempt: int = number(limits.MAX_ATTEMPT)
    digest: bytes = octets(32)


@declared()
class HeadsRequest:
    """Which heads of my chain do you hold?"""

    request: int = number(limits.MAX_COUNTER)


@declared()
class Heads:
    """The heads of your chain that I hold."""

    request: int = number(limits.MAX_COUNTER)
    heads: tuple[AuditHead, ...] = parts(AuditHead, "an audit head", limits.MAX_HEADS)


@declared()
class CatalogRequest:
    """Which datasets do you show to members?"""

    request: int = number(limits.MAX_COUNTER)


def _column(value: Any) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise Fields({}, "a column").refused("is not a pair of name and kind")
    pair = Fields({"name": value[0], "kind": value[1]}, "a column")
    return pair.text("name", limits.COLUMN_NAME_MAX, least=1), pair.choice("kind", "number", "text")


@declared()
class DatasetInfo:
    """A dataset as members see it: names and kinds of columns, no row and no count."""

    name: str = printable(limits.NAME_MAX, 1)
    schema_digest: bytes = octets(32)
    columns: tuple[tuple[str, str], ...] = each(limits.CONTRACT_MAX_COLUMNS, _column)
    key: tuple[str, ...] = texts(limits.KEY_MAX_COLUMNS, limits.COLUMN_NAME_MAX)
    label: str | None = optional_printable(limits.COLUMN_NAME_MAX)


@declared()
class CatalogReply:
    """The datasets shown to members."""

    request: int = number(limits.MAX_COUNTER)
    datasets: tuple[DatasetInfo, ...] = parts(DatasetInfo, "a dataset's description", limits.CATALOG_MAX_DATASETS)


@declared()
class Probe:
    """Can you reach this member?"""

    request: int = number(limits.MAX_COUNTER)
    target: bytes = octets(32)


@declared()
class ProbeResult:
    """Whether the sender reaches the member, and what it saw."""

    request: int = number(limits.MAX_COUNTER)
    target: bytes = octets(32)
    ok: bool = bit()
    latency_us: int = number(limits.MAX_COUNTER)
    detail: str = printable(limits.TEXT_MAX)


@declared()
class AttestRequest:
    """Prove what code you run, on this channel, for this role, in answer to this nonce."""

    request: int = number(limits.MAX_COUNTER)
    nonce: bytes = octets(NONCE_BYTES)
    role: str = choice(*Role)
    mark: bytes = blob(limits.EPOCH_TOKEN_BYTES * limits.EPOCH_LINEAGES_MAX)
    """The latest epoch token of each lineage that the asked node has shown this one; empty before the first."""


@declared()
class AttestReply:
    """An encoded ``attestation.statements.proof.Proof``; or nothing, and in ``problem`` the reason."""

    request: int = number(limits.MAX_COUNTER)
    proof: bytes = blob(limits.ATTESTATION_MAX_SENT)
    problem: str = printable(limits.TEXT_MAX)
    mark: bytes = blob(limits.EPOCH_TOKEN_BYTES)
    """The epoch token of its sealed state now; empty where it seals nothing."""


@declared()
class Sealed:
    """An enclave has new sealed state; ``mark`` is its epoch token, to be remembered."""

    mark: bytes = blob(limits.EPOCH_TOKEN_BYTES)


@declared()
class KeysRequest:
    """An enclave asks another for model keys, in order of the jobs' ids.

    It wants those ``after`` a job's id (empty: from the first), except the ones that it has: ``held`` are their digests, one
    behind the other.
    """

    after: bytes = blob(32)
    held: bytes = blob(limits.KEY_DIGEST_BYTES * limits.KEYS_HELD_MAX)


@declared()
class KeysReply:
    """A page of model keys from one enclave to another, encoded (node.tee.keys.vault_keys), on an attested connection only.

    ``more``: further keys follow if they are asked for.
    """

    keys: bytes = blob(limits.CONTROL_MAX_BYTES, repr=False)
    more: bool = bit()


@declared()
class Votes:
    """Members' votes for a change of code (``attestation.statements.votes.Vote``), each encoded."""

    votes: tuple[bytes, ...] = blobs(limits.VOTES_MAX, limits.VOTE_MAX_BYTES)


Message = (
    Hello
    | Records
    | Offer
    | End
    | Equivocation
    | ResumeOffer
    | ProgressNote
    | Failed
    | JobDone
    | AuditHead
    | HeadsRequest
    | Heads
    | CatalogRequest
    | CatalogReply
    | Probe
    | ProbeResult
    | AttestRequest
    | AttestReply
    | Sealed
    | KeysRequest
    | KeysReply
    | Votes
)
TAGS: dict[str, type[Any]] = {
    "Hello": Hello,
    "Records": Records,
    "Offer": Offer,
    "End": End,
    "Evidence": Equivocation,
    "ResumeOffer": ResumeOffer,
    "Progress": ProgressNote,
    "Failed": Failed,
    "JobDone": JobDone,
    "AuditHead": AuditHead,
    "HeadsRequest": HeadsRequest,
    "Heads": Heads,
    "CatalogRequest": CatalogRequest,
    "Catalog": CatalogReply,
    "Probe": Probe,
    "ProbeResult": ProbeResult,
    "AttestRequest": AttestRequest,
    "AttestReply": AttestReply,
    "Sealed": Sealed,
    "KeysRequest": KeysRequest,
    "JobKeys": KeysReply,
    "Votes": Votes,
}
"""What a message is called on the wire; a class may take another name, its tag may not."""
_TAG_OF = {kind: tag for tag, kind in TAGS.items()}


def tag_of(message: Message) -> str:
    """What the message is called on the wire."""
    return _TAG_OF[type(message)]


def encode(message: Message) -> bytes:
    """The canonical bytes of a message."""
    return canonical.encode({"type": tag_of(message), "body": plain(message)})


def decode_untrusted(data: bytes | memoryview) -> Message:
    """The message of a peer's bytes; raises ``PeerMisbehaved`` or, for a bad signature inside, ``SecurityError``."""
    outer = Fields(canonical.decode_untrusted(data, limits.CONTROL_MAX_BYTES), "a message")
    tag = outer.choice("type", *TAGS)
    body = outer.map("body")
    outer.end()
    message: Message = read_untrusted(TAGS[tag], body, f"a message {tag}")
    return message
