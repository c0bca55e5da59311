"""One-time invitations: make a code, meet the newcomer who holds it, and the newcomer's side of it.

The meeting is a Noise XXpsk0 handshake whose psk comes from the code, so both prove that they hold it; their signed
peer records travel encrypted in it. The inviter burns the code before it answers, whatever happens then.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

import trio
from trio.socket import SocketType

from hansa.node.errors import UsageError
from hansa.node.identity import Identity
from hansa.node.net.connection import ChannelClosed, Connection, HandshakeParams, Purpose, accept
from hansa.node.net.dialler import dial_any
from hansa.node.net.peers import Peer, PeerBook
from hansa.node.store import Store
from hansa.protocols.errors import ConsentError, PeerError, PeerLost, PeerMisbehaved, PeerTimeout, SecurityError
from hansa.protocols.wire import messages
from hansa.protocols.wire.channel.preamble import Preamble
from hansa.protocols.wire.invitation import SECRET_BYTES, Invitation
from hansa.protocols.wire.limits import CONTROL_MAX_BYTES, MAX_RECORDS
from hansa.protocols.wire.messages import Records
from hansa.protocols.wire.record import PeerRecord

logger = logging.getLogger(__name__)

MAX_OPEN = 64
MAX_TTL_S = 7 * 24 * 3600
MEETING_S = 10.0
MAX_MEETINGS = 8
"""Newcomers met at once: a code's token travels in clear, so others than its holder may begin one."""


class Invites:
    """Open invitations of one node.

    ``pinned`` is told of whom a meeting pinned; ``learn`` gets the records the inviter passes on, and its name.
    """

    def __init__(
        self,
        store: Store,
        identity: Identity,
        book: PeerBook,
        *,
        suites: tuple[str, ...],
        record: Callable[[], PeerRecord],
        pinned: Callable[[Peer], None],
        learn: Callable[[tuple[bytes, ...], str], None],
    ) -> None:
        self._store, self._identity, self._book = store, identity, book
        self._meetings = trio.CapacityLimiter(MAX_MEETINGS)
        self._suites, self._record, self._pinned, self._learn = suites, record, pinned, learn

    def create(self, ttl_s: int) -> Invitation:
        """A fresh one-time invitation to this node."""
        if not 0 < ttl_s <= MAX_TTL_S:
            raise UsageError("an invitation lasts from 1 second to 7 days", remedy="give --ttl like 1h")
        now = int(time.time())
        self._store.write("DELETE FROM invites WHERE expires <= ?", now)
        count = self._store.row("SELECT COUNT(*) FROM invites")
        if count is not None and count[0] >= MAX_OPEN:
            raise UsageError(f"{MAX_OPEN} invitations are open already", remedy="wait until some expire")
        addresses = self._record().addresses
        if not addresses:
            raise UsageError(
                "this node listens on every interface and does not say where newcomers reach it",
                remedy='set listen.advertise = ["host:port"] in hansa.toml and restart',
            )
        invitation = Invitation(
            self._identity.public, self._identity.static.public, addresses[0], now + ttl_s, os.urandom(SECRET_BYTES)
        )
        self._store.write(
            "INSERT INTO invites VALUES (?, ?, ?)", invitation.token, invitation.secret, invitation.expires
        )
        return invitation

    async def accept(self, sock: SocketType, preamble: Preamble) -> None:
        """Meet whoever shows an open invitation's token."""
        row = self._store.row("SELECT secret, expires FROM invites WHERE token = ?", preamble.token)
        if row is None or time.time() >= row[1]:
            raise ConsentError("a newcomer's code is not open here", remedy="nothing: it was closed")
        invitation = Invitation(self._identity.public, self._identity.static.public, "", row[1], bytes(row[0]))
        try:
            self._meetings.acquire_on_behalf_of_nowait(sock)
        except trio.WouldBlock:
            raise PeerLost("too many newcomers at once", remedy="nothing: it was closed") from None
        try:
            conn = await accept(sock, preamble, params=self._params(invitation))
            conn.limit_messages(CONTROL_MAX_BYTES)
            await self._meet(conn, preamble.token)
        finally:
            self._meetings.release_on_behalf_of(sock)

    async def _meet(self, conn: Connection, token: bytes) -> None:
        try:
            if self._store.write("DELETE FROM invites WHERE token = ?", token) != 1:
                await conn.close("the invitation has been used already")
                return
            try:
                record = _record_of(conn.remote_payload, conn.remote_static)
                peer = self._book.pin(record, "invited")
            except (ConsentError, UsageError, SecurityError, PeerMisbehaved) as error:
                await conn.close(error.message)
                return
            self._pinned(peer)
            others = [p.record.encode() for p in self._book.all() if p.record.sequence and p.identity != peer.identity]
            with trio.move_on_after(MEETING_S):
                await conn.send(messages.encode(Records(tuple(others[:MAX_RECORDS]))))
                await conn.receive()  # the newcomer closes once it has them
        except ChannelClosed:
            pass
        finally:
            await conn.close("met")

    async def join(self, code: str) -> Peer:
        """Use a code: meet the inviter, pin it, and the members it introduces."""
        invitation = Invitation.parse(code, int(time.time()))
        conn = await self._dial(invitation)
        try:
            record = _record_of(conn.remote_payload, conn.remote_static)
            if (record.identity, record.static_key) != (invitation.identity, invitation.static_key):
                raise SecurityError(
                    "another node answered than the one that made the invitation",
                    remedy="do not trust the address; ask the inviter for its fingerprint and for a new code",
                )
            introduced = await _introduced(conn)
            peer = self._book.pin(record, "joined")
        finally:
            await conn.close("met")
        self._pinned(peer)
        try:
            self._learn(introduced.records, peer.name)
        except (PeerMisbehaved, SecurityError) as error:
            logger.warning("introductions by %s were ignored: %s", peer.name, error.message)
        return peer

    async def _dial(self, invitation: Invitation) -> Connection:
        try:
            conn, _ = await dial_any(
                "the inviter",
                (invitation.address,),
                purpose=Purpose.MEET,
                token=invitation.token,
                params=self._params(invitation),
            )
        except (PeerError, SecurityError) as error:
            raise ConsentError(
                f"the inviter at {invitation.address} did not accept the code: {error.message}",
                remedy="ask whether its node runs and whether the code was used already; then for a new code",
            ) from error
        conn.limit_messages(CONTROL_MAX_BYTES)
        return conn

    def _params(self, invitation: Invitation) -> HandshakeParams:
        return HandshakeParams(
            "XXpsk0",
            self._identity.static.secret,
            self._suites,
            payload=self._record().encode(),
            psk=invitation.psk,
        )


async def _introduced(conn: Connection) -> Records:
    with trio.move_on_after(MEETING_S):
        try:
            message = messages.decode_untrusted(await conn.receive())
        except ChannelClosed as error:
            raise ConsentError(
                f"the inviter declined: {error.reason}", remedy="settle it with the inviter, then ask for a new code"
            ) from error
        if not isinstance(message, Records):
            raise PeerMisbehaved("the inviter did not introduce anybody", remedy="update both nodes")
        return message
    raise PeerTimeout("the inviter fell silent", remedy="ask the inviter for a new code")


def _record_of(payload: bytes, static_key: bytes) -> PeerRecord:
    record = PeerRecord.decode_untrusted(payload)
    if record.static_key != static_key:
        raise SecurityError(
            "a peer's record certifies another key than its channel uses", remedy="do not pin it; ask its operator"
        )
    return record
