"""Contracts that an earlier version wrote keep their bytes and their ids."""

import pytest

from hansa.config.vocabulary import KINDS
from hansa.protocols.wire.consent.contract import FIRST_VERSION, VERSION, Contract

NAMES = (
    *(f"v1 {kind}" for kind in ("train", "predict", "release", "trees")),
    *(f"v2 {kind}" for kind in ("additive", "dealer", "computing", "trees")),
    *(f"v3 {kind}" for kind in ("trees", "every parameter", "poisson", "binary", "correlations")),
    *(f"v4 {kind}" for kind in ("train", "whole numbers", "predict", "release", "trees", "attested dealer")),
    *(f"v4 {kind}" for kind in ("enclave", "enclave predict", "enclave trees", "correlations")),
)


@pytest.fixture(scope="module")
def contracts(golden):
    return golden("contracts")


def test_every_kind_and_version_is_there(contracts):
    assert sorted(contracts) == sorted(NAMES)
    read = [Contract.decode_untrusted(bytes.fromhex(said["bytes"])) for said in contracts.values()]
    assert {contract.version for contract in read} == set(range(FIRST_VERSION, VERSION + 1))
    assert {contract.kind for contract in read} == set(KINDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_contract_keeps_its_bytes_and_its_id(contracts, name):
    written = bytes.fromhex(contracts[name]["bytes"])
    contract = Contract.decode_untrusted(written)
    assert contract.encode() == written
    assert contract.job_id.hex() == contracts[name]["job_id"]
