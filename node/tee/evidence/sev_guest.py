"""Evidence of a SEV-SNP machine through /dev/sev-guest (Linux 5.19 on; include/uapi/linux/sev-guest.h)."""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from hansa.node.tee.evidence.evidence import DeviceEvidence, broken, checked, wanted
from hansa.protocols.wire.attestation.reader import Reader
from hansa.protocols.wire.attestation.snp.report import REPORT_BYTES

DEVICE = Path("/dev/sev-guest")
_CERTIFICATES_BYTES = 16 * 1024  # the most the kernel takes
Ioctl = Callable[[int, int, ctypes.Structure], int]


class ReportRequest(ctypes.Structure):
    """struct snp_report_req."""

    _fields_ = (("user_data", ctypes.c_uint8 * 64), ("vmpl", ctypes.c_uint32), ("reserved", ctypes.c_uint8 * 28))


class ExtendedRequest(ctypes.Structure):
    """struct snp_ext_report_req."""

    _fields_ = (("data", ReportRequest), ("certs_address", ctypes.c_uint64), ("certs_len", ctypes.c_uint32))


class Response(ctypes.Structure):
    """struct snp_report_resp: a status, the report's size, 24 reserved bytes, the report."""

    _fields_ = (("data", ctypes.c_uint8 * 4000),)


class GuestRequest(ctypes.Structure):
    """struct snp_guest_request_ioctl; the last field has the firmware's error below and the hypervisor's above."""

    _fields_ = (
        ("msg_version", ctypes.c_uint8),
        ("req_data", ctypes.c_uint64),
        ("resp_data", ctypes.c_uint64),
        ("exitinfo2", ctypes.c_uint64),
    )


GET_EXTENDED_REPORT = 3 << 30 | ctypes.sizeof(GuestRequest) << 16 | ord("S") << 8 | 2
"""_IOWR('S', 2, struct snp_guest_request_ioctl)."""


def _ioctl(descriptor: int, request: int, argument: ctypes.Structure) -> int:
    done: int = fcntl.ioctl(descriptor, request, argument, True)
    return done


class SevGuest:
    """The AMD secure processor, asked from VMPL 0."""

    def __init__(self, device: Path = DEVICE, ioctl: Ioctl = _ioctl) -> None:
        self._device, self._ioctl = device, ioctl

    def produce(self, report_data: bytes) -> DeviceEvidence:
        """A report over the report data, with the certificate table if the host has put one there."""
        device = str(self._device)
        certificates = (ctypes.c_uint8 * _CERTIFICATES_BYTES)()
        response = Response()
        request = ExtendedRequest(certs_address=ctypes.addressof(certificates), certs_len=_CERTIFICATES_BYTES)
        request.data.user_data[:] = wanted(report_data)
        call = GuestRequest(1, ctypes.addressof(request), ctypes.addressof(response), 0)
        try:
            descriptor = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise broken(device, f"cannot be opened ({error.strerror})") from error
        try:
            self._ioctl(descriptor, GET_EXTENDED_REPORT, call)
        except OSError as error:
            firmware, hypervisor = call.exitinfo2 & 0xFFFFFFFF, call.exitinfo2 >> 32
            why = f"({error.strerror}; firmware {firmware:#x}, hypervisor {hypervisor:#x})"
            raise broken(device, f"gives no report {why}") from error
        finally:
            os.close(descriptor)
        reader = Reader(bytes(response.data), "response")
        status, size = reader.number(4, "status"), reader.number(4, "size")
        if status or size != REPORT_BYTES:
            raise broken(device, f"gives no report (status {status:#x}, {size} bytes)")
        reader.take(24, "reserved bytes")
        table = bytes(certificates) if any(certificates[:16]) else b""
        return checked(device, DeviceEvidence("SEV-SNP", reader.take(size, "report"), table), report_data)
