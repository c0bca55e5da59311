"""One door for all evidence: find out what it is, and have it judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.policy import Expected, Policy
from hansa.protocols.wire.attestation.snp import SnpCollateral, verify_snp
from hansa.protocols.wire.attestation.verdict import Verdict
from hansa.protocols.wire.limits import ATTESTATION_MAX_QUOTE


@dataclass(frozen=True, slots=True)
class Collateral:
    """What a vendor says about its own hardware, as it came with the evidence: nothing in it is trusted unverified."""

    snp: SnpCollateral = field(default_factory=SnpCollateral)


def verify_evidence(data: bytes, collateral: Collateral, policy: Policy, expected: Expected, at: int) -> Verdict:
    """The verdict over a quote or report as of Unix time ``at``; ``MalformedEvidence`` where it is neither.

    An SNP report begins with its version in four bytes, an Intel quote with its version and the kind of its key in two
    each, of which the second is never 0.
    """
    if len(data) > ATTESTATION_MAX_QUOTE:
        raise MalformedEvidence("evidence", f"has {len(data)} bytes, more than {ATTESTATION_MAX_QUOTE}")
    if len(data) < 4:
        raise MalformedEvidence("evidence", "is empty or too short to say what it is")
    if int.from_bytes(data[:4], "little") <= 0xFF:
        return verify_snp(data, collateral.snp, policy, expected, at)
    raise MalformedEvidence("evidence", "is neither an SGX or TDX quote nor a SEV-SNP report")
