"""The session: the only door between a protocol and the other parties.

    protocol  -->  Session (arrays, rounds, openings)  -->  Channel (numbered messages)  -->  Inbox (one per peer)  -->  Link

A fork is another channel over the same links, for a concurrent branch. The first failure anywhere ends the session at
every party with one error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.config.errors import HansaError, hansa_error_in
from hansa.protocols.errors import DesyncError, PeerMisbehaved, ProtocolError
from hansa.protocols.mpc.session import frames
from hansa.protocols.mpc.session.channel import Channel
from hansa.protocols.mpc.session.frames import RAW, FrameKind
from hansa.protocols.mpc.session.group import Group, OnOpening, Openings
from hansa.protocols.mpc.session.limits import SMALL_FRAME
from hansa.protocols.mpc.session.links import Link
from hansa.protocols.mpc.session.public import Public, digest
from hansa.protocols.mpc.session.transcript import OpeningRecord, Phase, Transcript

Array = NDArray[Any]
DType = np.dtype[Any] | type[np.generic]
Shape = int | tuple[int, ...]
VERSION: Final = 1


class Session:
    """One party's end of a joint computation; made by ``open_session`` or ``hansa.protocols.mpc.session.memory.parties``."""

    __slots__ = ("_channel", "_group")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._group = channel.group

    @classmethod
    def of_job(
        cls,
        rank: int,
        links: Mapping[int, Link],
        *,
        context: bytes,
        allowed: Openings | None = None,
        on_opening: OnOpening | None = None,
    ) -> Session:
        """The first session of a job; ``serve`` starts it. See ``open_session`` for the arguments."""
        group = Group.of_job(rank, links, context, allowed, on_opening)
        return cls(Channel(group, "job", b"root", "start", Phase.ONLINE))

    @property
    def rank(self) -> int:
        """This party's number among ``n_parties``."""
        return self._group.rank

    @property
    def n_parties(self) -> int:
        """How many parties this session joins."""
        return len(self._group.job_ranks)

    @property
    def job_ranks(self) -> tuple[int, ...]:
        """The parties' ranks in the job, which ``subgroup`` counts anew; errors, costs and openings name these."""
        return self._group.job_ranks

    @property
    def peers(self) -> tuple[int, ...]:
        """The ranks of the other parties, in order."""
        return tuple(sorted(self._group.inboxes))

    @property
    def context(self) -> bytes:
        """Job id and attempt; it enters every derived key."""
        return self._group.context

    @property
    def transcript(self) -> Transcript:
        """Costs and openings of this session and all its forks."""
        return self._group.transcript

    @property
    def label(self) -> str:
        """The names of the forks that led here."""
        return self._channel.label

    @property
    def current_step(self) -> str:
        """The name of the step under way."""
        return self._channel.step

    @property
    def awaited(self) -> int | None:
        """The rank in the job of the party whose message is awaited, or was when waiting for it was given up."""
        return self._channel.awaited

    # Steps and forks

    @contextmanager
    def step(self, name: str, kind: Phase = Phase.ONLINE) -> Iterator[None]:
        """Name what follows: messages carry it, costs are counted under it. Steps may nest; all parties name alike."""
        before = self._channel.step, self._channel.phase
        with self.transcript.timed(name, kind):
            self._channel.enter(name, kind)
            yield
            self._channel.enter(*before)  # not after an error: what is told of it names this step

    def adopt_step(self, other: Session) -> None:
        """Name and count what follows as ``other`` does now: for a fork that outlives the step that it was made in."""
        self._channel.enter(other._channel.step, other._channel.phase)

    def fork(self, label: str) -> Session:
        """A session for a concurrent branch, with its own sequence numbers over the same links.

        All parties must fork in the same order; a fork of another label in one place is found by its first message.
        """
        return Session(self._channel.fork(label))

    def subgroup(self, ranks: Sequence[int]) -> Session:
        """A fork over some of the parties, this one among them, with ranks counted anew in the order given.

        The other parties simply do not call it. All of ``ranks`` must, in the same order as any other call of it with
        the same ranks; the transcript is shared.
        """
        return Session(self._channel.subgroup(tuple(ranks)))

    # Messages

    async def send(self, to: int, *arrays: Array) -> None:
        """Send one message, the concatenation of arrays of one dtype, to one party."""
        code = frames.dtype_code(arrays[0].dtype)
        assert all(a.dtype == arrays[0].dtype for a in arrays)
        await self._channel.send(to, code, [np.ascontiguousarray(a).data.cast("B") for a in arrays if a.size])

    async def recv(self, frm: int, dtype: DType, shape: Shape) -> Array:
        """The next message of a party as an array; ``DesyncError`` if it is not of this dtype and size."""
        self._channel.count_receive()
        return (await self._recv_many(frm, np.dtype(dtype), [shape]))[0]

    async def exchange(
        self,
        outgoing: Mapping[int, Sequence[Array]],
        incoming: Mapping[int, Sequence[Shape]],
        dtype: DType = np.uint64,
    ) -> dict[int, list[Array]]:
        """One round: send each peer of ``outgoing`` its arrays, return the arrays of each peer of ``incoming``.

        All arrays have ``dtype``; ``incoming`` gives their shapes. A peer with nothing to send or get is left out.
        """
        self._channel.cost.rounds += 1
        wanted = np.dtype(dtype)
        if sum(a.nbytes for arrays in outgoing.values() for a in arrays) <= SMALL_FRAME:
            for to, arrays in outgoing.items():
                await self.send(to, *arrays)
            return {frm: await self._recv_many(frm, wanted, shapes) for frm, shapes in incoming.items()}
        try:
            async with trio.open_nursery() as nursery:
                for to, arrays in outgoing.items():
                    nursery.start_soon(self.send, to, *arrays)
                return {frm: await self._recv_many(frm, wanted, shapes) for frm, shapes in incoming.items()}
        except ExceptionGroup as group:
            raise hansa_error_in(group) or group from None

    async def send_bytes(self, to: int, data: bytes | bytearray | memoryview) -> None:
        """Send raw bytes as one message."""
        await self._channel.send(to, RAW, [memoryview(data).cast("B")] if len(data) else [])

    async def recv_bytes(self, frm: int, max_bytes: int) -> memoryview:
        """The next message of a party as raw bytes, at most ``max_bytes`` of them (``PeerMisbehaved`` if more)."""
        self._channel.count_receive()
        payload = (await self._channel.claim(frm, RAW, None)).payload
        if len(payload) > max_bytes:
            raise PeerMisbehaved(
                f"party {self.job_ranks[frm]} sent {len(payload)} bytes where at most {max_bytes} are allowed, "
                f"step {self.current_step}",
                remedy="check that all parties run the same version of hansa (`hansa --version`)",
                peer=self.job_ranks[frm],
                step=self.current_step,
            )
        return payload

    async def _recv_many(self, frm: int, dtype: np.dtype[Any], shapes: Sequence[Shape]) -> list[Array]:
        sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
        frame = await self._channel.claim(frm, frames.dtype_code(dtype), sum(sizes) * dtype.itemsize)
        flat = frames.array_untrusted(frame.payload, dtype)
        if len(shapes) == 1:
            return [flat.reshape(shapes[0])]
        ends = np.cumsum(sizes)
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]

    # Agreement on public values and openings

    async def check_public(self, label: str, *values: Public) -> None:
        """Compare public values with all parties by hash before they are used.

        Rounds: 1. Bytes sent per party: 32·(n_parties - 1). Raises ``DesyncError`` naming what differs and at whom.
        """
        mine = np.frombuffer(digest(label, *values), dtype=np.uint8)
        received = await self.exchange(
            dict.fromkeys(self.peers, [mine]), dict.fromkeys(self.peers, [32]), dtype=np.uint8
        )
        for peer in self.peers:
            theirs = received[peer][0]
            if not np.array_equal(mine, theirs):
                raise DesyncError(
                    f"party {self.job_ranks[peer]} has another {label} than this party",
                    remedy="compare both parties' contract and version of hansa (`hansa job show`, `hansa --version`)",
                    peer=self.job_ranks[peer],
                    here=f"{label} {mine.tobytes().hex()[:16]}",
                    there=f"{label} {theirs.tobytes().hex()[:16]}",
                    step=self.current_step,
                )

    def check_opening(self, what: str, to: tuple[int, ...]) -> None:
        """Refuse an opening that the contract does not name."""
        self._group.check_opening(what, to, self.current_step)

    def declare_opening(self, what: str, to: tuple[int, ...], elements: int) -> None:
        """Refuse an opening that the contract does not name, else record it.

        Called before anything is opened. Where how much is opened is known only afterwards, as with the rows that all have in
        common, ``check_opening`` comes before and this after.
        """
        receivers = self._group.check_opening(what, to, self.current_step)
        self._group.record_opening(OpeningRecord(what, receivers, elements, self.current_step))

    # Beginning and end

    async def serve(self, nursery: trio.Nursery) -> None:
        """Start reading the links, and see that all parties mean the same session."""
        for inbox in self._group.inboxes.values():
            nursery.start_soon(inbox.read)
        await self.check_public("session", VERSION, self.n_parties, self.context)

    async def abort(self, error: HansaError) -> None:
        """End the session here and, as far as links still work, at every party, which will raise ``PeerAborted``."""
        await self._group.abort(error, self.current_step)

    async def finish(self) -> None:
        """Say that this party needs nothing more; peers' readers then take the end of the link as an orderly one."""
        await self._group.tell_all(FrameKind.GOODBYE, b"")


@asynccontextmanager
async def open_session(
    rank: int,
    links: Mapping[int, Link],
    *,
    context: bytes,
    allowed: Openings | None = None,
    on_opening: OnOpening | None = None,
) -> AsyncIterator[Session]:
    """Open a session over one link to each other party, which it alone uses from then on; the caller closes them.

    ``context`` (job id and attempt) must be the same at all parties. ``allowed`` are the openings that the contract names
    (``None``: any, for notebooks and tests). An error that leaves the block is told to all parties.

    Rounds: 1. Bytes sent per party: 32·(n_parties - 1). Raises ``DesyncError``, ``PeerLost``, ``PeerAborted``.
    """
    session = Session.of_job(rank, links, context=context, allowed=allowed, on_opening=on_opening)
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            await session.serve(nursery)
            yield session
            await session.finish()
        except Exception as error:
            ours = hansa_error_in(error)
            failed = ours or error
            await session.abort(ours or internal_error(error, session))
        except BaseException:
            await session.abort(internal_error(None, session))
            raise
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


def internal_error(error: Exception | None, session: Session) -> HansaError:
    """What peers are told of an exception that is not ours: its type at most, never its text (it may quote data)."""
    what = "was cancelled" if error is None else f"met an internal error ({type(error).__name__})"
    return ProtocolError(
        f"party {session.rank} {what} in step {session.current_step!r}",
        remedy="see that party's own log (`hansa job logs`)",
        step=session.current_step,
    )
