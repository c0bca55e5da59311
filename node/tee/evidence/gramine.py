"""Evidence of an SGX enclave under Gramine: pseudo-files in /dev/attestation (Gramine, "Attestation and secret provisioning")."""

from __future__ import annotations

from pathlib import Path

from hansa.node.tee.evidence.evidence import DeviceEvidence, broken, checked, read, wanted, write

FOLDER = Path("/dev/attestation")
_KIND = b"dcap"


class Gramine:
    """The enclave this process runs in; its manifest must say ``sgx.remote_attestation = "dcap"``."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def produce(self, report_data: bytes) -> DeviceEvidence:
        """A quote over the report data."""
        device = str(self._folder)
        kind = read(self._folder / "attestation_type", device).strip()
        if kind != _KIND:
            raise broken(device, f"attests by {kind.decode('ascii', 'replace')[:20]!r}, not by dcap")
        write(self._folder / "user_report_data", wanted(report_data), device)
        return checked(device, DeviceEvidence("SGX", read(self._folder / "quote", device)), report_data)
