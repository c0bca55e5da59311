"""Requests to peers and their replies: each reply goes to the request that asked for it, or to nobody.

    asking node  --request, number n-->  peer
    asking node  <--reply, number n----  peer        (over the same connection)

Numbers are never used twice, so a reply that comes late finds no request. A reply is looked up under the connection that it
came over, so no peer answers in another's place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import trio

from hansa.node.net.control_link import ControlLink
from hansa.protocols.errors import PeerError, PeerLost, PeerTimeout
from hansa.protocols.wire.limits import ATTESTATION_DEADLINE_S
from hansa.protocols.wire.messages import (
    AttestReply,
    AttestRequest,
    CatalogReply,
    CatalogRequest,
    Heads,
    HeadsRequest,
    Message,
    Probe,
    ProbeResult,
)

MAX_PENDING = 512
"""Requests to one peer that wait for a reply; its control connection queues no more messages than that."""

Reply = AttestReply | CatalogReply | Heads | ProbeResult
P = ParamSpec("P")
R = TypeVar("R", AttestReply, CatalogReply, Heads, ProbeResult)


@dataclass(frozen=True, slots=True)
class Exchange(Generic[P, R]):
    """A request, made of its number and other fields; the type of its reply; how long a peer may take to give it."""

    request: Callable[Concatenate[int, P], Message]
    reply: type[R]
    deadline_s: float


CATALOG = Exchange(CatalogRequest, CatalogReply, 5.0)
HEADS = Exchange(HeadsRequest, Heads, 5.0)
PROBE = Exchange(Probe, ProbeResult, 15.0)
ATTESTATION = Exchange(AttestRequest, AttestReply, ATTESTATION_DEADLINE_S)


@dataclass(slots=True)
class _Pending:
    """A request without a reply; ``over`` is set when the reply is there, or can no longer come."""

    kind: type[Any]
    reply: Any = None
    over: trio.Event = field(default_factory=trio.Event)


class Requests:
    """The requests of one node that wait for their replies, by connection and number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._pending: dict[ControlLink, dict[int, _Pending]] = {}

    async def ask(
        self, link: ControlLink, name: str, exchange: Exchange[P, R], *fields: P.args, **named: P.kwargs
    ) -> R:
        """Send a request over a connection to the peer called ``name``, and wait for its reply.

        Raises ``PeerLost`` when the connection ends or is replaced first, ``PeerTimeout`` at the exchange's deadline,
        ``PeerError`` where ``MAX_PENDING`` requests wait already.
        """
        waiting = self._pending.setdefault(link, {})
        if len(waiting) >= MAX_PENDING:
            raise PeerError(f"{name} has {MAX_PENDING} requests to answer already", remedy="try again later", peer=name)
        number, pending = next(self._numbers), _Pending(exchange.reply)
        waiting[number] = pending
        try:
            link.post(exchange.request(number, *fields, **named))
            with trio.move_on_after(exchange.deadline_s) as patience:
                await pending.over.wait()
        finally:
            del waiting[number]
            if not waiting:
                self._pending.pop(link, None)
        if pending.reply is not None:
            return pending.reply  # type: ignore[no-any-return]  # ``answered`` has checked the type
        if patience.cancelled_caught:
            raise PeerTimeout(
                f"{name} did not answer within {exchange.deadline_s:g} s", remedy="see `hansa doctor`", peer=name
            )
        raise PeerLost(f"the connection to {name} ended before it answered", remedy="see `hansa doctor`", peer=name)

    def answered(self, link: ControlLink, reply: Reply) -> None:
        """Take a reply that came over this connection; one that nobody waits for is dropped, and so is a second one."""
        pending = self._pending.get(link, {}).get(reply.request)
        if pending is not None and type(reply) is pending.kind and not pending.over.is_set():
            pending.reply = reply
            pending.over.set()

    def lost(self, link: ControlLink) -> None:
        """Fail what was asked over a connection that has ended, or that another one has replaced."""
        for pending in self._pending.get(link, {}).values():
            pending.over.set()
