"""Devices that produce evidence: folders that behave like them, and a kernel's answer to an ioctl."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from hansa.node.errors import EvidenceError
from hansa.node.tee.evidence.collateral import parse_collateral_untrusted
from hansa.node.tee.evidence.gramine import Gramine
from hansa.node.tee.evidence.sev_guest import GET_EXTENDED_REPORT, ExtendedRequest, GuestRequest, Response, SevGuest
from hansa.node.tee.evidence.tsm import Tsm

ASKED = b"\x11" * 64  # what the vendor's reports of tests/support/tee/amd.py are over


def make_gramine(folder, quote, kind=b"dcap\n"):
    folder.mkdir(parents=True)
    for name, data in {"attestation_type": kind, "user_report_data": bytes(64), "quote": quote}.items():
        (folder / name).write_bytes(data)
    return Gramine(folder)


def test_gramine(captured, tmp_path):
    entry = captured("sgx-v3-hardening")
    quote, asked = entry["quote"].read_bytes(), bytes.fromhex(entry["fields"]["report_data"])
    evidence = make_gramine(tmp_path / "attestation", quote).produce(asked)
    assert (evidence.platform, evidence.data, evidence.certificates) == ("SGX", quote, b"")
    assert (tmp_path / "attestation" / "user_report_data").read_bytes() == asked
    with pytest.raises(EvidenceError, match="over other report data"):
        Gramine(tmp_path / "attestation").produce(ASKED)
    tdx = captured("tdx-v4-uptodate")
    with pytest.raises(EvidenceError, match="a quote of TDX instead of SGX"):
        make_gramine(tmp_path / "other", tdx["quote"].read_bytes()).produce(ASKED)


def test_gramine_in_trouble(tmp_path):
    for kind, why in ((b"epid\n", "attests by 'epid'"), (b"none\n", "attests by 'none'")):
        with pytest.raises(EvidenceError, match=why):
            make_gramine(tmp_path / kind.decode().strip(), b"", kind).produce(ASKED)
    with pytest.raises(EvidenceError, match=r"out of form: quote: version is cut off"):
        make_gramine(tmp_path / "empty", b"").produce(ASKED)
    with pytest.raises(EvidenceError, match="more than 65536 bytes"):
        make_gramine(tmp_path / "endless", bytes(65537)).produce(ASKED)
    (tmp_path / "empty" / "quote").unlink()
    with pytest.raises(EvidenceError, match=r"cannot be read \(quote: No such file"):
        Gramine(tmp_path / "empty").produce(ASKED)
    (tmp_path / "empty" / "user_report_data").unlink()
    with pytest.raises(EvidenceError, match="cannot be written to"):
        Gramine(tmp_path / "empty").produce(ASKED)
    with pytest.raises(ValueError, match="report data has 63 bytes"):
        make_gramine(tmp_path / "short", b"").produce(ASKED[:63])


@pytest.fixture
def tsm(tmp_path, monkeypatch):
    """``tsm(files)``: a configfs folder whose entries come with these files, and go with them."""
    folder = tmp_path / "report"
    folder.mkdir()
    made, mkdir = [], Path.mkdir

    def give(files):
        def make(self, *args, **kwargs):
            mkdir(self, *args, **kwargs)
            if self.parent == folder:
                made.append(self)
                for name, data in files.items():
                    (self / name).write_bytes(data)

        def remove(self):
            for file in list(self.iterdir()):
                file.unlink()
            os.rmdir(self)

        monkeypatch.setattr(Path, "mkdir", make)
        monkeypatch.setattr(Path, "rmdir", remove)
        return Tsm(folder)

    yield give
    assert len(made) > 0
    assert list(folder.iterdir()) == []  # no entry is left behind


def files_of(report, **changed):
    files = {"provider": b"sev_guest\n", "inblob": b"", "outblob": report, "auxblob": b"table", "generation": b"1\n"}
    return files | changed


def test_tsm_snp(milan, tsm):
    report = milan.make()
    evidence = tsm(files_of(report)).produce(ASKED)
    assert (evidence.platform, evidence.data, evidence.certificates) == ("SEV-SNP", report, b"table")


def test_tsm_tdx(captured, tsm):
    entry = captured("tdx-v4-uptodate")
    quote, asked = entry["quote"].read_bytes(), bytes.fromhex(entry["fields"]["report_data"])
    evidence = tsm(files_of(quote, provider=b"tdx_guest\n")).produce(asked)
    assert (evidence.platform, evidence.data, evidence.certificates) == ("TDX", quote, b"")


def test_tsm_captured_snp(captured, tsm):
    entry = captured("snp-genoa-v3-tsm")
    report, table = (entry["report"].with_name(name).read_bytes() for name in ("report.bin", "auxblob.bin"))
    evidence = tsm(files_of(report, auxblob=table)).produce(bytes.fromhex(entry["fields"]["report_data"]))
    assert len(parse_collateral_untrusted(evidence.certificates)) == 3


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"provider": b"arm_cca_guest\n"}, "unknown provider, 'arm_cca_guest'"),
        ({"generation": b"2\n"}, "written to by somebody else"),
        ({"outblob": b""}, "out of form"),
    ],
)
def test_tsm_in_trouble(milan, tsm, changed, why):
    with pytest.raises(EvidenceError, match=why):
        tsm(files_of(milan.make(), **changed)).produce(ASKED)


def test_tsm_mixed_up(milan, tsm):
    with pytest.raises(EvidenceError, match="over other report data"):
        tsm(files_of(milan.make(at_50=b"\x12"))).produce(ASKED)


def test_tsm_that_takes_no_request(tmp_path):
    with pytest.raises(EvidenceError, match="takes no request"):
        Tsm(tmp_path / "nowhere").produce(ASKED)


def kernel(report, *, table=b"", status=0, size=1184, error=None, exitinfo2=0, seen=None):
    """What /dev/sev-guest does with a request for an extended report."""

    def ioctl(descriptor, request, call):
        assert os.fstat(descriptor)
        assert request == GET_EXTENDED_REPORT == 0xC0205302
        assert (ctypes.sizeof(GuestRequest), ctypes.sizeof(ExtendedRequest), ctypes.sizeof(Response)) == (32, 112, 4000)
        assert call.msg_version == 1
        if error:
            call.exitinfo2 = exitinfo2
            raise OSError(error, os.strerror(error))
        asked = ExtendedRequest.from_address(call.req_data)
        if seen is not None:
            seen.append((bytes(asked.data.user_data), asked.data.vmpl, asked.certs_len))
        answer = status.to_bytes(4, "little") + size.to_bytes(4, "little") + bytes(24) + report
        ctypes.memmove(call.resp_data, answer, len(answer))
        ctypes.memmove(asked.certs_address, table, len(table))
        return 0

    return ioctl


def test_sev_guest(milan, tmp_path):
    device, seen, report = tmp_path / "sev-guest", [], milan.make()
    device.touch()
    evidence = SevGuest(device, kernel(report, seen=seen)).produce(ASKED)
    assert (evidence.platform, evidence.data, evidence.certificates) == ("SEV-SNP", report, b"")
    assert seen == [(ASKED, 0, 16384)]


def test_sev_guest_with_certificates(captured, tmp_path):
    device, entry = tmp_path / "sev-guest", captured("snp-genoa-v3-tsm")
    device.touch()
    report, table = (entry["report"].with_name(name).read_bytes() for name in ("report.bin", "auxblob.bin"))
    evidence = SevGuest(device, kernel(report, table=table)).produce(bytes.fromhex(entry["fields"]["report_data"]))
    assert len(parse_collateral_untrusted(evidence.certificates)) == 3  # the page behind the table is zeros


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"status": 0x16}, r"no report \(status 0x16, 1184 bytes\)"),
        ({"size": 0}, "0 bytes"),
        ({"error": errno.EIO, "exitinfo2": 1 << 32 | 2}, "Input/output error; firmware 0x2, hypervisor 0x1"),
    ],
)
def test_sev_guest_in_trouble(milan, tmp_path, answers, why):
    device = tmp_path / "sev-guest"
    device.touch()
    with pytest.raises(EvidenceError, match=why) as caught:
        SevGuest(device, kernel(milan.make(), **answers)).produce(ASKED)
    assert caught.value.fields["device"] == str(device)


@pytest.mark.parametrize("error", [None, errno.EIO])
def test_sev_guest_keeps_nothing_open(milan, tmp_path, error):
    device, held = tmp_path / "sev-guest", []
    device.touch()
    answer = kernel(milan.make(), error=error)

    def ioctl(descriptor, request, call):
        held.append(descriptor)
        return answer(descriptor, request, call)

    with pytest.raises(EvidenceError, match="Input/output") if error else nullcontext():
        SevGuest(device, ioctl).produce(ASKED)
    (descriptor,) = held
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_sev_guest_without_a_device(tmp_path):
    with pytest.raises(EvidenceError, match="cannot be opened"):
        SevGuest(tmp_path / "nowhere").produce(ASKED)
    (tmp_path / "plain").touch()
    with pytest.raises(EvidenceError, match="gives no report"):  # the real ioctl, on a plain file
        SevGuest(tmp_path / "plain").produce(ASKED)
