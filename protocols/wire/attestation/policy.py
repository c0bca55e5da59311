"""What we ask of evidence beyond its being genuine: status, dates, nonce. What of its code: ``measurements``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hmac import compare_digest

from hansa.protocols.wire.attestation.measurements import Measurement, SgxMeasurement, SnpMeasurement, TdxMeasurement
from hansa.protocols.wire.attestation.platforms import SGX, SNP, TDX
from hansa.protocols.wire.attestation.verdict import Findings, ReasonCode

UP_TO_DATE = "UpToDate"
REVOKED = "Revoked"
REPORT_DATA_BYTES = 64
LEAST_NONCE_BYTES = 8


@dataclass(frozen=True, slots=True)
class EvidencePolicy:
    """``statuses`` is ``None`` for any TCB status but Revoked. Ages are seconds; ``None`` bounds nothing."""

    name: str = "strict"
    statuses: frozenset[str] | None = frozenset({UP_TO_DATE})
    max_collateral_age_s: int | None = None
    max_tcb_age_s: int | None = None
    least_tcb_evaluation: int = 0
    refused_advisories: frozenset[str] = frozenset()
    allow_migration: bool = False
    allow_smt: bool = True
    vmpls: frozenset[int] = frozenset({0})
    least_snp_tcb: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    require_measurement: bool = False
    require_nonce: bool = False
    require_crl: bool = False
    sgx: tuple[SgxMeasurement, ...] = ()
    tdx: tuple[TdxMeasurement, ...] = ()
    snp: tuple[SnpMeasurement, ...] = ()

    def entries(self, platform: str) -> tuple[Measurement, ...]:
        """The code it lists for a platform."""
        listed: dict[str, tuple[Measurement, ...]] = {SGX: self.sgx, TDX: self.tdx, SNP: self.snp}
        return listed.get(platform, ())

    @property
    def lists_code(self) -> bool:
        """Whether it lists code of any platform: then it accepts none that it does not list."""
        return bool(self.sgx or self.tdx or self.snp)

    def least_tcb(self, product: str) -> dict[str, int]:
        """The least component versions asked of an AMD product; empty where none are."""
        return dict(dict(self.least_snp_tcb).get(product, ()))


STRICT = EvidencePolicy()
REPORT = replace(STRICT, name="report", statuses=None)
NAMED = {policy.name: policy for policy in (STRICT, REPORT)}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the caller wants this very evidence to say: one of these measurements; this nonce in its report data.

    A nonce shorter than the 64 bytes of report data is followed there by zeros. ``endorsed``: codes by platform that count
    without an entry in the policy.
    """

    measurements: tuple[bytes, ...] = ()
    nonce: bytes | None = None
    endorsed: frozenset[tuple[str, bytes]] = frozenset()


def check_nonce(findings: Findings, policy: EvidencePolicy, expected: Expected, report_data: bytes) -> None:
    """The report data is the nonce: evidence older than the question does not answer it."""
    if expected.nonce is None:
        if policy.require_nonce:
            findings.refuse(ReasonCode.NONCE, "the policy requires a nonce, and none was given")
        else:
            findings.not_checked("nonce: none was given, so this evidence may be an old one")
    elif not compare_digest(expected.nonce.ljust(REPORT_DATA_BYTES, b"\0"), report_data):
        findings.refuse(ReasonCode.NONCE, "the report data is not the nonce: the evidence answers another question")
