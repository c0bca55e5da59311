"""The kinds of trusted hardware, and what names the code that runs in each."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha384
from typing import Any

from hansa.protocols.wire.fields import Fields

SGX, TDX, SNP = "SGX", "TDX", "SEV-SNP"
INSECURE_SIMULATED = "insecure-simulated"
MEASUREMENT_BYTES = {SGX: 32, TDX: 48, SNP: 48, INSECURE_SIMULATED: 48}
"""Bytes of a measurement, by platform."""
NAMED_BY = {
    SGX: ("mrenclave",),
    TDX: ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"),
    SNP: ("measurement",),
    INSECURE_SIMULATED: ("measurement",),
}
"""What in evidence names the code, its main measurement first."""


def code_of(platform: str, fields: dict[str, Any]) -> bytes:
    """The one measurement that stands for all code, out of a verdict's fields: what contracts and votes name.

    SGX: MRENCLAVE. SEV-SNP: the launch measurement. TDX: SHA-384 over MRTD and RTMR0 to RTMR3, as MRTD alone is the
    firmware's. ``KeyError`` where the fields are not those of an accepted verdict.
    """
    measured = [bytes.fromhex(fields[name]) for name in NAMED_BY[platform]]
    return measured[0] if len(measured) == 1 else sha384(b"".join(measured)).digest()


@dataclass(frozen=True, slots=True)
class Code:
    """Code that may run: the platform that proves it, and the measurement that stands for it (``code_of``)."""

    platform: str
    measurement: bytes

    def __str__(self) -> str:
        """As people type it: PLATFORM:HEX."""
        return f"{self.platform}:{self.measurement.hex()}"


def code_untrusted(value: Any) -> Code:
    """Read a code; ``PeerMisbehaved`` where the map is none."""
    fields = Fields(value, "an accepted code")
    platform = fields.choice("platform", *MEASUREMENT_BYTES)
    code = Code(platform, fields.octets("measurement", MEASUREMENT_BYTES[platform]))
    fields.end()
    return code
