"""One door for all evidence: find out what it is, and have it judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.policy import EvidencePolicy, Expected
from hansa.protocols.wire.attestation.simulated import MARK, WORD
from hansa.protocols.wire.attestation.snp.snp import SnpCollateral, verify_snp
from hansa.protocols.wire.attestation.verdict import Findings, ReasonCode, Verdict
from hansa.protocols.wire.limits import ATTESTATION_MAX_QUOTE

if TYPE_CHECKING:
    from hansa.protocols.wire.attestation.intel.dcap import DcapCollateral


@dataclass(frozen=True, slots=True)
class Collateral:
    """What a vendor says about its own hardware, as it came with the evidence: nothing in it is trusted unverified."""

    snp: SnpCollateral = field(default_factory=SnpCollateral)
    intel: Sequence[DcapCollateral] = ()


def verify_evidence(
    data: bytes, collateral: Collateral, policy: EvidencePolicy, expected: Expected, at: int
) -> Verdict:
    """The verdict over a quote or report as of Unix time ``at``; ``MalformedEvidence`` where it is neither, and
    ``ModuleNotFoundError`` for an Intel quote where ``dcap-qvl`` is not installed.

    An SNP report begins with its version in four bytes, an Intel quote with its version and the kind of its key in two
    each, of which the second is never 0.
    """
    if len(data) > ATTESTATION_MAX_QUOTE:
        raise MalformedEvidence("evidence", f"has {len(data)} bytes, more than {ATTESTATION_MAX_QUOTE}")
    if len(data) < 4:
        raise MalformedEvidence("evidence", "is empty or too short to say what it is")
    if data.startswith(MARK):
        findings = Findings()
        findings.refuse(ReasonCode.SIMULATED, "this is simulated evidence, which proves nothing")
        return findings.verdict(WORD, {})
    if int.from_bytes(data[:4], "little") <= 0xFF:
        return verify_snp(data, collateral.snp, policy, expected, at)
    if int.from_bytes(data[:2], "little") <= 0xFF and data[3] == 0:
        from hansa.protocols.wire.attestation.intel.dcap import verify_dcap  # noqa: PLC0415  # an optional package

        return verify_dcap(data, collateral.intel, policy, expected, at)
    raise MalformedEvidence("evidence", "is neither an SGX or TDX quote nor a SEV-SNP report")
