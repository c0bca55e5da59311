"""The parties of a session as one of them sees them: ranks, links, and the records that all its forks share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import trio

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerAborted, ProtocolError, UndeclaredOpening
from hansa.protocols.mpc.session import frames
from hansa.protocols.mpc.session.frames import RAW, FrameKind
from hansa.protocols.mpc.session.limits import REASON_SECONDS
from hansa.protocols.mpc.session.links import LINK_ERRORS, Failure, Inbox, Link
from hansa.protocols.mpc.session.transcript import OpeningRecord, Transcript

OnOpening = Callable[[OpeningRecord], None]
Openings = Collection[tuple[str, tuple[int, ...]]]
"""Openings that a contract names: what is opened, and the ranks in the job that learn it."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """``rank`` counts within the group, ``job_ranks`` are its members' ranks in the job; ``context`` names the attempt."""

    rank: int
    job_ranks: tuple[int, ...]
    inboxes: Mapping[int, Inbox]
    context: bytes
    failure: Failure
    transcript: Transcript
    allowed: Openings | None
    on_opening: OnOpening | None

    @classmethod
    def of_job(
        cls,
        rank: int,
        links: Mapping[int, Link],
        context: bytes,
        allowed: Openings | None,
        on_opening: OnOpening | None,
    ) -> Group:
        """All parties of a job, with a link to each other one."""
        ranks = tuple(range(len(links) + 1))
        assert sorted([rank, *links]) == list(ranks)
        failure = Failure()
        inboxes = {peer: Inbox(peer, link, failure) for peer, link in links.items()}
        failure.inboxes.extend(inboxes.values())
        named = None if allowed is None else frozenset((what, tuple(to)) for what, to in allowed)
        return cls(rank, ranks, inboxes, context, failure, Transcript(), named, on_opening)

    def subgroup(self, members: tuple[int, ...]) -> Group:
        """Some of the parties, this one among them, with ranks counted anew in the order given."""
        if self.rank not in members or len(set(members)) != len(members):
            raise ProtocolError(f"party {self.rank} is not once among {members}", remedy="report this as a bug")
        return replace(
            self,
            rank=members.index(self.rank),
            job_ranks=tuple(self.job_ranks[rank] for rank in members),
            inboxes={new: self.inboxes[old] for new, old in enumerate(members) if old != self.rank},
        )

    def check_opening(self, what: str, to: tuple[int, ...], step: str) -> tuple[int, ...]:
        """Refuse an opening that the contract does not name; the receivers' ranks in the job."""
        to = tuple(self.job_ranks[rank] for rank in to)
        if self.allowed is not None and (what, to) not in self.allowed:
            receivers = "party " + ", ".join(map(str, to)) if to else "nobody"
            raise UndeclaredOpening(
                f"the contract does not name an opening of {what!r} to {receivers}",
                remedy="this is a bug of the algorithm, not of your data: report it; nothing was opened",
                what=what,
                step=step,
            )
        return to

    def record_opening(self, opening: OpeningRecord) -> None:
        """Write an opening down, and tell whoever keeps the audit log."""
        self.transcript.openings.append(opening)
        if self.on_opening is not None:
            self.on_opening(opening)

    async def abort(self, error: HansaError, step: str) -> None:
        """Fail here, and tell all members why; an error that itself came from a peer's abort is not told again."""
        self.failure.fail(error)
        if isinstance(error, PeerAborted):
            return
        told = error.as_dict() | {"culprit": culprit(error, self.rank), "step": error.fields.get("step", step)}
        await self.tell_all(FrameKind.ABORT, frames.pack_abort(told))

    async def tell_all(self, kind: FrameKind, payload: bytes) -> None:
        """Send a frame of no channel to all members, as far as their links still take it within ``REASON_SECONDS``."""
        header = frames.pack_header(kind, RAW, 0, 0, 0, len(payload))

        async def tell(inbox: Inbox) -> None:
            try:
                await inbox.link.send(header, payload)
            except LINK_ERRORS:
                return  # that peer is gone and will find out by itself

        with trio.move_on_after(REASON_SECONDS, shield=True):
            async with trio.open_nursery() as nursery:
                for inbox in self.inboxes.values():
                    nursery.start_soon(tell, inbox)


def culprit(error: HansaError, rank: int) -> int:
    """The rank of the party an error is about: the peer it names, else the party that raised it."""
    for key in ("culprit", "peer"):
        value = error.fields.get(key)
        if isinstance(value, int):
            return value
    return rank
