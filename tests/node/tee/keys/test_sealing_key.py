"""The key that only this code on this machine has, from recorded devices."""

import ctypes
import errno

import pytest

from hansa.config.errors import ConfigError
from hansa.node.errors import EvidenceError
from hansa.node.tee.evidence.sev_guest import GuestRequest
from hansa.node.tee.keys import sealing_key as module
from hansa.node.tee.keys.sealing_key import INSECURE_FILE, DerivedKeyRequest, DerivedKeyResponse, sealing_key
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.platforms import Code

SGX, SNP = Code("SGX", b"c" * 32), Code("SEV-SNP", b"c" * 48)
SIMULATED = Code("insecure-simulated", b"c" * 48)


def test_gramines_key_is_bound_to_the_code(tmp_path):
    folder = tmp_path / "dev" / "attestation" / "keys"
    folder.mkdir(parents=True)
    (folder / "_sgx_mrenclave").write_bytes(b"s" * 16)
    key = sealing_key("gramine", SGX, tmp_path, root=tmp_path)
    assert len(key) == 32
    assert key == sealing_key("gramine", SGX, tmp_path, root=tmp_path)
    assert key != sealing_key("gramine", Code("SGX", b"d" * 32), tmp_path, root=tmp_path)
    for broken in (bytes(16), b"s" * 15, b""):
        (folder / "_sgx_mrenclave").write_bytes(broken)
        with pytest.raises(EvidenceError, match="gives no sealing key"):
            sealing_key("gramine", SGX, tmp_path, root=tmp_path)


def device(tmp_path):
    path = tmp_path / "dev" / "sev-guest"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return tmp_path


def test_the_derived_key_is_asked_for_exactly(tmp_path):
    asked = []

    def ioctl(descriptor, number, call):
        assert isinstance(call, GuestRequest)
        request = DerivedKeyRequest.from_address(call.req_data)
        asked.append((number, bytes(request)))
        response = DerivedKeyResponse.from_address(call.resp_data)
        response.data[:] = bytes(4) + bytes(28) + b"s" * 32

    key = sealing_key("sev-guest", SNP, tmp_path, root=device(tmp_path), ioctl=ioctl)
    assert len(key) == 32
    # VCEK (key_sel 1), policy and measurement mixed in, VMPL 0, no SVN and no TCB version
    wanted = (2).to_bytes(4, "little") + bytes(4) + (0b1001).to_bytes(8, "little") + bytes(4 + 4 + 8)
    assert asked == [(0xC0205301, wanted)]
    assert ctypes.sizeof(GuestRequest) == 32


@pytest.mark.parametrize("answer", [bytes(64), b"\x16" + bytes(31) + b"s" * 32, None])
def test_a_chip_that_gives_no_key_is_named(answer, tmp_path):
    def ioctl(descriptor, number, call):
        if answer is None:
            raise OSError(errno.EIO, "Input/output error")
        DerivedKeyResponse.from_address(call.resp_data).data[:] = answer

    with pytest.raises(EvidenceError, match="gives no sealing key"):
        sealing_key("sev-guest", SNP, tmp_path, root=device(tmp_path), ioctl=ioctl)


def test_tdx_has_no_key_for_a_measurement(tmp_path):
    with pytest.raises(EvidenceError, match="TDX has no key that belongs to a measurement"):
        sealing_key("tsm", Code("TDX", b"c" * 48), tmp_path)


def test_a_simulated_key_needs_the_word(tmp_path):
    key = sealing_key("insecure-simulated", SIMULATED, tmp_path)
    assert key == sealing_key("insecure-simulated", SIMULATED, tmp_path)
    assert key != sealing_key("insecure-simulated", Code("insecure-simulated", b"d" * 48), tmp_path)
    assert key not in (tmp_path / INSECURE_FILE).read_bytes()
    with pytest.raises(ConfigError, match="only where the settings say 'insecure-simulated'"):
        sealing_key("gramine", SIMULATED, tmp_path)
    (tmp_path / INSECURE_FILE).write_bytes(b"short")
    with pytest.raises(SecurityError, match="5 bytes instead of 32"):
        sealing_key("insecure-simulated", SIMULATED, tmp_path)
    assert module.KEY_BYTES == 32
