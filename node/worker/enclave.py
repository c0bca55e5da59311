"""What a worker brings to a job in an enclave: parcels sealed by the owner's release policy, and the box of the job's model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from hansa.node.contracts.release_policies import policy_of
from hansa.node.sealing import seal, unseal
from hansa.node.worker.attestation import Proven
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.statements import parcel
from hansa.protocols.wire.consent.contract import Contract


@dataclass(frozen=True, slots=True)
class ParcelSealer:
    """Closes an owner's rows for the code that the enclave has proven on this very link."""

    signed_policy: bytes
    proven: Proven

    def seal(self, data: bytes) -> bytes:
        """See ``algorithms.enclave.owner.OwnerSeal``."""
        return parcel.close(self.signed_policy, self.proven.public_key, data)


@dataclass(frozen=True, slots=True)
class ParcelOpener:
    """Opens owners' parcels inside, each by its owner's policy."""

    contract: Contract
    proven: Proven

    def open_untrusted(self, rank: int, data: bytes | memoryview) -> bytes:
        """See ``algorithms.enclave.inside.InsideOpen``."""
        wanted = policy_of(self.contract, self.contract.parties[rank], until=0)
        own = self.proven.code
        if own not in self.contract.codes:
            raise SecurityError(
                f"this enclave runs the code {own.measurement.hex()} on {own.platform}, which the contract does not accept",
                remedy="see `hansa tee status`; submit the job anew",
            )
        return parcel.open_untrusted(
            data, self.proven.secret_key, lambda policy: policy.check(wanted, own, int(time.time()))
        )


@dataclass(frozen=True, slots=True)
class ModelSealer:
    """Closes the model of one training job with the job's key, which only enclaves of the accepted code have."""

    key: bytes = field(repr=False)
    job_id: bytes

    def close(self, model: bytes) -> bytes:
        """See ``algorithms.enclave.inside.ModelBox``."""
        return seal(self.key, model, self._name)

    def open(self, closed: bytes) -> bytes:
        """See ``algorithms.enclave.inside.ModelBox``."""
        return unseal(self.key, closed, self._name)

    @property
    def _name(self) -> bytes:
        return b"enclave-model" + self.job_id
