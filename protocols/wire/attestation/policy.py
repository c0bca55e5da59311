"""What we ask of evidence beyond its being genuine: status, dates, measurements, nonce.

A measurement's entry names what it wants and leaves the rest ``None``; evidence must equal one entry in all it names.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from hmac import compare_digest
from typing import Any

from hansa.protocols.wire.attestation.verdict import Code, Findings

UP_TO_DATE = "UpToDate"
REVOKED = "Revoked"
REPORT_DATA_BYTES = 64
LEAST_NONCE_BYTES = 8


@dataclass(frozen=True, slots=True)
class SgxMeasurement:
    """An enclave: by its own hash, or by its signer with product id and least version."""

    mrenclave: bytes | None = None
    mrsigner: bytes | None = None
    isv_prod_id: int | None = None
    least_isv_svn: int | None = None


@dataclass(frozen=True, slots=True)
class TdxMeasurement:
    """A trust domain: its image and the run-time registers its boot extended."""

    mrtd: bytes | None = None
    rtmr0: bytes | None = None
    rtmr1: bytes | None = None
    rtmr2: bytes | None = None
    rtmr3: bytes | None = None
    mr_config_id: bytes | None = None
    mr_owner: bytes | None = None


@dataclass(frozen=True, slots=True)
class SnpMeasurement:
    """An SNP guest: its launch measurement, what its host wrote beside it, and least version."""

    measurement: bytes | None = None
    host_data: bytes | None = None
    id_key_digest: bytes | None = None
    least_guest_svn: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
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

    def least_tcb(self, product: str) -> dict[str, int]:
        """The least component versions asked of an AMD product; empty where none are."""
        return dict(dict(self.least_snp_tcb).get(product, ()))


STRICT = Policy()
REPORT = replace(STRICT, name="report", statuses=None)
NAMED = {policy.name: policy for policy in (STRICT, REPORT)}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the caller wants this very evidence to say: one of these measurements; this nonce in its report data.

    A nonce shorter than the 64 bytes of report data is followed there by zeros.
    """

    measurements: tuple[bytes, ...] = ()
    nonce: bytes | None = None


def check_nonce(findings: Findings, policy: Policy, expected: Expected, report_data: bytes) -> None:
    """The report data is the nonce: evidence older than the question does not answer it."""
    if expected.nonce is None:
        if policy.require_nonce:
            findings.refuse(Code.NONCE, "the policy requires a nonce, and none was given")
        else:
            findings.not_checked("nonce: none was given, so this evidence may be an old one")
    elif not compare_digest(expected.nonce.ljust(REPORT_DATA_BYTES, b"\0"), report_data):
        findings.refuse(Code.NONCE, "the report data is not the nonce: the evidence answers another question")


def check_measurement(
    findings: Findings,
    policy: Policy,
    expected: Expected,
    main: bytes,
    entries: tuple[SgxMeasurement, ...] | tuple[TdxMeasurement, ...] | tuple[SnpMeasurement, ...],
    found: dict[str, Any],
) -> None:
    """``main`` (MRENCLAVE, MRTD or launch measurement) is an expected one, and ``found`` matches an entry of the policy.

    ``found`` holds the evidence's values by the entries' field names, those of ``least_x`` under ``x``.
    """
    if expected.measurements and main not in expected.measurements:
        findings.refuse(Code.MEASUREMENT, f"{main.hex()} is not the measurement asked for")
    if entries and not any(_matches(entry, found) for entry in entries):
        findings.refuse(Code.MEASUREMENT, f"what is measured ({main.hex()}) is not on the policy's list")
    if not expected.measurements and not entries:
        if policy.require_measurement:
            findings.refuse(Code.MEASUREMENT, "the policy requires a measurement, and lists none for this platform")
        else:
            findings.not_checked("measurement: none was given, so any code may run there")


def _matches(entry: SgxMeasurement | TdxMeasurement | SnpMeasurement, found: dict[str, Any]) -> bool:
    for item in fields(entry):
        wanted = getattr(entry, item.name)
        if wanted is None:
            continue
        least = item.name.startswith("least_")
        value = found[item.name.removeprefix("least_")]
        if value < wanted if least else value != wanted:
            return False
    return True
