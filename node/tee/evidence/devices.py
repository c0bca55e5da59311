"""Which device of trusted hardware this node uses: the one that its settings name."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha384

from hansa.config.errors import ConfigError
from hansa.node.tee.evidence import gramine, sev_guest, tsm
from hansa.node.tee.evidence.evidence import Device, DeviceEvidence, wanted
from hansa.protocols.wire.attestation.platforms import MEASUREMENT_BYTES
from hansa.protocols.wire.attestation.simulated import WORD, insecure_make


class InsecureSimulated:
    """No hardware at all. Its evidence says so, and verifies nowhere but where everybody agreed to that (simulated.py)."""

    def __init__(self, setting: str, measurement: bytes = bytes(MEASUREMENT_BYTES[WORD])) -> None:
        """``setting`` is what the node's settings say; ``ConfigError`` unless it is the very word."""
        if setting != WORD:
            raise ConfigError(
                f"evidence is simulated only where the settings say {WORD!r}, not {setting!r}",
                remedy=f"use trusted hardware, or write {WORD} to try things out on worthless data",
            )
        self._measurement = measurement

    def produce(self, report_data: bytes) -> DeviceEvidence:
        """Simulated evidence over the report data."""
        return DeviceEvidence(WORD, insecure_make(self._measurement, wanted(report_data)))


def device_of(backend: str, code: str) -> Device:
    """The device that the settings name; ``code`` is what a simulated one pretends."""
    if backend == WORD:
        return InsecureSimulated(backend, insecure_measurement(code))
    devices: dict[str, Callable[[], Device]] = {
        "gramine": gramine.Gramine,
        "tsm": tsm.Tsm,
        "sev-guest": sev_guest.SevGuest,
    }
    return devices[backend]()


def insecure_measurement(code: str) -> bytes:
    """What simulated hardware says of code by this name."""
    return sha384(f"{WORD} {code}".encode()).digest()
