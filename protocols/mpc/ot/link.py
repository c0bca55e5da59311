"""The choice of the source of OTs that serves a link best: both measure the link once, the lower rank decides.

The measure of a source is a comparison of 63 bits, which takes 8 1-of-16 OTs and 15 random OTs in each direction. On a link
that carries ``bytes_per_s`` each way it lasts as long as its bytes or its processor time (``COSTS``), whichever is longer.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from hansa.protocols.errors import PeerMisbehaved, ProtocolError
from hansa.protocols.mpc.concurrency import gather
from hansa.protocols.mpc.session.session import Session

BURST: Final = 128 << 10
BURSTS: Final = 5
_SPAN: Final = 2
_CAP: Final = 1 << 40
"""Bytes a second: faster links count as this fast."""


@dataclass(frozen=True, slots=True)
class OtSource:
    """Silent OTs (Ferret), or SoftSpokenOT with trees of depth ``w``. (Ferret's first OTs are SoftSpokenOT's with w = 4.)"""

    silent: bool
    w: int = 4

    def __str__(self) -> str:
        return "silent" if self.silent else f"softspoken-{self.w}"


@dataclass(frozen=True, slots=True)
class OtCost:
    """The cost of a million comparisons: bytes that each party sends, and seconds of both parties' work, each on one core."""

    bytes_sent: float
    seconds: float


COSTS: Final = {
    OtSource(silent=False, w=4): OtCost(155e6, 2.1),
    OtSource(silent=False, w=2): OtCost(275e6, 2.1),
    OtSource(silent=False, w=6): OtCost(121e6, 3.3),
    OtSource(silent=False, w=8): OtCost(95e6, 8.0),
    OtSource(silent=True): OtCost(45.5e6, 4.6),
}
"""Seconds of w = 4 and of silent OTs are those of `hansa bench less` on two cores; the others are in proportion to processor
time. The first of equals is taken."""
SOURCES: Final = tuple(COSTS)
NAMED: Final = {"softspoken": OtSource(silent=False), "silent": OtSource(silent=True)}
AUTO: Final = "auto"
CHOICES: Final = (AUTO, *NAMED)


def best_source(bytes_per_s: float) -> OtSource:
    """The source that is fastest on a link of this rate."""
    return min(COSTS, key=lambda source: max(COSTS[source].seconds, COSTS[source].bytes_sent / bytes_per_s))


async def agree_on_source(pair: Session, ot: str = AUTO) -> OtSource:
    """The source that two parties use: the one that ``ot`` names, or the best for their link.

    Costs as ``measure_bandwidth``, and 1 byte. Raises ``DesyncError`` if the other party was given another ``ot``, and
    ``PeerMisbehaved`` if the lower rank chooses a source that does not exist.
    """
    if ot not in CHOICES:
        raise ProtocolError(f"there is no source of transfers {ot!r}", remedy=f"take one of {', '.join(CHOICES)}")
    await pair.check_public("source of transfers", ot)
    if ot != AUTO:
        return NAMED[ot]
    rate = await measure_bandwidth(pair)
    if pair.rank == 0:
        source = best_source(rate)
        await pair.send(1, np.array([SOURCES.index(source)], dtype=np.uint8))
        return source
    choice = int((await pair.recv(0, np.uint8, 1))[0])
    if choice >= len(SOURCES):
        raise PeerMisbehaved(
            f"party {pair.job_ranks[0]} chose a source of transfers that there is not, step {pair.current_step}",
            remedy="check that all parties run the same version of hansa (`hansa --version`)",
            peer=pair.job_ranks[0],
            step=pair.current_step,
        )
    return SOURCES[choice]


async def measure_bandwidth(pair: Session) -> float:
    """Bytes a second that the slower direction carries while both are in use; the same at both parties.

    Each party sends ``BURSTS`` messages of ``BURST`` bytes at once. Its rate is that of the fastest two in succession after
    the first, so that neither latency nor a pause of the machine counts. Rounds: one a burst, and 1. Bytes sent: 655,360 and 8.
    """
    fork = pair.fork("link")
    peer = 1 - pair.rank
    arrivals: list[float] = []

    async def send() -> None:
        burst = np.frombuffer(os.urandom(BURST), dtype=np.uint8)
        for _ in range(BURSTS):
            await fork.send(peer, burst)

    async def receive() -> None:
        for _ in range(BURSTS):
            await fork.recv(peer, np.uint8, BURST)
            arrivals.append(time.perf_counter())

    await gather(send(), receive())
    span = min(late - early for early, late in zip(arrivals, arrivals[_SPAN:], strict=False))
    mine = int(min(_SPAN * BURST / max(span, 1e-9), _CAP))
    received = await fork.exchange({peer: [np.array([mine], dtype=np.uint64)]}, {peer: [1]})
    return float(max(1, min(mine, int(received[peer][0][0]))))
