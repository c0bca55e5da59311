"""SGX and TDX quotes judged: layout here, signatures, certificates and TCB levels by the ``dcap-qvl`` library, policy here.

The library never fetches anything here: its collateral comes as bytes. What it leaves open is closed around it:
canonical form (it ignores bytes after the quote, and the root certificate inside it), who may sign collateral (it takes any
certificate below Intel's root, a platform's own among them), the age of what is in force, code, nonce.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dcap_qvl

from hansa.protocols.wire.attestation.code_check import check_code
from hansa.protocols.wire.attestation.errors import MalformedEvidence, UnknownVersion
from hansa.protocols.wire.attestation.intel.quote import IntelQuote, parse_untrusted
from hansa.protocols.wire.attestation.intel.signer import CHAINS, canonical_chain, reason_to_refuse
from hansa.protocols.wire.attestation.platforms import SGX
from hansa.protocols.wire.attestation.policy import REVOKED, UP_TO_DATE, EvidencePolicy, Expected, check_nonce
from hansa.protocols.wire.attestation.verdict import Findings, ReasonCode, Verdict
from hansa.protocols.wire.attestation.x509 import moment

INTEL_ROOT = bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3")
"""SHA-256 of the DER certificate of Intel's SGX root CA, the last one in every genuine quote."""

_KINDS = (
    ("failed to decode", ReasonCode.CHAIN),
    ("debug", ReasonCode.DEBUG),
    ("td migration", ReasonCode.GUEST_POLICY),
    ("sept_ve", ReasonCode.GUEST_POLICY),
    ("tcb status", ReasonCode.TCB),
    ("expired", ReasonCode.DATES),
    ("notvalidyet", ReasonCode.DATES),
    ("in the future", ReasonCode.DATES),
    ("revoked", ReasonCode.REVOKED),
    ("fmspc", ReasonCode.PLATFORM),
    ("tcb level", ReasonCode.TCB),
    ("signature is invalid", ReasonCode.SIGNATURE),
)
"""What the library's messages are about, by words in them; the first that occurs counts, and any other is the chain."""


@dataclass(frozen=True, slots=True)
class DcapCollateral:
    """What Intel's provisioning service says of a platform: nine texts of a JSON object, signed by Intel inside.

    ``kind`` ("SGX", "TDX"), ``fmspc`` and ``pce_id`` say which platform; ``issued`` are the Unix times of TCB info and QE
    identity; ``signers`` the chains (DER, leaf first) of those who signed these two.
    """

    text: str
    kind: str
    fmspc: bytes
    pce_id: bytes
    issued: tuple[int, int]
    signers: tuple[tuple[bytes, ...], ...]


def read_collateral_untrusted(data: bytes) -> DcapCollateral:
    """Collateral as JSON; ``MalformedEvidence`` where it is none."""
    try:
        outer = json.loads(data)
        info, identity = json.loads(outer["tcb_info"]), json.loads(outer["qe_identity"])
        issued = tuple(int(datetime.fromisoformat(one["issueDate"]).timestamp()) for one in (info, identity))
        signers = {name: canonical_chain(outer[name]) for name in CHAINS}
        text = json.dumps(outer | {name: text for name, (_, text) in signers.items()})
        dcap_qvl.QuoteCollateralV3.from_json(text)
        return DcapCollateral(
            text,
            str(info["id"]),
            bytes.fromhex(info["fmspc"]),
            bytes.fromhex(info["pceId"]),
            (issued[0], issued[1]),
            tuple(ders for ders, _ in signers.values()),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise MalformedEvidence("collateral", "is not Intel's, as JSON with TCB info, QE identity and lists") from error


def verify_dcap(
    data: bytes,
    collaterals: Sequence[DcapCollateral],
    policy: EvidencePolicy,
    expected: Expected,
    at: int,
    *,
    root: bytes | None = None,
) -> Verdict:
    """Judge a quote as of Unix time ``at``. Anything wrong with the evidence is a reason of the verdict, never raised.

    ``root`` is another root certificate (DER) than Intel's, for tests.
    """
    findings = Findings()
    try:
        quote = parse_untrusted(data)
    except MalformedEvidence as error:
        code = ReasonCode.UNKNOWN_VERSION if isinstance(error, UnknownVersion) else ReasonCode.MALFORMED
        findings.refuse(code, error.message)
        return findings.verdict("SGX or TDX", {})
    if quote.padding:
        findings.note(
            ReasonCode.PADDING, f"{quote.padding} zeros after the quote were cut off, as its device adds them"
        )
    pinned = INTEL_ROOT if root is None else hashlib.sha256(root).digest()
    if hashlib.sha256(quote.chain[-1]).digest() != pinned:
        findings.refuse(ReasonCode.ROOT, "the quote's root certificate is not Intel's, as pinned in hansa")
    fields = quote.as_fields() | _platform(quote)
    status = None
    collateral = _fitting(collaterals, quote, fields)
    if collateral is None:
        findings.refuse(
            ReasonCode.CHAIN, "no collateral of Intel's (its JSON) was given: nothing vouches for the quote"
        )
    elif why := reason_to_refuse(collateral.signers, pinned):
        findings.refuse(ReasonCode.CHAIN, why)
    elif claims := _claims(findings, quote, collateral, at, root):
        status = claims["tcb"]["status"]
        fields |= {"advisories": claims["tcb"]["advisory_ids"], "tcb_evaluation": claims["tcb"]["eval_data_number"]}
        _check_status(findings, policy, claims, at)
        if collateral.pce_id.hex() != fields["pck"]["pce_id"]:
            findings.refuse(
                ReasonCode.PLATFORM, "the collateral is of another provisioning enclave (PCE id) than the quote"
            )
        _check_age(findings, policy, collateral, at)
    _check_guest(findings, quote, policy)
    found = quote.body | ({n: quote.number(n) for n in ("isv_prod_id", "isv_svn")} if quote.platform == SGX else {})
    check_code(findings, policy, expected, quote.platform, found)
    check_nonce(findings, policy, expected, quote.body["report_data"])
    return findings.verdict(quote.platform, fields, status)


def _platform(quote: IntelQuote) -> dict[str, Any]:
    """What the quote's own leaf certificate states; nothing where it cannot be read."""
    try:
        parsed = dcap_qvl.parse_quote(quote.exact)
        pck = parsed.pck_extension()
        fmspc, authority = parsed.fmspc(), parsed.ca()
    except ValueError:
        return {}
    if pck is None:
        return {}
    return {
        "fmspc": fmspc,
        "pck_ca": authority,
        "pck": {
            "ppid": pck.ppid.hex(),
            "cpu_svn": pck.cpu_svn.hex(),
            "pce_svn": pck.pce_svn,
            "pce_id": pck.pce_id.hex(),
            "fmspc": pck.fmspc.hex(),
        },
    }


def _fitting(given: Sequence[DcapCollateral], quote: IntelQuote, fields: dict[str, Any]) -> DcapCollateral | None:
    """The collateral of this platform, else any: the library says what is wrong with it."""
    fitting = (one for one in given if one.kind == quote.platform and one.fmspc.hex().upper() == fields.get("fmspc"))
    return next(fitting, given[0] if given else None)


def _claims(
    findings: Findings, quote: IntelQuote, collateral: DcapCollateral, at: int, root: bytes | None
) -> dict[str, Any] | None:
    """What the library verified; ``None``, and why, where it did not."""
    given = dcap_qvl.QuoteCollateralV3.from_json(collateral.text)
    try:
        claims = dcap_qvl.QuoteVerifier(root).verify_with_policy(
            quote.exact, given, at, dcap_qvl.QuotePolicy.claims_only(at)
        )
    except ValueError as error:
        said = _cause(quote, given, at, root) or str(error)
        said = _in_words(said.removeprefix("Verification failed: "))
        code = next((code for words, code in _KINDS if words in said.lower()), ReasonCode.CHAIN)
        if code is ReasonCode.DATES:
            said = (
                f"a certificate, a revocation list or the collateral is not in force on {moment(at):%Y-%m-%d}: {said}"
            )
        if code is not ReasonCode.DEBUG or not quote.debug:  # else it is said below
            findings.refuse(code, said)
        findings.not_checked("TCB status and advisories: not reached, for what is refused above")
        return None
    found: dict[str, Any] = json.loads(claims.to_json())
    return found


def _in_words(said: str) -> str:
    """A message of the library in one line, its times as dates."""
    dated = re.sub(r"UnixTime\((\d{1,10})\)", lambda found: f"{moment(int(found[1])):%Y-%m-%d}", said)
    return " ".join(dated.split())[:300]


def _cause(quote: IntelQuote, given: dcap_qvl.QuoteCollateralV3, at: int, root: bytes | None) -> str:
    """Why a quote does not verify: of the library's two doors only the older one says what is wrong with a chain."""
    try:
        if root is None:
            dcap_qvl.verify(quote.exact, given, at)
        else:
            dcap_qvl.verify_with_root_ca(quote.exact, given, root, at)
    except ValueError as error:
        return str(error)
    return ""


def _check_status(findings: Findings, policy: EvidencePolicy, claims: dict[str, Any], at: int) -> None:
    """The platform's patch level, in Intel's words, and how old it is."""
    tcb, level = claims["tcb"], claims["platform"]["tcb_level"]
    status = tcb["status"]
    advisories = f" (advisories {', '.join(tcb['advisory_ids'])})" if tcb["advisory_ids"] else ""
    accepted = status != REVOKED if policy.statuses is None else status in policy.statuses
    if not accepted:
        findings.refuse(ReasonCode.TCB, f"the platform's TCB status is {status}{advisories}")
    elif status != UP_TO_DATE or advisories:
        findings.note(ReasonCode.TCB, f"the platform's TCB status is {status}{advisories}")
    refused = sorted(policy.refused_advisories & set(tcb["advisory_ids"]))
    if refused:
        findings.refuse(ReasonCode.ADVISORY, f"the policy refuses platforms open to {', '.join(refused)}")
    for what, one in (("platform", level), ("quoting enclave", claims["qe"]["tcb_level"])):
        born = datetime.fromisoformat(one["tcbDate"]).timestamp()
        if policy.max_tcb_age_s is not None and at - born > policy.max_tcb_age_s:
            findings.refuse(
                ReasonCode.TCB,
                f"the {what}'s TCB level is of {one['tcbDate'][:10]}, which is {_days(at - born)} days ago: "
                f"the policy allows {_days(policy.max_tcb_age_s)} (max_tcb_age_days)",
            )
    if tcb["eval_data_number"] < policy.least_tcb_evaluation:
        findings.refuse(
            ReasonCode.TCB,
            f"the collateral's TCB evaluation is number {tcb['eval_data_number']}, "
            f"the policy's least is {policy.least_tcb_evaluation}",
        )


def _check_age(findings: Findings, policy: EvidencePolicy, collateral: DcapCollateral, at: int) -> None:
    """That the collateral is in force at ``at`` the library has seen to; the policy may want it younger."""
    oldest = min(collateral.issued)
    if policy.max_collateral_age_s is not None and at - oldest > policy.max_collateral_age_s:
        findings.refuse(
            ReasonCode.DATES,
            f"the collateral is of {moment(oldest):%Y-%m-%d}, which is {_days(at - oldest)} days ago: "
            f"the policy allows {_days(policy.max_collateral_age_s)} (max_collateral_age_days)",
        )


def _days(seconds: float) -> int:
    return round(seconds / 86_400)


def _check_guest(findings: Findings, quote: IntelQuote, policy: EvidencePolicy) -> None:
    if quote.debug:
        findings.refuse(ReasonCode.DEBUG, "the host may debug it: read and write its memory")
    if quote.migratable and not policy.allow_migration:
        findings.refuse(ReasonCode.GUEST_POLICY, "the trust domain may be moved to another machine")
