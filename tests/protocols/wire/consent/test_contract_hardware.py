"""What contracts of version 4 say of hardware: an enclave or an attested dealer, and the code that either may run."""

import pytest

from hansa.protocols.errors import ConsentError, PeerMisbehaved
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.consent.contract import VERSION, Contract
from hansa.protocols.wire.consent.terms import Dealer, Enclave

CODE, OTHER = Code("SGX", b"c" * 32), Code("SEV-SNP", b"c" * 48)


def inside(trio_of, **changes):
    enclave = Enclave(trio_of.stranger, "tee", 3)
    fields = {"version": VERSION, "engine": "enclave", "enclave": enclave, "codes": (CODE, OTHER)}
    return trio_of.contract(**(fields | changes))


def test_it_survives_the_wire_and_every_part_makes_another_job(trio_of):
    whole = inside(trio_of)
    assert Contract.decode_untrusted(whole.encode()) == whole
    others = [
        inside(trio_of, codes=(CODE,)),
        inside(trio_of, codes=(CODE, Code("TDX", OTHER.measurement))),
        inside(trio_of, enclave=Enclave(trio_of.stranger, "tee", 2)),
        inside(trio_of, enclave=Enclave(trio_of.stranger, "other", 3)),
        inside(trio_of, enclave=Enclave(bytes(32), "tee", 3)),
    ]
    assert len({each.job_id for each in (whole, *others)}) == 6
    dealt = {"engine": "additive", "enclave": None, "dealer": Dealer(trio_of.stranger, "exchange")}
    attested, trusted = inside(trio_of, **dealt), inside(trio_of, **dealt, codes=())
    assert [Contract.decode_untrusted(each.encode()) for each in (attested, trusted)] == [attested, trusted]


def test_what_a_contract_in_hardware_cannot_say(trio_of):
    enclave, nobody = Enclave(trio_of.stranger, "tee", 4), {"enclave": None}
    cases = [
        ({"version": 3}, "is of a version without this engine"),
        (nobody, "must name an enclave exactly with the engine enclave"),
        ({"engine": "additive"}, "must name an enclave exactly with the engine enclave"),
        ({"enclave": enclave}, "asks for more votes than it has parties"),
        ({"codes": ()}, "does not say which code its enclave may run"),
        ({"engine": "additive"} | nobody, "says which code may run, and names no hardware"),
        ({"codes": (CODE, OTHER, CODE)}, "accepts a code twice"),
    ]
    for change, why in cases:
        with pytest.raises(ConsentError, match=f"the contract 'credit' {why}"):
            inside(trio_of, **change).check()


def test_a_contract_from_a_peer_is_bounded(trio_of):
    codes = tuple(Code("SGX", bytes([number]) * 32) for number in range(limits.CONTRACT_MAX_CODES + 1))
    assert Contract.decode_untrusted(inside(trio_of, codes=codes[1:]).encode()).codes == codes[1:]
    with pytest.raises(PeerMisbehaved, match="'codes'"):
        Contract.decode_untrusted(inside(trio_of, codes=codes).encode())
    for code in (Code("SGX", b"c" * 48), Code("nitro", b"c" * 48)):
        with pytest.raises(PeerMisbehaved, match="accepted code"):
            Contract.decode_untrusted(inside(trio_of, codes=(code,)).encode())
