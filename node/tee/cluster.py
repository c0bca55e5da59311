"""Enclaves without a manager: those of one code hand each other their job keys, so that any of them can go on with any model.

    enclave B  --may I have your job keys?-->  enclave A
    enclave A  --prove your code, on this channel-->  enclave B     (node.tee.attestations)
    enclave A  --the keys that B's code may have-->  enclave B      (B has had A prove itself as well)

Both decide alike: the same code may have all; other code only the keys of jobs whose parties voted for it (``vault``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import trio

from hansa.config.errors import HansaError
from hansa.node.allowance import Allowance
from hansa.node.mesh import Mesh
from hansa.node.tee.attestations import Attestations, AuditLog
from hansa.node.tee.ballots import Ballots
from hansa.node.tee.judge import Judged
from hansa.node.tee.vault import JobKey, decode_keys_untrusted, encode_keys
from hansa.protocols.errors import PeerLost
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.binding import Role
from hansa.protocols.wire.contract import Code
from hansa.protocols.wire.messages import JobKeys, KeysRequest, Sealed

log = logging.getLogger(__name__)

ASKED_AT_ONCE, ASKED_PER_S = 8.0, 0.1
"""Requests for keys by one peer: each has it prove itself."""


class Cluster:
    """One enclave's part; a node without hardware has none, and asks for nothing and hands over nothing."""

    def __init__(
        self,
        mesh: Mesh,
        attestations: Attestations,
        ballots: Ballots,
        audit: AuditLog,
        peers: Callable[[], list[bytes]],
    ) -> None:
        self._mesh, self._attestations, self._ballots, self._audit = mesh, attestations, ballots, audit
        self._peers = peers
        self._allowances: dict[bytes, Allowance] = {}
        self._nursery: trio.Nursery | None = None
        self._requests = 0
        if attestations.prover is None:
            return
        mesh.handle(KeysRequest, self._asked)
        mesh.handle(JobKeys, self._handed)
        attestations.on_judged(self._judged)
        attestations.job_keys.on_made = self._made
        attestations.job_keys.on_shut = self._shut
        ballots.on_new.append(self._voted)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def _judged(self, identity: bytes, judged: Judged) -> None:
        """Whoever is an enclave, too, may have keys for us: it knows, and does not answer if not."""
        if judged.accepted:
            self._requests += 1
            with suppress(PeerLost):  # it is asked again when it is back
                await self._mesh.send(identity, KeysRequest(self._requests))

    def _voted(self) -> None:
        """The members let keys go to other code: ours may be it."""
        if self._nursery is not None:
            self._nursery.start_soon(self._ask_all)

    async def _ask_all(self) -> None:
        for identity in list(self._attestations.standing):
            judged = self._attestations.accepted(identity)
            if judged is not None and self._mesh.online(identity):
                await self._judged(identity, judged)

    def _made(self) -> None:
        """A new key: the others of our code get it before this enclave may die."""
        if self._nursery is not None:
            self._nursery.start_soon(self._spread)

    def _shut(self, why: str) -> None:
        log.error("%s", why)
        self._audit.append("sealed-state-refused", {"reason": why})

    async def _spread(self) -> None:
        """Everybody remembers the new epoch, and enclaves that may have the key get it."""
        await self._mesh.broadcast(self._peers(), Sealed(self._attestations.job_keys.mark()))
        for identity in self._attestations.enclaves():
            if self._mesh.online(identity):
                await self._hand_over(identity)

    async def _asked(self, sender: bytes, asked: KeysRequest) -> None:
        allowance = self._allowances.setdefault(sender, Allowance(ASKED_AT_ONCE, ASKED_PER_S))
        if self._nursery is not None and allowance.take_if_there():
            self._nursery.start_soon(self._hand_over, sender)

    async def _hand_over(self, identity: bytes) -> None:
        """What a peer's code, proven now on this very connection, may have: also where its state was rolled back, which mends
        it."""
        link = self._mesh.link(identity)
        if link is None or not link.hello.hardware:
            return
        try:
            judged, _ = await self._attestations.proven(identity, Role.PEER)
            if not judged.accepted or self._mesh.link(identity) is not link:
                return
            code, name = Code(judged.platform, judged.code), self._attestations.name_of(identity)
            vault = self._attestations.job_keys.vault
            keys = vault.keys_for(code, self._ballots.all(), int(time.time()))
            if not keys:
                return
            self._audit.append("keys-handed-over", {"peer": name, "code": _text(code), "keys": len(keys)})
            for some in _batches(keys.values()):
                await self._mesh.send(identity, JobKeys(some))
        except HansaError as error:
            log.warning("no keys were handed over: %s", error.message)
        except Exception:  # the daemon goes on
            log.exception("handing keys over")

    async def _handed(self, sender: bytes, handed: JobKeys) -> None:
        judged = self._attestations.accepted(sender)
        if judged is None:
            return  # not proven on this connection: it is asked, and will be believed, once it is
        code = Code(judged.platform, judged.code)
        keys = decode_keys_untrusted(handed.keys)
        try:
            vault = self._attestations.job_keys.vault
            before = vault.epoch
            new = vault.merge(vault.acceptable(keys, code, self._ballots.all(), int(time.time())))
        except HansaError as error:
            log.warning("keys that were handed over are not taken: %s", error.message)
            return
        if new:
            name = self._attestations.name_of(sender)
            self._audit.append("keys-received", {"peer": name, "code": _text(code), "keys": new})
        if vault.epoch != before:
            await self._mesh.broadcast(self._peers(), Sealed(vault.mark()))


def _batches(keys: Iterable[JobKey]) -> list[bytes]:
    """Encoded in messages of a bounded size."""
    out, batch, size = [], list[JobKey](), 0
    for key in keys:
        length = len(key.contract.encode())
        if batch and size + length > limits.HANDED_AT_ONCE:
            out.append(encode_keys(batch))
            batch, size = [], 0
        batch.append(key)
        size += length
    return [*out, encode_keys(batch)] if batch else out


def _text(code: Code) -> str:
    return f"{code.platform} {code.measurement.hex()}"
