"""What is sealed in a job with an enclave: an owner's rows for the enclave (a parcel), and the enclave's model for its job."""

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
    """At an owner: seals its rows, under its release policy, to the key that the enclave has proven on this link."""

    signed_policy: bytes
    proven: Proven

    def seal(self, data: bytes) -> bytes:
        """See ``algorithms.enclave.owner.SealsParcel``."""
        return parcel.close(self.signed_policy, self.proven.public_key, data)


@dataclass(frozen=True, slots=True)
class ParcelOpener:
    """In the enclave: opens what each owner sealed, where that owner's release policy allows it."""

    contract: Contract
    proven: Proven

    def open_untrusted(self, rank: int, data: bytes | memoryview) -> bytes:
        """See ``algorithms.enclave.inside.OpensParcels``."""
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
    """In the enclave: seals a training job's model with the job's key, which only enclaves of the accepted code have."""

    key: bytes = field(repr=False)
    job_id: bytes

    def seal(self, model: bytes) -> bytes:
        """See ``algorithms.enclave.inside.SealsModel``."""
        return seal(self.key, model, self._name)

    def open(self, closed: bytes) -> bytes:
        """See ``algorithms.enclave.inside.SealsModel``."""
        return unseal(self.key, closed, self._name)

    @property
    def _name(self) -> bytes:
        return b"enclave-model" + self.job_id
