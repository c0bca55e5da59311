"""Three parties with fixed keys, and contracts between them."""

import hashlib
from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from hansa.protocols.wire.consent.certificate import Signature
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.consent.terms import Align, Limits, Opening, Outputs, Party

NAMES = ("bank", "bureau", "telecom")
NOW = 1_800_000_000


class Trio:
    """The parties' signing keys and identities in rank order; ``stranger`` is in no contract."""

    def __init__(self):
        self.names = NAMES
        self.now = NOW
        self.signing_keys = [bytes([rank + 1]) * 32 for rank in range(4)]
        self.identities = [bytes(SigningKey(key).verify_key) for key in self.signing_keys]
        self.stranger = self.identities[3]
        parties = tuple(
            Party(
                self.identities[rank],
                NAMES[rank],
                "clients",
                bytes([rank]) * 32,
                ("age", "income"),
                "default" if rank == 0 else None,
            )
            for rank in range(3)
        )
        self.base = Contract(
            version=1,
            kind="train",
            name="credit",
            purpose="predict default",
            parties=parties,
            align=Align("trim"),
            algorithm="lr",
            params={"epochs": 10, "batch_size": 1024, "learning_rate": 0.5, "l2": 0.0001},
            test_fraction=0.2,
            seed=bytes(16),
            frac_bits=18,
            engine="replicated",
            outputs=Outputs("label-owner", "owner", "all"),
            model=None,
            openings=(Opening("scores", (0,), "the test scores, to bank"),),
            limits=Limits(1000),
            created=NOW,
            expires=NOW + 3600,
            nonce=b"n" * 16,
        )

    def contract(self, **changes):
        return replace(self.base, **changes)

    def job_key(self, rank, version=0):
        return hashlib.blake2b(bytes([rank, version]), digest_size=32).digest()

    def sign(self, rank, contract, attempt=0, version=0):
        return Signature.make(
            self.signing_keys[rank], self.identities[rank], contract, attempt, self.job_key(rank, version)
        )


@pytest.fixture(scope="session")
def trio_of():
    return Trio()
