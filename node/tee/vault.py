"""An enclave's job keys, sealed to its measurement: what closes and opens the models that it trained (docs/tee.md, sealing).

    4 bytes magic | 4 bytes length | header, canonical: code, epoch | keys, sealed with the header as associated data

Every change raises the epoch by one. A host can put an older file back: so members remember the highest epoch that this
enclave has shown them over its attested channel, and tell it when they ask it to prove itself. State older than what any of
them saw is rolled back, and stays shut; a member refuses an enclave that shows an older epoch than before (``epochs``).
Epochs are shown as marks, which only the enclave can make, so that nobody can shut its state by a lie.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hansa.node.sealing import seal, unseal, write_whole
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.attestation.votes import Vote, approving
from hansa.protocols.wire.contract import Code, Contract
from hansa.protocols.wire.contract_parts import code_map, code_untrusted
from hansa.protocols.wire.fields import Fields

MAGIC = b"HVT1"
KEY_BYTES = 32
_MAX_HEADER = 1024


@dataclass(frozen=True, slots=True)
class JobKey:
    """The key of one training job's model.

    The ``contract`` comes along because it says who may let the key go to other code: the parties, as many as it asks for. Its
    hash is the job's id, so nobody can name other voters.
    """

    key: bytes = field(repr=False)
    contract: Contract

    @property
    def voters(self) -> tuple[bytes, ...]:
        """The identities of the job's parties."""
        return tuple(party.identity for party in self.contract.parties)

    @property
    def needed(self) -> int:
        """How many of them must vote."""
        return self.contract.enclave.votes if self.contract.enclave is not None else len(self.contract.parties)

    def to_plain(self) -> dict[str, Any]:
        """For canonical msgpack."""
        return {"key": self.key, "contract": self.contract.encode()}

    @classmethod
    def from_plain_untrusted(cls, plain: Any) -> JobKey:
        """A key again; ``PeerMisbehaved`` where it is none."""
        fields = Fields(plain, "a job key")
        found = cls(key=fields.octets("key", KEY_BYTES), contract=fields.value("contract", Contract.decode_untrusted))
        fields.end()
        if found.contract.kind != "train" or found.contract.enclave is None:
            raise fields.refused("is of no job that an enclave trained")
        return found


def encode_keys(keys: Iterable[JobKey]) -> bytes:
    """Keys as they are sealed and handed over."""
    return canonical.encode([key.to_plain() for key in keys])


def decode_keys_untrusted(data: bytes | memoryview) -> dict[bytes, JobKey]:
    """Keys by job id; ``PeerMisbehaved`` where they are none, or too many."""
    plain = canonical.decode_untrusted(data, limits.VAULT_MAX_BYTES)
    if not isinstance(plain, list) or len(plain) > limits.VAULT_MAX_ENTRIES:
        raise PeerMisbehaved("a peer sent other than job keys", remedy="update both nodes to the same version")
    keys = [JobKey.from_plain_untrusted(each) for each in plain]
    return {key.contract.job_id: key for key in keys}


class Vault:
    """``code`` is what runs here, ``sealing_key`` what only it has on this machine. Blocking, for milliseconds."""

    def __init__(self, path: Path, code: Code, sealing_key: Callable[[], bytes]) -> None:
        self._path, self.code, self._sealing_key = path, code, sealing_key
        self._keys = dict[bytes, JobKey]()
        self.epoch = 0
        self._why_shut = ""  # told to peers: no path of this machine in it
        self._latest = 0
        if path.exists():
            self._open(path.read_bytes())

    def __len__(self) -> int:
        """How many keys."""
        return len(self._keys)

    def key(self, job_id: bytes) -> bytes:
        """A job's key. Raises ``SecurityError`` where this enclave has none, or its state was rolled back."""
        self._refuse_if_shut()
        found = self._keys.get(job_id)
        if found is None:
            raise SecurityError(
                f"this enclave has no key for the model {job_id.hex()[:16]}: another one trained it, and has not handed it over",
                remedy="see `hansa tee status`: an enclave that has it must be online and attested, or the members must vote",
                model=job_id.hex()[:16],
            )
        return found.key

    def make(self, contract: Contract) -> bytes:
        """The key of a training job in this enclave, made now if there is none."""
        self._refuse_if_shut()
        job_id = contract.job_id
        if job_id not in self._keys:
            if len(self._keys) >= limits.VAULT_MAX_ENTRIES:
                raise SecurityError(
                    f"this enclave keeps {len(self._keys)} job keys, and no more", remedy="start another enclave's node"
                )
            self._write(self._keys | {job_id: JobKey(os.urandom(KEY_BYTES), contract)})
        return self._keys[job_id].key

    def merge(self, handed: Mapping[bytes, JobKey]) -> int:
        """Take keys that another enclave handed over; how many were new. A job's own key is never replaced: ``SecurityError``.

        State that is shut opens by it: what could not be used is put aside, and what was handed over takes its place.
        """
        if self._why_shut and handed:
            self._put_aside()
        for job_id, key in handed.items():
            if job_id in self._keys and self._keys[job_id].key != key.key:
                raise SecurityError(
                    f"an enclave hands over another key for the job {job_id.hex()[:16]} than this one has",
                    remedy="see which of both holds the model's key, and take the other out of service",
                )
        new = {job_id: key for job_id, key in handed.items() if job_id not in self._keys}
        room = limits.VAULT_MAX_ENTRIES - len(self._keys)
        if new:
            self._write(self._keys | dict(list(new.items())[:room]))
        return min(len(new), room)

    def keys_for(self, code: Code, votes: Iterable[Vote], now: int) -> dict[bytes, JobKey]:
        """What enclaves that run ``code`` may have: all keys where it is this one's own, else those whose voters let them go."""
        self._refuse_if_shut()
        if code == self.code:
            return dict(self._keys)
        return _voted(self._keys, self.code, code, votes, now)

    def acceptable(
        self, handed: Mapping[bytes, JobKey], sender: Code, votes: Iterable[Vote], now: int
    ) -> dict[bytes, JobKey]:
        """Of keys that an enclave proven to run ``sender`` hands over, those to believe.

        Code like this one believes only what it may. Other code is believed where the job's parties voted that its keys come
        here: else it could hand over a key that its friends know, for a model of their making.
        """
        return dict(handed) if sender == self.code else _voted(handed, sender, self.code, votes, now)

    def mark(self) -> bytes:
        """The epoch as it is shown to members, 40 bytes: the number, and a tag that only this enclave can make."""
        number = self.epoch.to_bytes(8, "big")
        return number + blake2b(number, key=self._sealing_key(), digest_size=32, person=b"hansa-epoch").digest()

    def seen(self, mark: bytes) -> None:
        """A member shows a mark of ours: if it is of a later epoch, our state was rolled back, and stays shut from now on."""
        number, tag = mark[:8], mark[8:]
        genuine = blake2b(number, key=self._sealing_key(), digest_size=32, person=b"hansa-epoch").digest()
        epoch = int.from_bytes(number, "big")
        if not hmac.compare_digest(tag, genuine):
            return
        self._latest = max(self._latest, epoch)
        if epoch > self.epoch and not self._why_shut:
            found = f"it is of epoch {self.epoch}, and a member has seen epoch {epoch}"
            self._why_shut = f"this enclave's sealed state was rolled back: {found}"

    @property
    def why_shut(self) -> str:
        """Why the state stays shut; empty where it does not."""
        return self._why_shut

    def _refuse_if_shut(self) -> None:
        if self._why_shut:
            raise SecurityError(
                self._why_shut,
                remedy=f"put the newest HOME/tee/{self._path.name} back, or have another enclave hand its keys over",
                file=str(self._path),
            )

    def _open(self, data: bytes) -> None:
        """Read the file. What is wrong with it shuts the state and nothing else: the node itself goes on."""
        try:
            size = int.from_bytes(data[4:8], "big")
            if data[:4] != MAGIC or size > _MAX_HEADER or len(data) > limits.VAULT_MAX_BYTES + _MAX_HEADER:
                raise PeerMisbehaved("a file that is no vault", remedy="restore it")
            header = data[8 : 8 + size]
            fields = Fields(canonical.decode_untrusted(header, _MAX_HEADER), "a vault's header")
            code = fields.value("code", code_untrusted)
            epoch = fields.number("epoch", 1, limits.MAX_EPOCH)
            fields.end()
        except PeerMisbehaved as error:
            self._why_shut = f"{self._path.name} is no sealed state of an enclave ({error.message})"
            return
        if code != self.code:
            self._why_shut = (
                f"{self._path.name} was sealed by other code ({code.platform} {code.measurement.hex()}) than runs here "
                f"({self.code.platform} {self.code.measurement.hex()})"
            )
            return
        try:
            self._keys = decode_keys_untrusted(unseal(self._sealing_key(), data[8 + size :], header))
            self.epoch = epoch
        except SecurityError:
            self._why_shut = f"{self._path.name} does not open: it was changed, or sealed on another machine"

    def _put_aside(self) -> None:
        if self._path.exists():
            os.replace(self._path, self._path.with_name(f"{self._path.name}.aside-{self.epoch}"))
        self._keys, self.epoch, self._why_shut = {}, max(self.epoch, self._latest), ""

    def _write(self, keys: dict[bytes, JobKey]) -> None:
        """On disk first: a key that is lost with a crash would lose the model that it closed."""
        header = canonical.encode({"code": code_map(self.code), "epoch": self.epoch + 1})
        sealed = seal(self._sealing_key(), encode_keys(keys.values()), header)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._path, MAGIC + len(header).to_bytes(4, "big") + header + sealed)
        self._keys, self.epoch = keys, self.epoch + 1


def _voted(
    keys: Mapping[bytes, JobKey], code_from: Code, code_to: Code, votes: Iterable[Vote], now: int
) -> dict[bytes, JobKey]:
    """Those whose parties let them go from one code to the other."""
    voters = frozenset[bytes]().union(*(key.voters for key in keys.values()))
    willing = approving(votes, code_from, code_to, voters, now)
    return {job_id: key for job_id, key in keys.items() if len(willing & set(key.voters)) >= key.needed}
