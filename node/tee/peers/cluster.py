"""Enclaves without a manager: those of one code hand each other their job keys, so that any of them can go on with any model.

    enclave B  --may I have your job keys? these I have-->      enclave A
    enclave A  --prove your code, on this channel-->            enclave B     (node.tee.attestations)
    enclave A  --of the others that B may have, one message-->  enclave B     (B has had A prove itself as well)
    enclave B  --and what comes after these?-->                 enclave A     (until nothing does)

Both decide alike: the same code may have all; other code only the keys of jobs whose parties voted for it (``vault``). A new key
goes to the others by itself. What B does not take, for want of room or because it has another key, it says it has from then on.
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
from hansa.node.tee.keys.vault_keys import JobKey, decode_keys_untrusted, encode_keys
from hansa.node.tee.peers.attestations import Attestations, AuditLog
from hansa.node.tee.peers.votes import VoteBook
from hansa.protocols.errors import PeerLost
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.statements.binding import Role
from hansa.protocols.wire.consent.contract import Code
from hansa.protocols.wire.messages import KeysReply, KeysRequest, Sealed

log = logging.getLogger(__name__)

ASKED_AT_ONCE, ASKED_PER_S = 256.0, 0.2
"""Requests for keys by one peer: a full vault takes half of them at most, since two messages hold ``HANDED_AT_ONCE`` bytes."""
PROOF_LASTS_S = 60.0
"""How long a proof counts for handing over on the connection that it was given on: it is one answer in many messages."""

Page = tuple[list[JobKey], bool]


@dataclass(frozen=True, slots=True)
class _Proof:
    link: ControlLink
    code: Code
    at: float


class Cluster:
    """One enclave's part; a node without hardware has none, and asks for nothing and hands over nothing."""

    def __init__(
        self,
        mesh: Mesh,
        attestations: Attestations,
        ballots: VoteBook,
        audit: AuditLog,
        peers: Callable[[], list[bytes]],
    ) -> None:
        self._mesh, self._attestations, self._ballots, self._audit = mesh, attestations, ballots, audit
        self._peers = peers
        self._allowances: dict[bytes, TokenBucket] = {}
        self._nursery: trio.Nursery | None = None
        self._proofs: dict[bytes, _Proof] = {}
        self._waiting: dict[bytes, KeysRequest] = {}
        self._answering: set[bytes] = set()
        self._asked_after: dict[bytes, bytes] = {}
        self._declined: set[bytes] = set()
        if attestations.prover is None:
            return
        mesh.handle(KeysRequest, self._asked)
        mesh.handle(KeysReply, self._handed)
        attestations.on_judged(self._judged)
        attestations.job_keys.on_made = self._made
        attestations.job_keys.on_shut = self._shut
        ballots.on_new.append(self._voted)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            if self._attestations.prover is not None:
                await _guarded(trio.to_thread.run_sync, self._attestations.job_keys.open)
                await _guarded(self._found)
            task_status.started()
            await trio.sleep_forever()

    # --- what is asked for -----------------------------------------------------------------------------------------

    async def _judged(self, identity: bytes, judged: Judged) -> None:
        """Whoever is an enclave, too, may have keys for us: it knows, and does not answer if not."""
        if judged.accepted:
            await self._ask(identity, after=b"")

    def _voted(self) -> None:
        """The members let keys go to other code: ours may be it."""
        self._start(self._ask_all)

    async def _found(self) -> None:
        """A sealed file that does not open is on record from the start, and others are asked for what they have."""
        why = self._attestations.job_keys.vault.why_unread
        if why:
            self._shut(why)

    def _shut(self, why: str) -> None:
        log.error("%s", why)
        self._audit.append("sealed-state-refused", {"reason": why})
        self._start(self._ask_all)

    async def _ask_all(self) -> None:
        for identity in list(self._attestations.standing):
            judged = self._attestations.accepted(identity)
            if judged is not None and self._mesh.online(identity):
                await self._judged(identity, judged)

    async def _ask(self, identity: bytes, *, after: bytes) -> None:
        keys = self._attestations.job_keys
        if keys.mark():  # else this hardware seals nothing: such a node deals, and keeps no models
            held = [] if keys.vault.why_shut else [*keys.vault.digests, *self._declined]
            self._asked_after[identity] = after
            with suppress(PeerLost):  # it is asked again when it is back
                await self._mesh.send(identity, KeysRequest(after, b"".join(held[: limits.KEYS_HELD_MAX])))

    async def _handed(self, sender: bytes, handed: KeysReply) -> None:
        link = self._mesh.link(sender)
        if self._attestations.accepted(sender) is None:
            return  # not proven on this connection: it is asked, and will be believed, once it is
        keys = await trio.to_thread.run_sync(decode_keys_untrusted, handed.keys)
        judged = self._attestations.accepted(sender)
        if judged is None or self._mesh.link(sender) is not link:
            return  # what came over a connection that is gone is nobody's
        code = Code(judged.platform, judged.code)
        try:
            vault = self._attestations.job_keys.vault
            before = vault.epoch
            now = int(time.time())
            merged = vault.merge(vault.acceptable(keys, code, self._ballots.all(), now), own_code=code == vault.code)
        except HansaError as error:
            log.warning("keys that were handed over are not taken: %s", error.message)
            return
        self._report(sender, code, keys, merged)
        if vault.epoch != before:
            await self._mesh.broadcast(self._peers(), Sealed(vault.mark()))
        last = max(keys, default=b"")
        if handed.more and last > self._asked_after.get(sender, b""):  # whoever does not get on is not asked again
            await self._ask(sender, after=last)

    def _report(self, sender: bytes, code: Code, keys: Mapping[bytes, JobKey], merged: Merged) -> None:
        """What does not fit is on record once: it is not handed over again, but for a restart."""
        about = {"peer": self._attestations.name_of(sender), "code": str(code)}
        if merged.new:
            self._audit.append("keys-received", {**about, "keys": merged.new})
        for kind, jobs in (("keys-conflict", merged.conflicts), ("keys-without-room", merged.surplus)):
            room = limits.KEYS_HELD_MAX - limits.VAULT_MAX_ENTRIES - len(self._declined)
            fresh = [job for job in jobs if job not in keys or keys[job].digest not in self._declined][:room]
            self._declined |= {keys[job].digest for job in fresh if job in keys}
            if fresh:
                self._audit.append(kind, {**about, "jobs": [job.hex()[:16] for job in fresh]})

    # --- what is handed over ---------------------------------------------------------------------------------------

    def _made(self, job_id: bytes) -> None:
        """A new key: the others of our code get it before this enclave may die."""
        self._start(self._spread, job_id)

    async def _spread(self, job_id: bytes) -> None:
        """Everybody remembers the new epoch, and enclaves that may have the key get it."""
        await self._mesh.broadcast(self._peers(), Sealed(self._attestations.job_keys.mark()))
        for identity in self._attestations.enclaves():
            if self._mesh.online(identity):
                await _guarded(
                    self._hand_over, identity, lambda keys: ([keys[job_id]] if job_id in keys else [], False)
                )

    async def _asked(self, sender: bytes, asked: KeysRequest) -> None:
        allowance = self._allowances.setdefault(sender, TokenBucket(ASKED_AT_ONCE, ASKED_PER_S))
        if self._nursery is not None and allowance.take_if_there():
            self._waiting[sender] = asked  # the latest counts: it says what the sender has now
            if sender not in self._answering:
                self._answering.add(sender)
                self._start(self._answer, sender)

    async def _answer(self, sender: bytes) -> None:
        try:
            while (asked := self._waiting.pop(sender, None)) is not None:
                await self._hand_over(sender, functools.partial(page, after=asked.after, held=asked.held))
        finally:
            self._answering.discard(sender)

    async def _hand_over(self, identity: bytes, choose: Callable[[Mapping[bytes, JobKey]], Page]) -> None:
        """Of what a peer's proven code may have, what is chosen: also where its state was rolled back, which mends it."""
        code = await self._proven(identity)
        if code is None:
            return
        keys = self._attestations.job_keys.vault.keys_for(code, self._ballots.all(), int(time.time()))
        chosen, more = choose(keys)
        if chosen:
            name = self._attestations.name_of(identity)
            self._audit.append("keys-handed-over", {"peer": name, "code": str(code), "keys": len(chosen)})
            await self._mesh.send(identity, KeysReply(encode_keys(chosen), more))

    async def _proven(self, identity: bytes) -> Code | None:
        """What a peer has proven to run on the connection that stands now, a moment ago at most; None where it is refused."""
        link, known = self._mesh.link(identity), self._proofs.get(identity)
        if link is None or not link.hello.hardware:
            return None
        if known is None or known.link is not link or trio.current_time() - known.at > PROOF_LASTS_S:
            judged, _ = await self._attestations.proven(identity, Role.PEER)
            if not judged.accepted or self._mesh.link(identity) is not link:
                return None
            known = self._proofs[identity] = _Proof(link, Code(judged.platform, judged.code), trio.current_time())
        return known.code

    def _start(self, act: Callable[..., Awaitable[None]], *about: Any) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(_guarded, act, *about)


async def _guarded(act: Callable[..., Awaitable[None]], *about: Any) -> None:
    """One enclave's fault, or one of this machine, ends neither the others' business nor the daemon."""
    try:
        await act(*about)
    except HansaError as error:
        log.warning("between enclaves: %s", error.message)
    except Exception:
        log.exception("between enclaves")


def page(keys: Mapping[bytes, JobKey], *, after: bytes, held: bytes) -> Page:
    """The next keys to hand over, by job id, in a message of a bounded size; and whether there are more."""
    has = {held[at : at + limits.KEY_DIGEST_BYTES] for at in range(0, len(held), limits.KEY_DIGEST_BYTES)}
    chosen, size = list[JobKey](), 0
    for job_id in sorted(job_id for job_id, key in keys.items() if job_id > after and key.digest not in has):
        key = keys[job_id]
        if chosen and size + key.size > limits.HANDED_AT_ONCE:
            return chosen, True
        chosen.append(key)
        size += key.size
    return chosen, False
