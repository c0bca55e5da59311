"""What daemons say to each other over a control channel: a closed vocabulary, every field bounded.

A message is a frozen dataclass whose fields carry their own readers, so that encoding and checking stand in one
place. Unknown types and fields are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from hansa.config.vocabulary import BACKENDS
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.attestation.statements.binding import NONCE_BYTES, Role
from hansa.protocols.wire.consent.certificate import Signature
from hansa.protocols.wire.fields import Fields

Reader = Callable[[Fields, str], Any]


def _read(reader: Reader, *, secret: bool = False) -> Any:
    return field(metadata={"read": reader}, repr=not secret)


def _octets(length: int) -> Any:
    return _read(lambda f, name: f.octets(name, length))


def _text(most: int = limits.TEXT_MAX, least: int = 0) -> Any:
    return _read(lambda f, name: f.text(name, most, least=least))


def _number(most: int, least: int = 0) -> Any:
    return _read(lambda f, name: f.number(name, least, most))


def _signature(source: Fields, name: str) -> Signature:
    return Signature.from_untrusted(source.map(name))


_COUNTER = (1 << 63) - 1
_DIGEST = 32


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a connection: what the node calls itself, its software, its clock, where it listens, what it can prove
    its code by (empty: nothing)."""

    name: str = _text(limits.NAME_MAX, 1)
    version: str = _text(32, 1)
    clock: int = _number(1 << 40)
    addresses: tuple[str, ...] = _read(lambda f, n: f.texts(n, limits.RECORD_MAX_ADDRESSES, 300))
    hardware: str = _read(lambda f, n: f.choice(n, "", *BACKENDS))


@dataclass(frozen=True, slots=True)
class Records:
    """Signed peer records (encoded) that the sender has pinned."""

    records: tuple[bytes, ...] = _read(
        lambda f, n: f.each(
            n, limits.MAX_RECORDS, lambda x: Fields({n: x}, "a record").blob(n, limits.RECORD_MAX_BYTES)
        )
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """A contract with every signature under it that the sender knows."""

    contract: bytes = _read(lambda f, n: f.blob(n, limits.CONTRACT_MAX_BYTES))
    signatures: tuple[Signature, ...] = _read(
        lambda f, n: f.each(n, limits.CONTRACT_MAX_MEMBERS, Signature.from_untrusted)
    )


@dataclass(frozen=True, slots=True)
class End:
    """``identity`` ends the job: refused, cancelled or expired. Signed, so that others may pass it on."""

    _TAG: ClassVar[str] = "end"
    job_id: bytes = _octets(32)
    identity: bytes = _octets(32)
    kind: str = _read(lambda f, n: f.choice(n, "refused", "cancelled", "expired"))
    reason: str = _text()
    sig: bytes = _octets(64)

    @classmethod
    def make(cls, signing_key: bytes, identity: bytes, job_id: bytes, kind: str, reason: str) -> End:
        """Sign an End with the signing key of ``identity``."""
        reason = "".join(c if c.isprintable() else " " for c in reason)[: limits.TEXT_MAX]
        return cls(job_id, identity, kind, reason, signing.sign(signing_key, cls._TAG, cls._body(job_id, kind, reason)))

    def verify(self) -> None:
        """Raise ``SecurityError`` unless ``identity`` made it."""
        signing.verify(self.identity, self._TAG, self._body(self.job_id, self.kind, self.reason), self.sig)

    @staticmethod
    def _body(job_id: bytes, kind: str, reason: str) -> bytes:
        return canonical.encode([job_id, kind, reason])


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two signatures of one party over one nonce: under two contracts, or with two job keys for one attempt."""

    first: Signature = _read(_signature)
    second: Signature = _read(_signature)

    def verify(self) -> None:
        """Raise ``SecurityError`` unless it proves what it says."""
        self.first.verify()
        self.second.verify()
        first, second = self.first, self.second
        same = (first.identity, first.nonce) == (second.identity, second.nonce)
        rekeyed = first.attempt == second.attempt and first.job_key != second.job_key
        if not same or (first.job_id == second.job_id and not rekeyed):
            raise SecurityError("what a peer sent as evidence proves nothing", remedy="nothing: it was ignored")


@dataclass(frozen=True, slots=True)
class ResumeOffer:
    """Ready to run this attempt of an interrupted job, with these checkpoints at hand."""

    signature: Signature = _read(_signature)
    checkpoints: tuple[int, ...] = _read(lambda f, n: f.integers(n, limits.MAX_CHECKPOINTS, limits.MAX_ATTEMPT))


@dataclass(frozen=True, slots=True)
class ProgressNote:
    """How far the sender's worker is."""

    job_id: bytes = _octets(32)
    attempt: int = _number(limits.MAX_ATTEMPT)
    step: str = _text(limits.NAME_MAX)
    done: int = _number(_COUNTER)
    total: int = _number(_COUNTER)
    rounds: int = _number(_COUNTER)
    bytes_sent: int = _number(_COUNTER)
    elapsed_ms: int = _number(_COUNTER)


@dataclass(frozen=True, slots=True)
class Failed:
    """The sender's verdict on why this attempt ended (node.jobs.failure); ``error`` is canonical bytes of its dict form."""

    job_id: bytes = _octets(32)
    attempt: int = _number(limits.MAX_ATTEMPT)
    priority: int = _number(100)
    culprit: bytes | None = _read(lambda f, n: f.optional_octets(n, 32))
    step: str = _text(limits.NAME_MAX)
    error: bytes = _read(lambda f, n: f.blob(n, 16 * 1024))


@dataclass(frozen=True, slots=True)
class JobDone:
    """The sender's worker has finished this attempt; ``digest`` is over what all must have alike."""

    job_id: bytes = _octets(32)
    attempt: int = _number(limits.MAX_ATTEMPT)
    digest: bytes = _octets(_DIGEST)


@dataclass(frozen=True, slots=True)
class AuditHead:
    """A signed head of ``identity``'s audit chain, exchanged at the start and the end of a job."""

    identity: bytes = _octets(32)
    seq: int = _number(_COUNTER)
    hash: bytes = _octets(_DIGEST)
    sig: bytes = _octets(64)


def _head(value: Any) -> AuditHead:
    head: AuditHead = _read_fields(AuditHead, Fields(value, "an audit head"))
    return head


@dataclass(frozen=True, slots=True)
class HeadsRequest:
    """Which heads of my chain do you hold?"""

    request: int = _number(_COUNTER)


@dataclass(frozen=True, slots=True)
class Heads:
    """The heads of your chain that I hold."""

    request: int = _number(_COUNTER)
    heads: tuple[AuditHead, ...] = _read(lambda f, n: f.each(n, limits.MAX_HEADS, _head))


@dataclass(frozen=True, slots=True)
class CatalogRequest:
    """Which datasets do you show to members?"""

    request: int = _number(_COUNTER)


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A dataset as members see it: names and kinds of columns, no row and no count."""

    name: str = _text(limits.NAME_MAX, 1)
    schema_digest: bytes = _octets(_DIGEST)
    columns: tuple[tuple[str, str], ...] = _read(lambda f, n: f.each(n, limits.CONTRACT_MAX_COLUMNS, _column))
    key: tuple[str, ...] = _read(lambda f, n: f.texts(n, limits.KEY_MAX_COLUMNS, limits.COLUMN_NAME_MAX))
    label: str | None = _read(lambda f, n: f.optional_text(n, limits.COLUMN_NAME_MAX))


def _column(value: Any) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise Fields({}, "a column").refused("is not a pair of name and kind")
    pair = Fields({"name": value[0], "kind": value[1]}, "a column")
    return pair.text("name", limits.COLUMN_NAME_MAX, least=1), pair.choice("kind", "number", "text")


@dataclass(frozen=True, slots=True)
class CatalogReply:
    """The datasets shown to members."""

    request: int = _number(_COUNTER)
    datasets: tuple[DatasetInfo, ...] = _read(
        lambda f, n: f.each(
            n, limits.CATALOG_MAX_DATASETS, lambda x: _read_fields(DatasetInfo, Fields(x, "a dataset's description"))
        )
    )


@dataclass(frozen=True, slots=True)
class Probe:
    """Can you reach this member?"""

    request: int = _number(_COUNTER)
    target: bytes = _octets(32)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Whether the sender reaches the member, and what it saw."""

    request: int = _number(_COUNTER)
    target: bytes = _octets(32)
    ok: bool = _read(lambda f, n: bool(f.number(n, 0, 1)))
    latency_us: int = _number(_COUNTER)
    detail: str = _text()


@dataclass(frozen=True, slots=True)
class AttestRequest:
    """Prove what code you run, on this channel, for this role, in answer to this nonce."""

    request: int = _number(_COUNTER)
    nonce: bytes = _octets(NONCE_BYTES)
    role: str = _read(lambda f, n: f.choice(n, *Role))
    mark: bytes = _read(lambda f, n: f.blob(n, limits.EPOCH_TOKEN_BYTES * limits.EPOCH_LINEAGES_MAX))
    """The latest epoch token of each lineage that the asked node has shown this one; empty before the first."""


@dataclass(frozen=True, slots=True)
class AttestReply:
    """An encoded ``attestation.proof.Proof``; or empty, and why there is none."""

    request: int = _number(_COUNTER)
    proof: bytes = _read(lambda f, n: f.blob(n, limits.ATTESTATION_MAX_SENT))
    problem: str = _text()
    mark: bytes = _read(lambda f, n: f.blob(n, limits.EPOCH_TOKEN_BYTES))
    """The epoch token of its sealed state now; empty where it seals nothing."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An enclave has new sealed state; ``mark`` is its epoch token, to be remembered."""

    mark: bytes = _read(lambda f, n: f.blob(n, limits.EPOCH_TOKEN_BYTES))


@dataclass(frozen=True, slots=True)
class KeysRequest:
    """An enclave asks another for the job keys that it may have: of jobs whose id comes ``after`` (empty: all), and besides those
    that it has, by their digests one behind the other."""

    after: bytes = _read(lambda f, n: f.blob(n, _DIGEST))
    held: bytes = _read(lambda f, n: f.blob(n, limits.KEY_DIGEST_BYTES * limits.KEYS_HELD_MAX))


@dataclass(frozen=True, slots=True)
class KeysReply:
    """Job keys from one enclave to another, encoded (node.tee.keys.vault_keys); inside the attested channel only. ``more`` are
    there for whoever asks again."""

    keys: bytes = _read(lambda f, n: f.blob(n, limits.CONTROL_MAX_BYTES), secret=True)
    more: bool = _read(lambda f, n: bool(f.number(n, 0, 1)))


@dataclass(frozen=True, slots=True)
class Votes:
    """Members' votes for a change of code (``attestation.votes.Vote``), each encoded."""

    votes: tuple[bytes, ...] = _read(
        lambda f, n: f.each(n, limits.VOTES_MAX, lambda v: Fields({n: v}, "a vote").blob(n, limits.VOTE_MAX_BYTES))
    )


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
    return canonical.encode({"type": tag_of(message), "body": _plain(message)})


def decode_untrusted(data: bytes | memoryview) -> Message:
    """The message of a peer's bytes; raises ``PeerMisbehaved`` or, for a bad signature inside, ``SecurityError``."""
    outer = Fields(canonical.decode_untrusted(data, limits.CONTROL_MAX_BYTES), "a message")
    kind = outer.choice("type", *TAGS)
    body = outer.map("body")
    outer.end()
    message: Message = _read_fields(TAGS[kind], Fields(body, f"a message {kind}"))
    return message


def _read_fields(kind: type[Any], source: Fields) -> Any:
    message = kind(*(f.metadata["read"](source, f.name) for f in fields(kind)))
    source.end()
    return message


def _plain(value: Any) -> Any:
    if isinstance(value, Signature):
        return value.to_map()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool):
        return int(value)
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value
