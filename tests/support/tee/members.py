"""A job that an enclave trains for three parties, its votes and its vaults: what the tests of sealed keys are about."""

import time
from dataclasses import replace

from nacl.signing import SigningKey

from hansa.node.contracts.explain import openings_of
from hansa.node.tee.keys.vault import Vault
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.votes import Vote
from hansa.protocols.wire.consent.contract import VERSION, Contract
from hansa.protocols.wire.consent.terms import Align, Enclave, Limits, Outputs, Party

CODE, OTHER = Code("SGX", b"c" * 32), Code("SGX", b"d" * 32)
SIGNING_KEYS = [bytes([number]) * 32 for number in (1, 2, 3)]
VOTERS = [bytes(SigningKey(key).verify_key) for key in SIGNING_KEYS]
KEY, NOW, NODE = b"k" * 32, int(time.time()), b"n" * 32


def contract(name="job", votes=2, codes=(CODE,), who=VOTERS, columns=("age",), **changes):
    """Parties, the first with the label, and the enclave "tee" behind them."""
    parties = tuple(
        Party(identity, f"party-{rank}", "clients", bytes(32), columns, "default" if rank == 0 else None)
        for rank, identity in enumerate(who)
    )
    outputs = Outputs("label-owner", "owner", "all")
    made = Contract(
        VERSION, "train", name, "predict", parties, Align("trim"), "lr",
        {"epochs": 2, "batch_size": 64, "learning_rate": 0.5, "l2": 0.0}, 0.2, bytes(16), 18, "enclave", outputs, None,
        openings_of("train", "lr", outputs, parties, {}, engine="enclave"), Limits(1000), NOW, NOW + 3600, bytes(16),
        enclave=Enclave(b"e" * 32, "tee", votes), codes=codes,
    )  # fmt: skip
    return replace(made, **changes)


JOB = contract()


def use(trained=JOB, kind="predict", **changes):
    """A job that uses a model: as it was trained, unless changed."""
    fields = {"kind": kind, "model": trained.job_id, "test_fraction": 0.0, "nonce": b"u" * 16}
    return replace(trained, **(fields | changes))


def vote(rank, until=NOW + 86_400, code_from=CODE, code_to=OTHER, signing_key=None):
    return Vote.make(signing_key or SIGNING_KEYS[rank], VOTERS[rank], code_from, code_to, until)


def opened(path, code=CODE, key=KEY, node=NODE):
    return Vault(path, code, node, lambda: key)
