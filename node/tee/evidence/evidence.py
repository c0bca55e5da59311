"""Producing evidence: one interface over the devices that trusted hardware shows itself by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hansa.node.errors import EvidenceError
from hansa.protocols.wire.attestation.errors import MalformedEvidence
from hansa.protocols.wire.attestation.intel import quote
from hansa.protocols.wire.attestation.policy import REPORT_DATA_BYTES
from hansa.protocols.wire.attestation.snp import report as snp_report

MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class DeviceEvidence:
    """Evidence as its device gave it, and the certificates the host gave with it (AMD's table; empty where none)."""

    platform: str
    data: bytes
    certificates: bytes = b""


class Device(Protocol):
    """A device that produces evidence. ``produce`` blocks for milliseconds to seconds: call it in a thread."""

    def produce(self, report_data: bytes) -> DeviceEvidence:
        """Evidence over these 64 bytes; ``EvidenceError`` naming the device."""
        ...


def checked(device: str, evidence: DeviceEvidence, report_data: bytes) -> DeviceEvidence:
    """The evidence, which must be in form and over the report data asked for: a device shared by others may mix them up."""
    try:
        if evidence.platform == "SEV-SNP":
            found = snp_report.parse_untrusted(evidence.data).report_data
        else:
            parsed = quote.parse_untrusted(evidence.data)
            found = parsed.body["report_data"]
            if parsed.platform != evidence.platform:
                raise broken(device, f"gave a quote of {parsed.platform} instead of {evidence.platform}")
    except MalformedEvidence as error:
        raise broken(device, f"gave evidence out of form: {error.message}") from error
    if found != report_data:
        raise broken(device, "gave evidence over other report data than was asked for")
    return evidence


def wanted(report_data: bytes) -> bytes:
    """The report data, of the one length every device takes."""
    if len(report_data) != REPORT_DATA_BYTES:
        raise ValueError(f"report data has {len(report_data)} bytes instead of {REPORT_DATA_BYTES}")
    return report_data


def read(path: Path, device: str) -> bytes:
    """A device's file, whole; ``EvidenceError`` where it cannot be read, or has no end."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise broken(device, f"cannot be read ({path.name}: {error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise broken(device, f"gave more than {MOST_BYTES} bytes ({path.name})")
    return data


def write(path: Path, data: bytes, device: str) -> None:
    """Write to a device's file, in one call as they want it."""
    try:
        with open(path, "r+b", buffering=0) as file:
            file.write(data)
    except OSError as error:
        raise broken(device, f"cannot be written to ({path.name}: {error.strerror})") from error


def broken(device: str, why: str) -> EvidenceError:
    """The error for a device."""
    return EvidenceError(
        f"{device} {why}",
        remedy="check that the node runs in the enclave or confidential machine it was meant for, and may use the device",
        device=device,
    )
