"""Dialling a peer: its addresses one after another, and between the rounds of a loop pauses that grow."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from hansa.config.errors import HansaError
from hansa.node.net.connection import Connection, HandshakeParams, Purpose, dial
from hansa.protocols.errors import PeerError, PeerLost, SecurityError
from hansa.protocols.wire.record import split_address


async def dial_any(
    name: str, addresses: Sequence[str], *, purpose: Purpose, token: bytes, params: HandshakeParams
) -> tuple[Connection, str]:
    """A connection to the peer called ``name`` at the first of its addresses that answers, and this address.

    Raises ``PeerLost`` where there is no address, else what ``dial`` raised at the last one.
    """
    error: HansaError = PeerLost(
        f"{name} has no address", remedy=f"tell it with `hansa peer add {name} --key ... --address ...`"
    )
    for address in addresses:
        host, port = split_address(address)
        try:
            return await dial(host, port, purpose=purpose, token=token, params=params), address
        except (PeerError, SecurityError) as failed:
            error = failed
    raise error


class Backoff:
    """The pauses of one dialling loop: those of ``pauses_s`` in turn, then the last one again and again."""

    def __init__(self, pauses_s: Sequence[float]) -> None:
        self._pauses_s, self._next = pauses_s, 0

    def reset(self) -> None:
        """Begin anew with the shortest pause."""
        self._next = 0

    async def pause(self) -> None:
        """Sleep for the next pause."""
        await trio.sleep(self._pauses_s[self._next])
        self._next = min(self._next + 1, len(self._pauses_s) - 1)
