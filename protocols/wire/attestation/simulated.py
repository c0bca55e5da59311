"""Simulated evidence, for trying things out: it proves nothing, says so in every place, and needs three consents.

Format: the word, a zero byte, 48 bytes of pretended measurement, 64 bytes of report data. Nothing is signed.
"""

from __future__ import annotations

from typing import Any

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.code_check import check_code
from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.platforms import INSECURE_SIMULATED, MEASUREMENT_BYTES
from hansa.protocols.wire.attestation.policy import STRICT, Expected, check_nonce
from hansa.protocols.wire.attestation.reader import Reader
from hansa.protocols.wire.attestation.verdict import Findings, ReasonCode, Verdict

WORD = INSECURE_SIMULATED
MARK = WORD.encode("ascii") + b"\0"


def require_insecure_simulated(*, ours: str, theirs: str, contract: str) -> None:
    """Raise ``SecurityError`` unless our settings, the peer's and the contract all say the word.

    ``theirs`` is what the peer states of its settings on the channel; a job's every member signs the contract.
    """
    for said, who in (
        (ours, "this node's settings do"),
        (theirs, "the peer's settings do"),
        (contract, "the contract does"),
    ):
        if said != WORD:
            raise SecurityError(
                f"simulated evidence is refused: {who} not say {WORD!r}",
                remedy="use trusted hardware; for a trial on worthless data, say the word in all three places",
                where=who.rpartition(" ")[0],
            )


def insecure_make(measurement: bytes, data: bytes) -> bytes:
    """Simulated evidence over 64 bytes of report data."""
    return MARK + measurement + data


def insecure_measured(data: bytes) -> tuple[bytes, bytes]:
    """The pretended measurement and the report data; ``MalformedEvidence`` where this is no simulated evidence."""
    reader = Reader(data, "simulated evidence")
    if reader.take(len(MARK), "mark") != MARK:
        raise MalformedEvidence("simulated evidence", "does not begin with its mark")
    parts = reader.take(MEASUREMENT_BYTES[WORD], "measurement"), reader.take(64, "report data")
    reader.end()
    return parts


def insecure_verify(data: bytes, expected: Expected, *, ours: str, theirs: str, contract: str) -> Verdict:
    """Judge simulated evidence; ``SecurityError`` where the word was not said everywhere."""
    require_insecure_simulated(ours=ours, theirs=theirs, contract=contract)
    findings = Findings()
    fields: dict[str, Any] = {}
    try:
        measurement, report_data = insecure_measured(data)
    except MalformedEvidence as error:
        findings.refuse(ReasonCode.MALFORMED, error.message)
        return findings.verdict(WORD, fields)
    findings.note(ReasonCode.SIMULATED, "this is no evidence: whoever sent it may run any code on any machine")
    check_code(findings, STRICT, expected, WORD, {"measurement": measurement})
    check_nonce(findings, STRICT, expected, report_data)
    fields = {"measurement": measurement.hex(), "report_data": report_data.hex()}
    return findings.verdict(WORD, fields)
