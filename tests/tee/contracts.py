"""A job of three owners in an enclave, and who signs for them."""

from dataclasses import replace

from nacl.signing import SigningKey

from hansa.node.contracts import openings_of
from hansa.protocols.wire.contract import VERSION, Align, Code, Contract, Enclave, Limits, Outputs, Party

CODE, OTHER = Code("SGX", b"c" * 32), Code("SGX", b"d" * 32)
SEEDS = [bytes([number]) * 32 for number in (1, 2, 3)]
VOTERS = [bytes(SigningKey(seed).verify_key) for seed in SEEDS]
NOW = 1_800_000_000


def contract(name="job", votes=2, codes=(CODE,), **changes):
    """Three owners, the first with the label, and the enclave "tee" behind them."""
    parties = tuple(
        Party(identity, f"party-{rank}", "clients", bytes(32), ("age",), "default" if rank == 0 else None)
        for rank, identity in enumerate(VOTERS)
    )
    outputs = Outputs("label-owner", "owner", "all")
    made = Contract(
        VERSION, "train", name, "predict", parties, Align("trim"), "lr",
        {"epochs": 2, "batch_size": 64, "learning_rate": 0.5, "l2": 0.0}, 0.2, bytes(16), 18, "enclave", outputs, None,
        openings_of("train", "lr", outputs, parties, {}, engine="enclave"), Limits(1000), NOW, NOW + 3600, bytes(16),
        enclave=Enclave(b"e" * 32, "tee", votes), codes=codes,
    )  # fmt: skip
    return replace(made, **changes)
