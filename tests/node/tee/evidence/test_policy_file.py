"""Policy files: every key lands where it should, and nothing passes for a key that is none."""

from __future__ import annotations

import pytest

from hansa.config.errors import ConfigError
from hansa.node.tee.evidence.policy_file import load_policy, parse_policy
from hansa.protocols.wire.attestation.measurements import SgxMeasurement, SnpMeasurement, TdxMeasurement
from hansa.protocols.wire.attestation.policy import REPORT, STRICT

WHOLE = f"""\
base = "strict"
statuses = ["UpToDate", "SWHardeningNeeded"]
max_collateral_age_days = 30
max_tcb_age_days = 400
least_tcb_evaluation = 17
refused_advisories = ["INTEL-SA-00615"]
allow_smt = false
vmpls = ["0", "2"]
require_measurement = true
require_nonce = true
require_crl = true

[least_snp_tcb.Milan]
snp = 8
microcode = 115

[[sgx]]
mrsigner = "{"ab" * 32}"
isv_prod_id = 1
least_isv_svn = 2

[[tdx]]
mrtd = "{"cd" * 48}"
rtmr1 = "{"01" * 48}"
any = ["rtmr0", "rtmr2", "rtmr3"]

[[snp]]
measurement = "{"ef" * 48}"
host_data = "{"02" * 32}"
"""


def test_every_key():
    policy = parse_policy(WHOLE, "tee.toml")
    assert policy.statuses == {"UpToDate", "SWHardeningNeeded"}
    assert (policy.max_collateral_age_s, policy.max_tcb_age_s) == (30 * 86400, 400 * 86400)
    assert (policy.least_tcb_evaluation, policy.refused_advisories) == (17, {"INTEL-SA-00615"})
    assert (policy.allow_smt, policy.allow_migration, policy.vmpls) == (False, False, {0, 2})
    assert policy.require_measurement
    assert policy.require_nonce
    assert policy.require_crl
    assert policy.least_tcb("Milan") == {"boot_loader": 0, "tee": 0, "snp": 8, "microcode": 115}
    assert policy.least_tcb("Genoa") == {}
    assert policy.sgx == (SgxMeasurement(None, b"\xab" * 32, 1, 2),)
    assert policy.tdx == (TdxMeasurement(mrtd=b"\xcd" * 48, rtmr1=b"\x01" * 48),)
    assert policy.snp == (SnpMeasurement(b"\xef" * 48, b"\x02" * 32),)


def test_names_and_files(tmp_path):
    assert load_policy("strict") is STRICT
    assert load_policy("report") is REPORT
    (tmp_path / "tee.toml").write_text('base = "report"\n')
    assert load_policy(str(tmp_path / "tee.toml")).statuses is None
    (tmp_path / "tee.toml").write_text("")
    assert load_policy(str(tmp_path / "tee.toml")).statuses == STRICT.statuses


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('base = "lenient"', "must be one of strict, report"),
        ('statuses = ["Revoked"]', "Revoked cannot be accepted"),
        ('statuses = ["Fine"]', "'Fine' is none of UpToDate"),
        ('vmpls = ["4"]', "must be a list out of"),
        ("max_tcb_age_days = 0", "from 1 to"),
        ("allow_migrations = true", "did you mean 'allow_migration'"),
        ("allow_debug = true", "allow_debug is not a key"),
        ("[least_snp_tcb.Rome]\nsnp = 1", "Rome is not a key"),
        ("[least_snp_tcb.Milan]\nfmc = 1", "fmc is not a key"),
        ('[[sgx]]\nmrsigner = "' + "00" * 32 + '"', "mrsigner, isv_prod_id and least_isv_svn must be given"),
        ('[[sgx]]\nmrenclave = "00"', "must be 32 bytes"),
        ('[[tdx]]\nrtmr0 = "' + "00" * 48 + '"', "mrtd must be given"),
        ('[[snp]]\nhost_data = "' + "00" * 32 + '"', "or id_key_digest must be given"),
        (f'[[tdx]]\nmrtd = "{"00" * 48}"', "rtmr0 must be given, or be on the list `any`"),
        (f'[[tdx]]\nmrtd = "{"00" * 48}"\nrtmr0 = "{"00" * 48}"\nany = ["rtmr0"]', "rtmr0 must be given, or be on"),
        (f'[[tdx]]\nmrtd = "{"00" * 48}"\nany = ["rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrtd"]', "any must be a list"),
        (f'[[snp]]\nmeasurement = "{"00" * 48}"\nleast_guest_svn = 1', "needs id_key_digest"),
        ("[least_snp_tcb.Milan]", "Milan names none of boot_loader"),
        ("statuses = []", "statuses is empty"),
        ("sgx = []", "sgx is empty"),
        ('refused_advisories = ["CVE-2020-1"]', "no name like INTEL-SA-00615"),
        ("base =", "is not valid TOML"),
        ("max_tcb_age_days = " + "9" * 5000, "is not valid TOML"),
        ("a = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_what_a_file_may_not_say(text, why):
    with pytest.raises(ConfigError, match=why) as caught:
        parse_policy(text, "tee.toml")
    assert caught.value.fields["file"] == "tee.toml"


def test_advisories_are_found_however_they_are_written():
    assert parse_policy('refused_advisories = ["intel-sa-00615"]', "tee.toml").refused_advisories == {"INTEL-SA-00615"}


def test_a_file_without_end_is_not_read():
    with pytest.raises(ConfigError, match="/dev/zero has more than 1048576 bytes"):
        load_policy("/dev/zero")
