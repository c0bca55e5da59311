"""A job's member in trusted hardware: that it runs what the contract accepts, before anybody signs and while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hansa.config.errors import HansaError
from hansa.config.vocabulary import ENCLAVE
from hansa.protocols.wire.attestation.binding import Role
from hansa.protocols.wire.contract import Code, Contract


class Judged(Protocol):
    """What was made of a proof."""

    @property
    def accepted(self) -> bool:
        """Whether the proof may be relied on."""

    @property
    def code(self) -> bytes:
        """The measurement that it proves."""

    @property
    def platform(self) -> str:
        """The kind of hardware that proves it."""

    @property
    def why(self) -> str:
        """The reasons, in one line."""


class Hardware(Protocol):
    """How this node asks others to prove their code (node.tee.attestations)."""

    async def ask(self, identity: bytes, role: Role, codes: Sequence[Code] | None = None) -> Judged:
        """Have a peer prove itself now. Raises ``HansaError`` where it gives no proof."""

    def enclaves(self) -> Sequence[bytes]:
        """Peers whose last proof was accepted, and that seal keys: they may serve models."""

    def job_key(self, contract: Contract) -> bytes:
        """At an enclave: the key of the model that a contract makes or uses. Raises ``HansaError`` where it has none."""

    def key_objection(self, contract: Contract) -> str | None:
        """At an enclave: why it cannot have that key; None where it can."""

    async def own_code(self) -> Code | None:
        """What this node itself runs; None without hardware. Raises ``EvidenceError``."""


def role_of(contract: Contract) -> Role:
    """What the contract's member in hardware does."""
    if contract.dealer is not None:
        return Role.DEALER
    return Role.SCORER if contract.kind == "predict" else Role.ENCLAVE


async def objection(contract: Contract, hardware: Hardware, me: bytes) -> str | None:
    """Why this node cannot rely on the contract's hardware, or be it; None where it can, or there is none."""
    helper = contract.helper
    if helper is None or not contract.codes:
        return None
    try:
        if helper.identity == me:
            without_key = contract.engine == ENCLAVE and hardware.key_objection(contract)
            return _own(contract, await hardware.own_code()) or without_key or None
        judged = await hardware.ask(helper.identity, role_of(contract), contract.codes)
    except HansaError as error:
        return error.message
    return None if judged.accepted else f"{helper.name} is refused as {role_of(contract)}: {judged.why}"


def lost(contract: Contract, identity: bytes, judged: Judged) -> str | None:
    """Why a running job cannot go on after a verdict on a peer; None where it can."""
    helper = contract.helper
    if helper is None or helper.identity != identity or not contract.codes:
        return None
    if not judged.accepted:
        return f"{helper.name} is no longer attested: {judged.why}"
    if Code(judged.platform, judged.code) not in contract.codes:
        return f"{helper.name} now runs other code than the contract accepts: {judged.code.hex()}"
    return None


def _own(contract: Contract, code: Code | None) -> str | None:
    if code is None:
        return "this node runs in no trusted hardware"
    if code not in contract.codes:
        return (
            f"this node runs the code {code.measurement.hex()} on {code.platform}, which the contract does not accept"
        )
    return None
