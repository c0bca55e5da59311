"""What stands for all code of a platform."""

from hashlib import sha384

import pytest

from hansa.protocols.wire.attestation.platforms import MEASUREMENT_BYTES, NAMED_BY, code_of

FIELDS = {name: bytes([place]).hex() * 48 for place, name in enumerate(NAMED_BY["TDX"])}


def test_each_of_a_trust_domains_registers_is_part_of_its_code():
    code = code_of("TDX", FIELDS)
    assert code == sha384(bytes(48) + b"\1" * 48 + b"\2" * 48 + b"\3" * 48 + b"\4" * 48).digest()
    assert len({code_of("TDX", FIELDS | {name: "ff" * 48}) for name in FIELDS} | {code}) == 6


@pytest.mark.parametrize(
    ("platform", "name"),
    [("SGX", "mrenclave"), ("SEV-SNP", "measurement"), ("insecure-simulated", "measurement")],
)
def test_other_platforms_measure_it_once(platform, name):
    measured = b"m" * MEASUREMENT_BYTES[platform]
    assert code_of(platform, {name: measured.hex(), "mrsigner": "00" * 32}) == measured
    with pytest.raises(KeyError, match=name):
        code_of(platform, {})
