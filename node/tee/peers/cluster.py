"""A cluster of enclaves without a manager: they hand each other their model keys, so that any of them can use any model.

    enclave B  --KeysRequest: the keys that I hold-->        enclave A
    enclave A  --AttestRequest-->                            enclave B    (B proves its code on this connection)
    enclave A  --KeysReply: one page of the other keys-->    enclave B    (B believes it if A has proven itself, too)
    enclave B  --KeysRequest: after the last of these-->     enclave A    (until there is no further page)

Sender and receiver decide by the same rules (``keys.vault``). Enclaves of the same code may have all keys. Other code may have
the keys of jobs whose parties voted for it. A new key is sent to the other enclaves at once. A key that B does not take, for lack
of room or because it holds another one for the job, is listed in B's requests as held from then on.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import trio

from hansa.config.errors import HansaError
from hansa.node.net.control_link import ControlLink
from hansa.node.net.mesh import Mesh
from hansa.node.net.token_bucket import TokenBucket
from hansa.node.tee.evidence.judge import Judged
from hansa.node.tee.keys.vault import Merged
from hansa.node.tee.keys.vault_keys import ModelKey, decode_keys_untrusted, encode_keys
from hansa.node.tee.peers.attestations import Attestations, AuditLog
from hansa.node.tee.peers.votes import VoteBook
from hansa.protocols.errors import PeerLost
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import Role
from hansa.protocols.wire.messages import KeysReply, KeysRequest, Sealed

log = logging.getLogger(__name__)

ASKED_AT_ONCE, ASKED_PER_S = 256.0, 0.2
"""Requests for keys by one peer. A full vault takes at most half of those at once: two pages hold ``HANDED_AT_ONCE`` bytes."""
PROOF_LASTS_S = 60.0
"""How long one proof serves for pages of keys, on the connection that it was given on."""

Page = tuple[list[ModelKey], bool]
"""Keys for one message, and whether there are more."""


@dataclass(frozen=True, slots=True)
class _ProvenCode:
    """The code that a peer has proven to run at the other end of a link, and when."""

    link: ControlLink
    code: Code
    at: float


class Cluster:
    """One enclave's part in the cluster. A node without hardware asks for no keys and hands none over."""

    def __init__(
        self,
        mesh: Mesh,
        attestations: Attestations,
        votes: VoteBook,
        audit: AuditLog,
        peers: Callable[[], list[bytes]],
    ) -> None:
        self._mesh, self._attestations, self._votes, self._audit = mesh, attestations, votes, audit
        self._peers = peers
        self._nursery: trio.Nursery | None = None
        self._buckets: dict[bytes, TokenBucket] = {}
        self._proven: dict[bytes, _ProvenCode] = {}
        self._pending: dict[bytes, KeysRequest] = {}
        """The latest request of each peer that is not answered yet."""
        self._answering: set[bytes] = set()
        """Peers whose requests are being answered."""
        self._asked_after: dict[bytes, bytes] = {}
        """The job id after which this enclave asked each peer last."""
        self._declined: set[bytes] = set()
        """Digests of keys that were handed over and not taken."""
        if attestations.prover is None:
            return
        mesh.handle(KeysRequest, self._queue_request)
        mesh.handle(KeysReply, self._receive)
        attestations.on_judged(self._peer_judged)
        attestations.model_keys.on_made = self._key_made
        attestations.model_keys.on_shut = self._vault_shut
        votes.on_new.append(self._voted)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the vault, then ask for and hand over keys until cancelled."""
        async with trio.open_nursery() as self._nursery:
            if self._attestations.prover is not None:
                await _guarded(trio.to_thread.run_sync, self._attestations.model_keys.open)
                await _guarded(self._report_unread)
            task_status.started()
            await trio.sleep_forever()

    # --- keys asked for and received -----------------------------------------------------------------------------

    async def _peer_judged(self, identity: bytes, judged: Judged) -> None:
        """Ask every accepted peer for keys: one that has none for us does not answer."""
        if judged.accepted:
            await self._ask(identity, after=b"")

    def _voted(self) -> None:
        """New votes may let keys go to the code of this enclave."""
        self._start(self._ask_all)

    async def _report_unread(self) -> None:
        why = self._attestations.model_keys.vault.why_unread
        if why:
            self._vault_shut(why)

    def _vault_shut(self, why: str) -> None:
        """Record that the vault cannot be used, and ask the others for the keys that mend it."""
        log.error("%s", why)
        self._audit.append("sealed-state-refused", {"reason": why})
        self._start(self._ask_all)

    async def _ask_all(self) -> None:
        for identity in list(self._attestations.standing):
            judged = self._attestations.accepted(identity)
            if judged is not None and self._mesh.online(identity):
                await self._ask(identity, after=b"")

    async def _ask(self, identity: bytes, *, after: bytes) -> None:
        keys = self._attestations.model_keys
        if keys.epoch_token():  # else the hardware seals nothing: such a node can deal, and keeps no models
            held = [] if keys.vault.why_shut else [*keys.vault.digests, *self._declined]
            self._asked_after[identity] = after
            with suppress(PeerLost):  # the peer is judged, and so asked, again when it is back
                await self._mesh.send(identity, KeysRequest(after, b"".join(held[: limits.KEYS_HELD_MAX])))

    async def _receive(self, sender: bytes, handed: KeysReply) -> None:
        link = self._mesh.link(sender)
        if self._attestations.accepted(sender) is None:
            return  # it has proven nothing on this connection; it is asked again once it has
        keys = await trio.to_thread.run_sync(decode_keys_untrusted, handed.keys)
        judged = self._attestations.accepted(sender)
        if judged is None or self._mesh.link(sender) is not link:
            return  # the connection was replaced: who sent these keys over it is not who is judged now
        code = Code(judged.platform, judged.code)
        try:
            vault = self._attestations.model_keys.vault
            before = vault.epoch
            now = int(time.time())
            merged = vault.merge(vault.acceptable(keys, code, self._votes.all(), now), own_code=code == vault.code)
        except HansaError as error:
            log.warning("keys that were handed over are not taken: %s", error.message)
            return
        self._report(sender, code, keys, merged)
        if vault.epoch != before:
            await self._mesh.broadcast(self._peers(), Sealed(vault.epoch_token()))
        last = max(keys, default=b"")
        if handed.more and last > self._asked_after.get(
            sender, b""
        ):  # pages must advance, or this would go on for ever
            await self._ask(sender, after=last)

    def _report(self, sender: bytes, code: Code, keys: Mapping[bytes, ModelKey], merged: Merged) -> None:
        """Record what was taken, and once each key that was not; the latter counts as held, so that it is not sent again."""
        about = {"peer": self._attestations.name_of(sender), "code": str(code)}
        if merged.new:
            self._audit.append("keys-received", {**about, "keys": merged.new})
        for kind, jobs in (("keys-conflict", merged.conflicts), ("keys-without-room", merged.surplus)):
            room = limits.KEYS_HELD_MAX - limits.VAULT_MAX_ENTRIES - len(self._declined)
            fresh = [job for job in jobs if job not in keys or keys[job].digest not in self._declined][:room]
            self._declined |= {keys[job].digest for job in fresh if job in keys}
            if fresh:
                self._audit.append(kind, {**about, "jobs": [job.hex()[:16] for job in fresh]})

    # --- keys handed over ----------------------------------------------------------------------------------------

    def _key_made(self, job_id: bytes) -> None:
        """Send a new key to the other enclaves at once: this one may die."""
        self._start(self._spread, job_id)

    async def _spread(self, job_id: bytes) -> None:
        """Show all members the new epoch, and send the key to the enclaves that may have it."""
        await self._mesh.broadcast(self._peers(), Sealed(self._attestations.model_keys.epoch_token()))
        for identity in self._attestations.enclaves():
            if self._mesh.online(identity):
                await _guarded(
                    self._hand_over, identity, lambda keys: ([keys[job_id]] if job_id in keys else [], False)
                )

    async def _queue_request(self, sender: bytes, asked: KeysRequest) -> None:
        bucket = self._buckets.setdefault(sender, TokenBucket(ASKED_AT_ONCE, ASKED_PER_S))
        if self._nursery is not None and bucket.take_if_there():
            self._pending[sender] = asked  # a later request replaces an earlier one: it says what the sender holds now
            if sender not in self._answering:
                self._answering.add(sender)
                self._start(self._answer, sender)

    async def _answer(self, sender: bytes) -> None:
        try:
            while (asked := self._pending.pop(sender, None)) is not None:
                await self._hand_over(sender, functools.partial(page, after=asked.after, held=asked.held))
        finally:
            self._answering.discard(sender)

    async def _hand_over(self, identity: bytes, choose: Callable[[Mapping[bytes, ModelKey]], Page]) -> None:
        """Send the keys that ``choose`` picks from those that the peer's proven code may have.

        A peer whose sealed state was rolled back gets them, too: they mend it.
        """
        code = await self._proven_code(identity)
        if code is None:
            return
        keys = self._attestations.model_keys.vault.keys_for(code, self._votes.all(), int(time.time()))
        chosen, more = choose(keys)
        if chosen:
            name = self._attestations.name_of(identity)
            self._audit.append("keys-handed-over", {"peer": name, "code": str(code), "keys": len(chosen)})
            await self._mesh.send(identity, KeysReply(encode_keys(chosen), more))

    async def _proven_code(self, identity: bytes) -> Code | None:
        """The code that a peer proves on the connection that stands now, or proved ``PROOF_LASTS_S`` ago; None where refused."""
        link, known = self._mesh.link(identity), self._proven.get(identity)
        if link is None or not link.hello.hardware:
            return None
        if known is None or known.link is not link or trio.current_time() - known.at > PROOF_LASTS_S:
            judged, _ = await self._attestations.proven(identity, Role.PEER)
            if not judged.accepted or self._mesh.link(identity) is not link:
                return None
            known = self._proven[identity] = _ProvenCode(link, Code(judged.platform, judged.code), trio.current_time())
        return known.code

    def _start(self, act: Callable[..., Awaitable[None]], *about: Any) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(_guarded, act, *about)


async def _guarded(act: Callable[..., Awaitable[None]], *about: Any) -> None:
    """Run and log what goes wrong: one enclave's fault, or this machine's, must not end the daemon."""
    try:
        await act(*about)
    except HansaError as error:
        log.warning("between enclaves: %s", error.message)
    except Exception:
        log.exception("between enclaves")


def page(keys: Mapping[bytes, ModelKey], *, after: bytes, held: bytes) -> Page:
    """The keys after job id ``after`` that are not ``held``, in order, as many as fit into one message."""
    has = {held[at : at + limits.KEY_DIGEST_BYTES] for at in range(0, len(held), limits.KEY_DIGEST_BYTES)}
    chosen, size = list[ModelKey](), 0
    for job_id in sorted(job_id for job_id, key in keys.items() if job_id > after and key.digest not in has):
        key = keys[job_id]
        if chosen and size + key.size > limits.HANDED_AT_ONCE:
            return chosen, True
        chosen.append(key)
        size += key.size
    return chosen, False
