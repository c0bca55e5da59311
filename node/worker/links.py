"""How two workers of a job come to exactly one connection, whoever of them can reach the other.

The lower identity dials at once, the other side dials too after ``SECOND_DIALER_S``; so two connections may stand for a
moment. The lower side takes the first whose handshake succeeds and says so on it with CONFIRM; the other side takes the
connection on which CONFIRM arrives, and both close the rest.

Each handshake is Noise KK with the job keys of the commit certificate; its prologue binds version, job, attempt and the
two ranks, and both sides send the certificate along and compare.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

import trio

from hansa.config.errors import HansaError
from hansa.node.net.connection import Connection, HandshakeParams, accept
from hansa.node.net.dialler import Backoff, dial_any
from hansa.protocols.errors import PeerError, PeerMisbehaved, PeerTimeout, SecurityError
from hansa.protocols.wire.channel.preamble import Preamble, Purpose

SECOND_DIALER_S = 3.0
LINK_DEADLINE_S = 60.0
BACKOFF_S = (0.05, 0.1, 0.2, 0.4, 0.8)
CONFIRM = b"\x01"
LINK_VERSION = 1

Arrival = tuple[trio.socket.SocketType, Preamble]


@dataclass(frozen=True, slots=True)
class PeerTerms:
    """The other end of one link: who it is, where its daemon listens, and the job key the certificate gives it."""

    rank: int
    name: str
    identity: bytes
    job_key: bytes = field(repr=False)
    addresses: tuple[str, ...]
    token: bytes


@dataclass(frozen=True, slots=True)
class LinkTerms:
    """This end: what every handshake of this attempt has in common."""

    rank: int
    identity: bytes
    job_id: bytes
    attempt: int
    job_secret: bytes = field(repr=False)
    certificate: bytes
    suites: tuple[str, ...]

    def handshake(self, peer: PeerTerms) -> HandshakeParams:
        """The parameters of a handshake with this peer, the same for both directions."""
        ranks = sorted((self.rank, peer.rank))
        return HandshakeParams(
            pattern="KK",
            static_secret=self.job_secret,
            remote_static=peer.job_key,
            suites=self.suites,
            prologue_extra=bytes([LINK_VERSION]) + self.job_id + self.attempt.to_bytes(4, "big") + bytes(ranks),
            payload=self.certificate,
        )


async def watch(conn: Connection, peer: int) -> None:
    """Keep one link alive until cancelled. Raises PeerTimeout that names the rank when its party falls silent."""
    try:
        await conn.keep_alive()
    except PeerError as error:
        error.fields["peer"] = peer
        raise


class Rendezvous:
    """The making of one link. ``arrived`` feeds it the sockets that reached our daemon with its route token."""

    def __init__(self, here: LinkTerms, peer: PeerTerms) -> None:
        self._here = here
        self._peer = peer
        self._chooses = here.identity < peer.identity
        self._send_arrival, self._arrivals = trio.open_memory_channel[Arrival](4)
        self._won: Connection | None = None
        self._open: list[Connection] = []
        self._last_error: HansaError | None = None

    def arrived(self, sock: trio.socket.SocketType, preamble: Preamble) -> None:
        """Take a routed socket; one too many is closed."""
        try:
            self._send_arrival.send_nowait((sock, preamble))
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            sock.close()

    async def link(self) -> Connection:
        """Dial and accept until one connection is agreed on.

        Raises PeerTimeout when none stands after ``LINK_DEADLINE_S``, SecurityError when the peer shows another
        certificate.
        """
        try:
            with trio.move_on_after(LINK_DEADLINE_S):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._dial, nursery)
                    nursery.start_soon(self._accept, nursery)
            if self._won is not None:
                return self._won
            detail = f": {self._last_error.message}" if self._last_error else ""
            raise PeerTimeout(
                f"no connection to the worker of {self._peer.name} could be made within {LINK_DEADLINE_S:g} s{detail}",
                remedy="see `hansa doctor`",
                peer=self._peer.rank,
            )
        finally:
            await self._close_the_rest()

    async def _dial(self, nursery: trio.Nursery) -> None:
        if not self._chooses:
            await trio.sleep(SECOND_DIALER_S)
        backoff = Backoff(BACKOFF_S)
        while self._peer.addresses:
            await self._try(self._dialled(), nursery)
            await backoff.pause()

    async def _dialled(self) -> Connection:
        peer = self._peer
        conn, _ = await dial_any(
            peer.name, peer.addresses, purpose=Purpose.WORKER, token=peer.token, params=self._here.handshake(peer)
        )
        return conn

    async def _accept(self, nursery: trio.Nursery) -> None:
        async for sock, preamble in self._arrivals:
            nursery.start_soon(self._try_arrival, sock, preamble, nursery)

    async def _try_arrival(self, sock: trio.socket.SocketType, preamble: Preamble, nursery: trio.Nursery) -> None:
        await self._try(accept(sock, preamble, params=self._here.handshake(self._peer)), nursery)

    async def _try(self, handshake: Awaitable[Connection], nursery: trio.Nursery) -> None:
        """One handshake; what fails is only noted, since the other direction may still succeed."""
        try:
            conn = await handshake
        except HansaError as error:
            self._last_error = error
            return
        self._open.append(conn)
        if not hmac.compare_digest(bytes(conn.remote_payload), self._here.certificate):
            raise SecurityError(
                f"{self._peer.name} came to the job with another certificate",
                remedy="cancel the job and submit it anew",
                peer=self._peer.rank,
            )
        nursery.start_soon(self._agree, conn, nursery)

    async def _agree(self, conn: Connection, nursery: trio.Nursery) -> None:
        try:
            if self._chooses:
                if self._won is None:
                    self._won = conn
                    await conn.send(CONFIRM)
            else:
                if bytes(await conn.receive()) != CONFIRM:
                    raise PeerMisbehaved("no confirmation", remedy="update the peer's hansa", peer=self._peer.rank)
                self._won = self._won or conn
        except (PeerError, SecurityError) as error:
            self._last_error = error
            self._won = None if self._won is conn else self._won
            return
        if self._won is conn:
            nursery.cancel_scope.cancel()

    async def _close_the_rest(self) -> None:
        with trio.move_on_after(1, shield=True):
            for conn in self._open:
                if conn is not self._won:
                    await conn.close("another connection was chosen")
        while True:
            try:
                sock, _ = self._arrivals.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
                break
            sock.close()
        self._send_arrival.close()


async def open_links(
    here: LinkTerms,
    peers: Sequence[PeerTerms],
    arrivals: trio.MemoryReceiveChannel[tuple[trio.socket.SocketType, Preamble]],
) -> dict[int, Connection]:
    """The links to all other parties, by rank; ``arrivals`` are the sockets that the daemon handed over.

    Raises what Rendezvous.link raises, for the first party that cannot be reached.
    """
    meetings = {peer.token: Rendezvous(here, peer) for peer in peers}
    links: dict[int, Connection] = {}

    async def hand_over() -> None:
        async for sock, preamble in arrivals:
            meeting = meetings.get(preamble.token)
            if meeting is None:
                sock.close()
            else:
                meeting.arrived(sock, preamble)

    async def meet(peer: PeerTerms) -> None:
        links[peer.rank] = await meetings[peer.token].link()
        if len(links) == len(peers):
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hand_over)
        for peer in peers:
            nursery.start_soon(meet, peer)
    return links


def route_token(job_id: bytes, attempt: int, one: bytes, other: bytes) -> bytes:
    """The 16-byte token by which a daemon finds the worker that a connection is for; the same from both sides."""
    pair = b"".join(sorted((one, other)))
    body = b"route" + job_id + attempt.to_bytes(4, "big") + pair
    return hashlib.blake2b(body, digest_size=16).digest()
