"""What this node makes of a peer's proof: its own policy, and the code that a contract accepts.

Blocking for some milliseconds: call it in a thread. The library of certificates is loaded by the first call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hansa.node.errors import UsageError
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.platforms import Code, code_of
from hansa.protocols.wire.attestation.policy import Expected
from hansa.protocols.wire.attestation.simulated import MARK, WORD, insecure_verify
from hansa.protocols.wire.attestation.statements.proof import Proof
from hansa.protocols.wire.attestation.verdict import Findings, Reason, ReasonCode, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and the code it is about; empty where that was not proven."""

    verdict: Verdict
    code: bytes

    @property
    def accepted(self) -> bool:
        """Whether the proof may be relied on."""
        return self.verdict.accepted

    @property
    def platform(self) -> str:
        """The kind of hardware."""
        return self.verdict.platform

    @property
    def why(self) -> str:
        """Its reasons in one line; of a refusal only those that decide."""
        reasons = [str(one) for one in self.verdict.reasons if one.decisive or self.accepted]
        return "; ".join(reasons)

    def as_dict(self) -> dict[str, Any]:
        """For the audit log and for people."""
        return {
            "verdict": "accept" if self.accepted else "refuse",
            "platform": self.verdict.platform,
            "tcb_status": self.verdict.tcb_status,
            "code": self.code.hex(),
            "reasons": [str(reason) for reason in self.verdict.reasons],
            "not_checked": list(self.verdict.not_checked),
        }

    @classmethod
    def without_proof(cls, why: str, code: ReasonCode = ReasonCode.MALFORMED) -> Judged:
        """Of a peer that gives no proof at all, or none that counts."""
        findings = Findings()
        findings.refuse(code, why)
        return cls(findings.verdict("", {}), b"")

    def but(self, code: ReasonCode, why: str) -> Judged:
        """The same refused for one more reason: what was proven is still shown."""
        return replace(
            self, verdict=replace(self.verdict, reasons=(*self.verdict.reasons, Reason(code, why, decisive=True)))
        )


@dataclass(frozen=True, slots=True)
class Judge:
    """``policy`` is this node's own attestation policy file, ``accept`` its settings' word (hardware, insecure-simulated);
    ``endorsed`` gives the codes that enough members voted for, which need no entry in that file."""

    policy: Path
    accept: str
    endorsed: Callable[[], Collection[Code]] = tuple

    @property
    def accepts_any(self) -> bool:
        """Whether there is hardware, real or simulated, that this node would accept."""
        return self.accept == WORD or self.policy.exists()

    def judge(self, proof: Proof, report_data: bytes, codes: Sequence[Code] | None) -> Judged:
        """Judge a proof over the report data that this end of the channel makes; ``codes``: those of a contract, or None where
        none is agreed on yet. What is wrong is in the verdict; ``ConfigError`` only for this node's own policy file.
        """
        try:
            verdict = self._verdict(proof, report_data, codes)
        except (MalformedEvidence, UsageError) as error:
            verdict = _refused(proof, ReasonCode.MALFORMED, error.message)
        except SecurityError as error:
            verdict = _refused(proof, ReasonCode.SIMULATED, error.message)
        if not verdict.accepted:
            return Judged(verdict, b"")
        code = code_of(verdict.platform, verdict.fields)
        if codes is not None and Code(verdict.platform, code) not in codes:
            findings = Findings()
            findings.refuse(
                ReasonCode.MEASUREMENT, f"the contract does not accept the code {Code(verdict.platform, code)}"
            )
            return Judged(findings.verdict(verdict.platform, verdict.fields, verdict.tcb_status), b"")
        return Judged(verdict, code)

    def _verdict(self, proof: Proof, report_data: bytes, codes: Sequence[Code] | None) -> Verdict:
        expected = Expected(nonce=report_data)
        if proof.backend == WORD or proof.evidence.startswith(MARK):
            said = codes is None or any(code.platform == WORD for code in codes)
            return insecure_verify(
                proof.evidence, expected, ours=self.accept, theirs=proof.backend, contract=WORD if said else ""
            )
        from hansa.node.tee.evidence.collateral import collateral_untrusted, missing_library  # noqa: PLC0415  # loads cryptography
        from hansa.node.tee.evidence.policy_file import load_policy  # noqa: PLC0415
        from hansa.protocols.wire.attestation.verify import verify_evidence  # noqa: PLC0415

        if not self.policy.exists():
            return _refused(
                proof, ReasonCode.MEASUREMENT, f"this node accepts no hardware: it has no {self.policy.name}"
            )
        policy = replace(load_policy(str(self.policy)), require_measurement=True, require_nonce=True)
        endorsed = frozenset((code.platform, code.measurement) for code in self.endorsed())
        expected = replace(expected, endorsed=endorsed)
        try:
            collateral = collateral_untrusted(proof.collateral)
            return verify_evidence(proof.evidence, collateral, policy, expected, int(time.time()))
        except ModuleNotFoundError as error:
            raise missing_library() from error


def _refused(proof: Proof, code: ReasonCode, text: str) -> Verdict:
    findings = Findings()
    findings.refuse(code, text)
    return findings.verdict(proof.backend, {})
