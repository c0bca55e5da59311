"""The key under which an enclave seals its state: the same code on the same machine has it again, and nobody else.

It comes from the processor. SGX under Gramine: the sealing key of MRENCLAVE. SEV-SNP: a key derived from the chip's VCEK with the
measurement and the guest policy mixed in (SEV-SNP firmware ABI, MSG_KEY_REQ). TDX has none. Neither is bound to a user of the
machine: the kernel or manifest that is measured decides who may ask. A change of microcode or firmware may change the key:
what was sealed is then lost, and comes again from another enclave of the cluster.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from hashlib import blake2b
from pathlib import Path

from hansa.config.errors import ConfigError
from hansa.node.errors import EvidenceError
from hansa.node.sealing import write_whole
from hansa.node.tee.evidence import gramine, sev_guest
from hansa.node.tee.evidence.evidence import broken, read
from hansa.node.tee.evidence.sev_guest import GuestRequest, Ioctl
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.platforms import INSECURE_SIMULATED, SGX, SNP, Code

KEY_BYTES = 32
INSECURE_FILE = "insecure-sealing.secret"
GET_DERIVED_KEY = 3 << 30 | ctypes.sizeof(GuestRequest) << 16 | ord("S") << 8 | 1
"""_IOWR('S', 1, struct snp_guest_request_ioctl)."""
VCEK_ONLY = 1 << 1
"""ROOT_KEY_SELECT 0 and KEY_SEL 1. KEY_SEL 0 would take a cloud's VLEK where there is one, which many machines share."""
GUEST_POLICY, MEASUREMENT = 1 << 0, 1 << 3
"""Bits of GUEST_FIELD_SELECT. The policy is in so that a guest that may be debugged has another key."""
_UNANSWERED = b"\xff" * 4


class DerivedKeyRequest(ctypes.Structure):
    """struct snp_derived_key_req."""

    _fields_ = (
        ("root_key_select", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("guest_field_select", ctypes.c_uint64),
        ("vmpl", ctypes.c_uint32),
        ("guest_svn", ctypes.c_uint32),
        ("tcb_version", ctypes.c_uint64),
    )


class DerivedKeyResponse(ctypes.Structure):
    """struct snp_derived_key_resp: a status, 28 reserved bytes, the key."""

    _fields_ = (("data", ctypes.c_uint8 * 64),)


def sealing_key(backend: str, code: Code, home: Path, *, root: Path = Path("/"), ioctl: Ioctl = fcntl.ioctl) -> bytes:
    """The 32-byte key of ``code`` (``Prover.own_code``) on this machine; ``backend`` is the settings'. Blocks for milliseconds.

    Raises ``EvidenceError`` where the hardware has no such key or does not give it, ``ConfigError`` where the hardware is
    simulated and the settings do not say so.
    """
    if code.platform == SGX:
        secret = _gramine_key(root / gramine.FOLDER.relative_to("/"))
    elif code.platform == SNP:
        secret = _derived_key(root / sev_guest.DEVICE.relative_to("/"), ioctl)
    elif code.platform == INSECURE_SIMULATED:
        secret = insecure_secret(backend, home)
    else:
        raise EvidenceError(
            f"{code.platform} has no key that belongs to a measurement: nothing can be sealed to this enclave",
            remedy="run the enclave's node on SGX or SEV-SNP, or use it as a dealer, which keeps nothing",
            device=backend,
        )
    platform = code.platform.encode("ascii")
    context = len(platform).to_bytes(8, "big") + platform + code.measurement
    return blake2b(context, key=secret, digest_size=KEY_BYTES, person=b"hansa-tee-seal").digest()


def insecure_secret(backend: str, home: Path) -> bytes:
    """What stands for the processor's secret where hardware is simulated: a file in the home, read by whoever reads the home."""
    if backend != INSECURE_SIMULATED:
        raise ConfigError(
            f"a sealing key is simulated only where the settings say {INSECURE_SIMULATED!r}, not {backend!r}",
            remedy=f"use trusted hardware, or write {INSECURE_SIMULATED} to try things out on worthless data",
        )
    path = home / INSECURE_FILE
    if not path.exists():
        write_whole(path, os.urandom(KEY_BYTES))
    secret = path.read_bytes()
    if len(secret) != KEY_BYTES:
        raise SecurityError(
            f"{INSECURE_FILE} has {len(secret)} bytes instead of {KEY_BYTES}",
            remedy="restore it from a backup; without it, what this simulated enclave has sealed is lost",
            file=str(path),
        )
    return secret


def _gramine_key(folder: Path) -> bytes:
    """16 bytes: EGETKEY with the policy MRENCLAVE, by Gramine."""
    device = str(folder)
    return _some(read(folder / "keys" / "_sgx_mrenclave", device), 16, device)


def _derived_key(path: Path, ioctl: Ioctl) -> bytes:
    """32 bytes: SNP_GET_DERIVED_KEY at VMPL 0. No TCB version is mixed in, which would end the key with every update."""
    device = str(path)
    request = DerivedKeyRequest(root_key_select=VCEK_ONLY, guest_field_select=GUEST_POLICY | MEASUREMENT)
    response = DerivedKeyResponse()
    response.data[:4] = _UNANSWERED
    call = GuestRequest(1, ctypes.addressof(request), ctypes.addressof(response), 0)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise broken(device, f"cannot be opened ({error.strerror})") from error
    try:
        ioctl(descriptor, GET_DERIVED_KEY, call)
    except OSError as error:
        firmware, hypervisor = call.exitinfo2 & 0xFFFFFFFF, call.exitinfo2 >> 32
        why = f"({error.strerror}; firmware {firmware:#x}, hypervisor {hypervisor:#x})"
        raise broken(device, f"gives no sealing key {why}") from error
    finally:
        os.close(descriptor)
    answer = bytes(response.data)
    status = int.from_bytes(answer[:4], "little")
    if status:
        raise broken(device, f"gives no sealing key of this chip's VCEK (status {status:#x})")
    return _some(answer[32:], KEY_BYTES, device)


def _some(secret: bytes, length: int, device: str) -> bytes:
    if len(secret) != length or not any(secret):
        raise broken(device, f"gives no sealing key ({len(secret)} bytes{', all zero' if secret else ''})")
    return secret
