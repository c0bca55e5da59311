"""Evidence of a TDX or SEV-SNP machine through configfs-tsm (Linux 6.7 on; Documentation/ABI/testing/configfs-tsm)."""

from __future__ import annotations

import secrets
from pathlib import Path

from hansa.node.tee.evidence.evidence import DeviceEvidence, broken, checked, read, wanted, write

FOLDER = Path("/sys/kernel/config/tsm/report")
_PLATFORMS = {b"tdx_guest": "TDX", b"sev_guest": "SEV-SNP"}


class Tsm:
    """The kernel's one interface to whatever protects this machine."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder

    def produce(self, report_data: bytes) -> DeviceEvidence:
        """A quote or report over the report data, with the host's certificates.

        The kernel makes an entry's files with its folder, and counts its writes in ``generation``: a count that is not 1
        tells that somebody else wrote to our entry in between.
        """
        device = str(self._folder)
        entry = self._folder / f"hansa-{secrets.token_hex(8)}"
        try:
            entry.mkdir()
        except OSError as error:
            raise broken(device, f"takes no request ({error.strerror})") from error
        try:
            provider = read(entry / "provider", device).strip()
            platform = _PLATFORMS.get(provider)
            if platform is None:
                raise broken(device, f"has an unknown provider, {provider.decode('ascii', 'replace')[:40]!r}")
            write(entry / "inblob", wanted(report_data), device)
            data = read(entry / "outblob", device)
            certificates = read(entry / "auxblob", device) if platform == "SEV-SNP" else b""
            if read(entry / "generation", device).strip() != b"1":
                raise broken(device, "was written to by somebody else at the same time")
        finally:
            entry.rmdir()
        return checked(device, DeviceEvidence(platform, data, certificates), report_data)
