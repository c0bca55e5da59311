"""A job's member in trusted hardware: whether it runs code that the contract accepts, before signing and while the job runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from hansa.config.errors import HansaError
from hansa.config.vocabulary import ENCLAVE
from hansa.protocols.errors import PeerError, SecurityError
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role
from hansa.protocols.wire.consent.contract import Contract

log = logging.getLogger(__name__)

AT_FAULT = "this node can neither judge hardware nor prove its own now: its log says why"
"""What the other members read where the fault is this node's."""


class Judgement(Protocol):
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
    """How this node asks others to prove their code (node.tee.peers.attestations)."""

    async def ask(self, identity: bytes, role: Role, codes: Sequence[Code] | None = None) -> Judgement:
        """Have a peer prove itself now. Raises ``HansaError`` where it gives no proof."""

    def enclaves(self) -> Sequence[bytes]:
        """Peers whose last proof was accepted, and that seal keys: they may serve models."""

    def model_key(self, contract: Contract) -> bytes:
        """At an enclave: the key of the model that a contract makes or uses. Raises ``HansaError`` where it has none."""

    def reason_to_refuse_key(self, contract: Contract) -> str | None:
        """At an enclave: why it cannot have that key; None where it can."""

    async def own_code(self) -> Code | None:
        """What this node itself runs; None without hardware. Raises ``EvidenceError``."""


def role_of(contract: Contract) -> Role:
    """What the contract's member in hardware does."""
    if contract.dealer is not None:
        return Role.DEALER
    return Role.SCORER if contract.kind == "predict" else Role.ENCLAVE


async def check(contract: Contract, hardware: Hardware, me: bytes) -> None:
    """Raise ``HansaError`` where the contract's hardware proves no code that the contract accepts, or is this node and cannot.

    The message is for this node's own people: it may name its files and devices.
    """
    helper, role = contract.helper, role_of(contract)
    if helper is None or not contract.codes:
        return
    if helper.identity == me:
        why = _own(contract, await hardware.own_code())
        why = why or (hardware.reason_to_refuse_key(contract) if contract.engine == ENCLAVE else None)
    else:
        judged = await hardware.ask(helper.identity, role, contract.codes)
        why = None if judged.accepted else f"{helper.name} is refused as {role}: {judged.why}"
    if why is not None:
        raise SecurityError(why, remedy="see `hansa tee status`")


async def problem(contract: Contract, hardware: Hardware, me: bytes) -> str | None:
    """Why ``check`` raises, for this node's people; None where it does not."""
    try:
        await check(contract, hardware, me)
    except HansaError as error:
        return error.message
    return None


async def reason_to_refuse(contract: Contract, hardware: Hardware, me: bytes) -> str | None:
    """Why ``check`` raises, for all members: of this node's own files and devices they learn nothing; None where it does not."""
    try:
        await check(contract, hardware, me)
    except (PeerError, SecurityError) as error:
        return error.message
    except HansaError as error:
        log.warning("a contract is refused: %s", error.message)
        return AT_FAULT
    return None


def lost(contract: Contract, identity: bytes, judged: Judgement) -> str | None:
    """Why a running job cannot go on after this verdict on a peer; None where it can."""
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
