"""What an owner lets an enclave read, and what the enclave opens of what it is sent."""

import time
from dataclasses import replace

import pytest
from nacl.bindings import crypto_scalarmult_base
from support.tee.members import CODE, NOW, OTHER, SIGNING_KEYS, contract

from hansa.node.contracts.release_policies import policy_of
from hansa.node.worker.attestation import Proven
from hansa.node.worker.enclave import ParcelOpener, ParcelSealer
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.platforms import Code

JOB = contract()
SECRET = b"s" * 32
INSIDE = Proven(CODE, crypto_scalarmult_base(SECRET), SECRET)


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: float(NOW))


def parcel(job=JOB, rank=0, until=NOW + 60, **changes):
    policy = replace(policy_of(job, job.parties[rank], until), **changes)
    return ParcelSealer(policy.signed(SIGNING_KEYS[rank]), replace(INSIDE, secret_key=b"")).seal(b"rows")


def test_every_owners_parcel_opens_in_its_place():
    opener = ParcelOpener(JOB, INSIDE)
    assert [opener.open_untrusted(rank, parcel(rank=rank)) for rank in range(3)] == [b"rows"] * 3


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (parcel(contract("another")), "is for the job"),
        (parcel(rank=1), "is for the owner"),
        (parcel(until=NOW), "has ended"),
        (parcel(columns=("age",)), "is for the columns age, not age, default"),
        (parcel(codes=(OTHER,)), "does not name the code that runs here"),
    ],
)
def test_what_the_owner_did_not_release_stays_closed(data, why):
    with pytest.raises(SecurityError, match=why):
        ParcelOpener(JOB, INSIDE).open_untrusted(0, data)


@pytest.mark.parametrize("own", [OTHER, Code("insecure-simulated", CODE.measurement)])
def test_code_that_the_contract_does_not_accept_opens_nothing(own):
    """Not even where an owner's policy names it; a measurement counts on its own platform only."""
    with pytest.raises(
        SecurityError, match=f"runs the code {own.measurement.hex()} on {own.platform}, which the contra"
    ):
        ParcelOpener(JOB, replace(INSIDE, code=own)).open_untrusted(0, parcel(codes=(own,)))


def test_each_of_two_platforms_with_one_measurement_is_itself():
    tdx, snp = (Code(platform, b"c" * 48) for platform in ("TDX", "SEV-SNP"))
    both = contract(codes=(tdx, snp))
    data = parcel(both, codes=(snp,))
    assert ParcelOpener(both, replace(INSIDE, code=snp)).open_untrusted(0, data) == b"rows"
    with pytest.raises(SecurityError, match="does not name the code that runs here"):
        ParcelOpener(both, replace(INSIDE, code=tdx)).open_untrusted(0, data)


def test_the_label_and_the_weights_are_released_for_training_only():
    bank = replace(JOB.parties[0], weight="exposure")
    assert policy_of(JOB, bank, NOW).columns == ("age", "default", "exposure")
    assert policy_of(JOB, JOB.parties[1], NOW).columns == ("age",)
    scoring = contract(kind="predict", model=b"m" * 32)
    assert policy_of(scoring, bank, NOW).columns == ("age",)
    assert (policy_of(JOB, bank, NOW).role, policy_of(scoring, bank, NOW).role) == ("enclave", "scorer")
