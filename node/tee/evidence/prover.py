"""This node's own proof: evidence from its device, with the collateral that its settings name.

Blocking (a device takes milliseconds to seconds): call it in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hansa.config.settings import TeeSettings
from hansa.node.errors import EvidenceError
from hansa.node.tee.evidence.devices import device_of
from hansa.node.tee.evidence.evidence import DeviceEvidence
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.intel import quote
from hansa.protocols.wire.attestation.platforms import INSECURE_SIMULATED, SNP, code_of
from hansa.protocols.wire.attestation.policy import REPORT_DATA_BYTES
from hansa.protocols.wire.attestation.simulated import insecure_measured
from hansa.protocols.wire.attestation.snp import report as snp_report
from hansa.protocols.wire.attestation.statements.proof import Proof


@dataclass
class Prover:
    """``backend`` and ``collateral`` are the settings' [tee]; ``code`` is what simulated hardware pretends."""

    backend: str
    collateral: Sequence[Path]
    code: str
    _one_by_one: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def prove(self, report_data: bytes) -> Proof:
        """Evidence over 64 bytes. Raises ``EvidenceError`` naming the device or the file."""
        evidence = self._produced(report_data)
        files = [file for path in self.collateral for file in _files(path)]
        pieces = (*((evidence.certificates,) if evidence.certificates else ()), *map(_read, files))
        proof = Proof(self.backend, evidence.data, pieces)
        if len(pieces) > limits.ATTESTATION_MAX_PIECES or len(proof.encode()) > limits.ATTESTATION_MAX_SENT:
            raise EvidenceError(
                f"evidence and collateral are {len(pieces)} pieces of {len(proof.encode())} bytes, and peers read "
                f"{limits.ATTESTATION_MAX_PIECES} of {limits.ATTESTATION_MAX_SENT}",
                remedy="name only this platform's files in tee.collateral of hansa.toml",
                device=self.backend,
            )
        return proof

    def own_code(self) -> tuple[str, bytes]:
        """Platform and measurement of the code this node runs, by its own unverified evidence."""
        evidence = self._produced(bytes(REPORT_DATA_BYTES))
        if evidence.platform == SNP:
            return SNP, code_of(SNP, snp_report.parse_untrusted(evidence.data).as_fields(None))
        if evidence.platform == INSECURE_SIMULATED:
            return INSECURE_SIMULATED, insecure_measured(evidence.data)[0]
        return evidence.platform, code_of(evidence.platform, quote.parse_untrusted(evidence.data).as_fields())

    def _produced(self, report_data: bytes) -> DeviceEvidence:
        """One by one: a device that is written to and then read would give one caller what another asked for."""
        with self._one_by_one:
            return device_of(self.backend, self.code).produce(report_data)


def _files(path: Path) -> list[Path]:
    with _readable(path):
        return sorted(inside for inside in path.iterdir() if inside.is_file()) if path.is_dir() else [path]


def _read(path: Path) -> bytes:
    with _readable(path):
        return path.read_bytes()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EvidenceError(
            f"the collateral {path} cannot be read: {error.strerror}",
            remedy="correct tee.collateral in hansa.toml",
            file=str(path),
        ) from error


def prover_from(settings: Mapping[str, Any]) -> Prover | None:
    """Of ``worker_settings``; None without hardware."""
    if not settings["backend"]:
        return None
    return Prover(settings["backend"], [Path(path) for path in settings["collateral"]], settings["code"])


def worker_settings(home: Path, tee: TeeSettings, version: str) -> dict[str, Any]:
    """What [tee] says to ``prover_from`` and a ``Judge``, as plain data: a worker reads no settings."""
    return {
        "backend": tee.backend,
        "collateral": [str(home / path) for path in tee.collateral],
        "code": tee.simulated_code or f"hansa {version}",
        "policy": str(home / tee.policy),
        "accept": tee.accept,
    }
