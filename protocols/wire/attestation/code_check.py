"""Whether the code that evidence is about is code that somebody asked for: by a policy's entries, by the caller, by votes."""

from __future__ import annotations

from typing import Any

from hansa.protocols.wire.attestation.measurements import Measurement, fits
from hansa.protocols.wire.attestation.platforms import NAMED_BY, TDX, code_of
from hansa.protocols.wire.attestation.policy import EvidencePolicy, Expected
from hansa.protocols.wire.attestation.verdict import Findings, ReasonCode


def check_code(
    findings: Findings, policy: EvidencePolicy, expected: Expected, platform: str, found: dict[str, Any]
) -> None:
    """Record what speaks against the code that the evidence names, and what the policy leaves unchecked.

    ``found`` has the evidence's values by the names that a policy's entries use; what an entry bounds by ``least_x`` stands
    under ``x``. A policy that lists any code accepts only listed code, of whatever platform. Code endorsed by votes needs no
    entry. Where an entry names endorsed code, the entry's other conditions hold.
    """
    names = NAMED_BY[platform]
    main = found[names[0]]
    code = code_of(platform, {name: found[name].hex() for name in names})
    entries = policy.entries(platform)
    fitting = [entry for entry in entries if fits(entry, found)]
    if expected.measurements and not {main, code} & set(expected.measurements):
        findings.refuse(ReasonCode.MEASUREMENT, f"{main.hex()} is not the measurement asked for")
    voted = (platform, code) in expected.endorsed and not any(_names(entry, found, names) for entry in entries)
    if voted and not fitting:
        findings.not_checked("policy file: the members' votes accept this code")
    elif policy.lists_code and not fitting:
        what = f"what is measured ({main.hex()}) is not on the policy's list"
        findings.refuse(ReasonCode.MEASUREMENT, what if entries else f"the policy lists no code of {platform}")
    elif not policy.lists_code:
        _check_unlisted(findings, policy, expected, platform, code)
    for name in names[1:]:
        if fitting and code not in expected.measurements and all(getattr(entry, name) is None for entry in fitting):
            findings.not_checked(f"{name}: the policy lets it be anything")


def _check_unlisted(findings: Findings, policy: EvidencePolicy, expected: Expected, platform: str, code: bytes) -> None:
    """By the caller's word alone, if there is one."""
    if platform == TDX and expected.measurements and code not in expected.measurements:
        text = "rtmr0 to rtmr3: MRTD measures the firmware alone, so any kernel and program may run there"
        if policy.require_measurement:
            findings.refuse(ReasonCode.MEASUREMENT, f"the policy requires a measurement of all code; {text}")
        else:
            findings.not_checked(text)
    elif not expected.measurements and policy.require_measurement:
        findings.refuse(ReasonCode.MEASUREMENT, "the policy requires a measurement, and lists none")
    elif not expected.measurements:
        findings.not_checked("measurement: none was given, so any code may run there")


def _names(entry: Measurement, found: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether the entry is about this very code, whatever else it wants."""
    if getattr(entry, names[0]) is None:
        return False
    return all(getattr(entry, name) in (None, found[name]) for name in names)
