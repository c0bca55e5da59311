"""What a vault holds: the key of each training job's model with its contract, and how many of whose there is room for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.votes import Vote, approving
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.fields import Fields

KEY_BYTES = 32
_OVERHEAD = 64
"""Bytes that an encoded key takes besides its contract, at most."""


@dataclass(frozen=True)
class ModelKey:
    """The key of one training job's model; ``made`` by this very enclave, not handed over to it.

    The ``contract`` comes along because it says who may use the model, and who may let the key go to other code: the parties,
    as many as it asks for. Its hash is the job's id, so nobody can name others.
    """

    key: bytes = field(repr=False)
    contract: Contract
    made: bool = False

    @property
    def voters(self) -> frozenset[bytes]:
        """The identities of the job's parties."""
        return frozenset(party.identity for party in self.contract.parties)

    @property
    def needed(self) -> int:
        """How many of them must vote."""
        return self.contract.enclave.votes if self.contract.enclave is not None else len(self.contract.parties)

    @cached_property
    def size(self) -> int:
        """Bytes that it takes on disk and on the wire, at most."""
        return len(self._contract) + _OVERHEAD

    @cached_property
    def digest(self) -> bytes:
        """``KEY_DIGEST_BYTES`` that tell a job and its key from others; they tell nothing of the key."""
        said = self.contract.job_id + self.key
        return blake2b(said, digest_size=limits.KEY_DIGEST_BYTES, person=b"hansa-job-key").digest()

    @cached_property
    def _contract(self) -> bytes:
        return self.contract.encode()

    def to_plain(self) -> dict[str, Any]:
        """For canonical msgpack."""
        return {"key": self.key, "contract": self._contract, "made": self.made}

    @classmethod
    def from_plain_untrusted(cls, plain: Any) -> ModelKey:
        """A key again; ``PeerMisbehaved`` where it is none."""
        fields = Fields(plain, "a model key")
        found = cls(
            key=fields.octets("key", KEY_BYTES),
            contract=fields.value("contract", Contract.decode_untrusted),
            made=fields.flag("made"),
        )
        fields.end()
        if found.contract.kind != "train" or found.contract.enclave is None:
            raise fields.refused("is of no job that an enclave trained")
        return found


def encode_keys(keys: Iterable[ModelKey]) -> bytes:
    """Keys as they are sealed and handed over."""
    return canonical.encode([key.to_plain() for key in keys])


def decode_keys_untrusted(data: bytes | memoryview) -> dict[bytes, ModelKey]:
    """Keys by job id; ``PeerMisbehaved`` where they are none, or too many. Blocks for a millisecond a key."""
    plain = canonical.decode_untrusted(data, limits.VAULT_MAX_BYTES)
    if not isinstance(plain, list) or len(plain) > limits.VAULT_MAX_ENTRIES:
        raise PeerMisbehaved("a peer sent other than model keys", remedy="update both nodes to the same version")
    keys = [ModelKey.from_plain_untrusted(each) for each in plain]
    return {key.contract.job_id: key for key in keys}


class Room:
    """Of all that a vault may hold, no more than one part in ``VAULT_SHARES`` is for jobs of the same parties.

    So two members who train without end find their own share full, and not that of others.
    """

    def __init__(self) -> None:
        self._taken: dict[frozenset[bytes], tuple[int, int]] = {}
        self._all = (0, 0)

    def take(self, key: ModelKey) -> bool:
        """Whether there is room for one more; it is taken then."""
        mine = _more(self._taken.get(key.voters, (0, 0)), key)
        total = _more(self._all, key)
        if not (_within(total, 1) and _within(mine, limits.VAULT_SHARES)):
            return False
        self._taken[key.voters], self._all = mine, total
        return True


def _more(taken: tuple[int, int], key: ModelKey) -> tuple[int, int]:
    return taken[0] + 1, taken[1] + key.size


def _within(taken: tuple[int, int], shares: int) -> bool:
    return taken[0] <= limits.VAULT_MAX_ENTRIES // shares and taken[1] <= limits.VAULT_MAX_BYTES // shares


def voted(
    keys: Mapping[bytes, ModelKey], code_from: Code, code_to: Code, votes: Iterable[Vote], now: int
) -> dict[bytes, ModelKey]:
    """Those whose parties let them go from one code to the other, as many as each asks for."""
    voters = frozenset[bytes]().union(*(key.voters for key in keys.values()))
    willing = approving(votes, code_from, code_to, voters, now)
    return {job_id: key for job_id, key in keys.items() if len(willing & key.voters) >= key.needed}
