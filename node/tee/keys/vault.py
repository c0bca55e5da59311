"""The vault: an enclave's model keys in one file, sealed to its measurement (docs/tee.md, sealing).

    4 bytes magic | 4 bytes length | header, canonical: code, epoch, node, state | keys, sealed with the header as associated data

A model key closes and opens the model that one job trained.

Rollback: every write raises the epoch. A host can put an older file back. Members remember the latest epoch token that this
enclave has shown them over its attested channel, and show it when they ask the enclave to prove itself. A vault older than a
token of its own, or of another state of the same epoch, was rolled back. It is *shut* then: it gives out no key, except to
enclaves of its own code. Members refuse an enclave that shows an older token (``peers.epochs``).
"""

from __future__ import annotations

import functools
import hmac
import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hansa.config.errors import HansaError
from hansa.node.contracts.model_terms import incompatibility
from hansa.node.sealing import seal, unseal, write_whole
from hansa.node.tee.keys.epoch_tokens import NO_STATE, STATE_BYTES, EpochToken, lineage_of
from hansa.node.tee.keys.vault_keys import KEY_BYTES, ModelKey, Room, decode_keys_untrusted, encode_keys, voted
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.attestation.platforms import Code, code_untrusted
from hansa.protocols.wire.attestation.statements.votes import Vote
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.declared import plain
from hansa.protocols.wire.fields import Fields

MAGIC = b"HVT1"
_MAX_HEADER = 1024


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of keys that were handed over: how many are ``new``, and which jobs' keys were not taken.

    ``conflicts`` are jobs that have another key here, ``surplus`` jobs for whose keys there is no room.
    """

    new: int
    conflicts: tuple[bytes, ...]
    surplus: tuple[bytes, ...]


class Vault:
    """The model keys of ``code`` at the node ``identity``; ``sealing_key`` gives the key that only this code has on this machine.

    Blocking: opening takes a millisecond a key, writing a few milliseconds a megabyte.
    """

    def __init__(self, path: Path, code: Code, identity: bytes, sealing_key: Callable[[], bytes]) -> None:
        self._path, self.code, self._identity = path, code, identity
        self._sealing_key = functools.cache(sealing_key)
        self._keys = dict[bytes, ModelKey]()
        self.epoch, self._state = 0, NO_STATE
        self._why_shut = ""  # peers read it: it holds no path of this machine
        self.why_unread = ""
        """Why the file that was found is not read. It stays in its place until the first write puts it aside."""
        self._latest_seen = 0
        if path.exists():
            self._open(path.read_bytes())

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._keys)

    @property
    def digests(self) -> list[bytes]:
        """The digests of keys that need not be handed over again: none while the vault is shut, since any of them mends it."""
        return [] if self._why_shut else [key.digest for key in self._keys.values()]

    def key(self, contract: Contract) -> bytes:
        """The key of the model that a contract uses.

        Raises ``SecurityError`` where this enclave has none, where the vault is shut, and where the contract has other parties or
        terms than the one that trained the model: nobody else's signatures open it.
        """
        self._refuse_if_shut()
        model = contract.model or b""
        found = self._keys.get(model)
        if found is None:
            raise SecurityError(
                f"this enclave has no key for the model {model.hex()[:16]}: another one trained it, and has not handed it over",
                remedy="see `hansa tee status`: an enclave that has it must be online and attested, or the members must vote",
                model=model.hex()[:16],
            )
        why = incompatibility(found.contract, contract)
        if why is not None:
            raise SecurityError(
                f"the model {model.hex()[:16]} stays shut: {why}",
                remedy="use it with `hansa model predict` or `release`, at one of its parties",
                model=model.hex()[:16],
            )
        return found.key

    def make(self, contract: Contract) -> bytes:
        """The key of a training job in this enclave, made now or at an earlier attempt. Raises as ``check_makes``."""
        known = self._made(contract)
        if known is None:
            known = ModelKey(os.urandom(KEY_BYTES), contract, made=True)
            self._write(self._keys | {contract.job_id: known})
        return known.key

    def check_makes(self, contract: Contract) -> None:
        """Raise ``SecurityError`` where ``make`` would: the vault is shut, it has no room, or the job's key was handed over.

        A contract names the enclave that trains under it, so no other enclave makes the job's key. A key for the job that was
        handed over is one of two. This enclave made it, lost it and got it back; or other code planted it, by as few votes as the
        contract asks for, to know the key that will close the model. The vault cannot tell which. So a key that was handed over
        opens the models that it closed, and closes no new one; the job can be submitted anew.
        """
        self._made(contract)

    def merge(self, handed: Mapping[bytes, ModelKey], *, own_code: bool) -> Merged:
        """Take keys that another enclave handed over, as far as there is room. A job's key is never replaced.

        Keys from an enclave of this ``own_code`` mend a vault that is shut: the file is put aside, its keys are united with those
        handed over, and the epoch is raised above every one that members have seen. Raises ``SecurityError`` where the vault is
        shut and these keys do not mend it.
        """
        mends = bool(self._why_shut and handed and own_code)
        if handed and not mends:
            self._refuse_if_shut()
        foreign = {job_id: replace(key, made=False) for job_id, key in handed.items()}
        # the first of two keys of a job is kept: a vault that is mended may be old, the keys handed over are not known to be
        parts = (foreign, self._keys) if mends else (self._keys, foreign)
        keys, room, conflicts, surplus = dict[bytes, ModelKey](), Room(), list[bytes](), list[bytes]()
        for job_id, key in itertools.chain.from_iterable(part.items() for part in parts):
            if job_id in keys:
                if not hmac.compare_digest(keys[job_id].key, key.key):
                    conflicts.append(job_id)
                elif key.made:
                    keys[job_id] = key
            elif room.take(key):
                keys[job_id] = key
            else:
                surplus.append(job_id)
        new = len(keys.keys() - self._keys.keys())
        if mends:
            self._put_aside()
        if mends or new:
            self._write(keys)
        return Merged(new, tuple(conflicts), tuple(surplus))

    def keys_for(self, code: Code, votes: Iterable[Vote], now: int) -> dict[bytes, ModelKey]:
        """The keys that enclaves of ``code`` may have: all where it is this enclave's own, else those whose parties voted for it.

        Enclaves of its own code get them also from a vault that is shut, so that two which both lost their newest state mend
        each other.
        """
        if code == self.code:
            return dict(self._keys)
        self._refuse_if_shut()
        return voted(self._keys, self.code, code, votes, now)

    def acceptable(
        self, handed: Mapping[bytes, ModelKey], sender: Code, votes: Iterable[Vote], now: int
    ) -> dict[bytes, ModelKey]:
        """The keys to believe, of those ``handed`` over by an enclave proven to run ``sender``.

        This enclave's own code believes by these same rules, so all that it hands over is believed. Other code is believed for
        jobs whose parties voted that its keys come here: without votes it could hand over a key that its makers know.
        """
        return dict(handed) if sender == self.code else voted(handed, sender, self.code, votes, now)

    def epoch_token(self) -> bytes:
        """The ``EpochToken`` of the present epoch, encoded, to be shown to members."""
        return EpochToken.make(self._sealing_key(), self._lineage, self.epoch, self._state).encode()

    def compare(self, seen: bytes) -> None:
        """Compare the vault with the epoch tokens that a member has seen of it; shut it where they prove a rollback.

        Tokens of another lineage, and those that this enclave has not made, prove nothing. Raises ``PeerMisbehaved`` for bytes
        that are no tokens.
        """
        for token in EpochToken.decode_all_untrusted(seen):
            try:
                token.check(self._sealing_key())
            except SecurityError:
                continue
            if token.lineage == self._lineage:
                self._compare(token)

    def _compare(self, seen: EpochToken) -> None:
        self._latest_seen = max(self._latest_seen, seen.epoch)
        found = ""
        if seen.epoch > self.epoch:
            found = f"it is of epoch {self.epoch}, and a member has seen epoch {seen.epoch}"
        elif seen.epoch == self.epoch and seen.state != self._state:
            found = f"a member has seen another state of its epoch {self.epoch}"
        if found and not self._why_shut:
            self._why_shut = f"this enclave's sealed state was rolled back: {found}"

    @property
    def why_shut(self) -> str:
        """Why the vault is shut; empty where it is not."""
        return self._why_shut

    @functools.cached_property
    def _lineage(self) -> bytes:
        return lineage_of(self._sealing_key(), self._identity, self.code)

    def _refuse_if_shut(self) -> None:
        if self._why_shut:
            raise SecurityError(
                self._why_shut,
                remedy=f"put the newest HOME/tee/{self._path.name} back, or have another enclave hand its keys over",
                file=str(self._path),
            )

    def _made(self, contract: Contract) -> ModelKey | None:
        """The key that was made here for a job; None where it can be made. Raises as ``check_makes``."""
        self._refuse_if_shut()
        known = self._keys.get(contract.job_id)
        if known is not None and not known.made:
            raise SecurityError(
                "this job's key was handed over by another enclave: no model is closed with it here",
                remedy="submit the job anew",
            )
        room = Room()
        wanted = ModelKey(bytes(KEY_BYTES), contract)
        if known is None and not all(room.take(key) for key in (*self._keys.values(), wanted)):
            raise SecurityError(
                f"this enclave keeps {len(self)} model keys, and has no room for another of these parties",
                remedy="name an enclave of another cluster; keys are never thrown away",
            )
        return known

    def _open(self, data: bytes) -> None:
        """Read the file. One that is broken, or of other code, another node or another machine, is left alone.

        The vault is then empty, at epoch 0. If that hides later state of this lineage, members have its tokens and show them.
        """
        try:
            size = int.from_bytes(data[4:8], "big")
            if data[:4] != MAGIC or size > _MAX_HEADER or len(data) > limits.VAULT_MAX_BYTES + _MAX_HEADER:
                raise PeerMisbehaved("a file that is no vault", remedy="restore it")
            header = data[8 : 8 + size]
            fields = Fields(canonical.decode_untrusted(header, _MAX_HEADER), "a vault's header")
            code = fields.value("code", code_untrusted)
            epoch = fields.number("epoch", 1, limits.MAX_EPOCH)
            identity, state = fields.octets("node", 32), fields.octets("state", STATE_BYTES)
            fields.end()
        except PeerMisbehaved as error:
            self.why_unread = f"{self._path.name} is no sealed state of an enclave ({error.message})"
            return
        if code != self.code:
            self.why_unread = f"{self._path.name} was sealed by other code ({code}) than runs here ({self.code})"
            return
        if identity != self._identity:
            self.why_unread = f"{self._path.name} is another node's"
            return
        key = self._sealing_key()
        try:
            self._keys = decode_keys_untrusted(unseal(key, data[8 + size :], header))
            self.epoch, self._state = epoch, state
        except HansaError:
            self.why_unread = f"{self._path.name} does not open: it was changed, or sealed on another machine"

    def _put_aside(self) -> None:
        """Give the file a free name, so that no file put aside before is overwritten."""
        names = (self._path.with_name(f"{self._path.name}.aside-{number}") for number in itertools.count(1))
        if self._path.exists():
            os.replace(self._path, next(name for name in names if not name.exists()))

    def _write(self, keys: dict[bytes, ModelKey]) -> None:
        if self.why_unread:
            self._put_aside()
            self.why_unread = ""
        epoch, state = max(self.epoch, self._latest_seen) + 1, os.urandom(STATE_BYTES)
        header = canonical.encode({"code": plain(self.code), "epoch": epoch, "node": self._identity, "state": state})
        sealed = seal(self._sealing_key(), encode_keys(keys.values()), header)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._path, MAGIC + len(header).to_bytes(4, "big") + header + sealed)
        # only now, with the keys on disk, may they be used: a crash must not lose the key that closed a model
        self._keys, self.epoch, self._state, self._why_shut = keys, epoch, state, ""
