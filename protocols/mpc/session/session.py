"""The session: the only door between a protocol and the other parties.

    party 0  --send/recv/exchange-->  links.Inbox (one reader per peer)  -->  frames  -->  Link

Every message carries the session's channel (which fork it belongs to), a sequence number, its dtype and its size,
and the sender's label and step: a receiver always knows what it expects, and raises ``DesyncError`` naming both sides
where a message is something else. The first failure anywhere ends the session at every party with one error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.config.errors import HansaError, hansa_error_in
from hansa.protocols.errors import DesyncError, PeerAborted, PeerMisbehaved, ProtocolError, UndeclaredOpening
from hansa.protocols.mpc.session import frames
from hansa.protocols.mpc.session.frames import RAW, Frame, FrameKind
from hansa.protocols.mpc.session.limits import MAX_LABEL, REASON_SECONDS, SMALL_FRAME
from hansa.protocols.mpc.session.links import Failure, Inbox, Link, again
from hansa.protocols.mpc.session.public import Public, digest
from hansa.protocols.mpc.session.transcript import OpeningRecord, Phase, Transcript

Array = NDArray[Any]
Shape = int | tuple[int, ...]
OnOpening = Callable[[OpeningRecord], None]
VERSION: Final = 1
_UINT64: Final = np.dtype(np.uint64)


class Session:
    """One party's end of a joint computation; made by ``open_session`` or ``hansa.protocols.mpc.session.memory.parties``.

    ``rank`` is this party's number among ``n_parties``; ``context`` (job id and attempt) enters every derived key;
    ``transcript`` records costs and openings. ``job_ranks`` are the parties' ranks in the job, which ``subgroup`` may
    have counted anew; errors, costs and openings name these.
    """

    def __init__(
        self,
        rank: int,
        links: Mapping[int, Link],
        *,
        context: bytes,
        allowed: Collection[tuple[str, tuple[int, ...]]] | None = None,
        on_opening: OnOpening | None = None,
    ) -> None:
        self.rank = rank
        self.n_parties = len(links) + 1
        self.job_ranks = tuple(range(self.n_parties))
        assert sorted([rank, *links]) == list(range(self.n_parties))
        self.context = context
        self.label = "job"
        self.transcript = Transcript()
        self._allowed = None if allowed is None else frozenset((what, tuple(to)) for what, to in allowed)
        self._on_opening = on_opening
        self._failure = Failure()
        self._inboxes = {peer: Inbox(peer, link, self._failure) for peer, link in links.items()}
        self._failure.inboxes.extend(self._inboxes.values())
        self._awaited: int | None = None
        self._start_channel(b"root", "start", Phase.ONLINE)

    def _start_channel(self, path: bytes, step: str, kind: Phase) -> None:
        self._path = path
        self._channel = int.from_bytes(blake2b(path, digest_size=8, person=b"hansa-fork").digest(), "little")
        self._forks = 0
        self._subsets: dict[tuple[int, ...], int] = {}
        self._sent = dict.fromkeys(self._inboxes, 0)
        self._received = dict.fromkeys(self._inboxes, 0)
        self._sent_since_receive = False
        self._set_step(step, kind)

    def _set_step(self, step: str, kind: Phase) -> None:
        self._step, self._kind = step, kind
        self._tag = f"{self.label}:{step}".encode()[:MAX_LABEL]
        self._cost = self.transcript.cost(step, kind)

    @property
    def peers(self) -> tuple[int, ...]:
        """The ranks of the other parties, in order."""
        return tuple(sorted(self._inboxes))

    @property
    def current_step(self) -> str:
        """The name of the step under way."""
        return self._step

    @property
    def awaited(self) -> int | None:
        """The rank in the job of the party whose message is awaited, or was when waiting for it was given up."""
        return None if self._awaited is None else self.job_ranks[self._awaited]

    @contextmanager
    def step(self, name: str, kind: Phase = Phase.ONLINE) -> Iterator[None]:
        """Name what follows: messages carry it, costs are counted under it. Steps may nest; all parties name alike."""
        before = self._step, self._kind
        with self.transcript.timed(name, kind):
            self._set_step(name, kind)
            yield
            self._set_step(*before)  # not after an error: what is told of it names this step

    def adopt_step(self, other: Session) -> None:
        """Name and count what follows as ``other`` does now: for a fork that outlives the step that it was made in."""
        self._set_step(other._step, other._kind)

    def fork(self, label: str) -> Session:
        """A session for a concurrent branch, with its own sequence numbers over the same links.

        All parties must fork in the same order; a fork of another label in one place is found by its first message.
        """
        child = object.__new__(Session)
        child.__dict__.update(self.__dict__)
        child.label = f"{self.label}/{label}"
        child._start_channel(self._path + b"/" + str(self._forks).encode(), self._step, self._kind)
        self._forks += 1
        return child

    def subgroup(self, ranks: Sequence[int]) -> Session:
        """A fork over some of the parties, this one among them, with ranks counted anew in the order given.

        The other parties simply do not call it. All of ``ranks`` must, in the same order as any other call of it with
        the same ranks; the transcript is shared.
        """
        members = tuple(ranks)
        if self.rank not in members or len(set(members)) != len(members):
            raise ProtocolError(f"party {self.rank} is not once among {members}", remedy="report this as a bug")
        child = object.__new__(Session)
        child.__dict__.update(self.__dict__)
        child.rank, child.n_parties = members.index(self.rank), len(members)
        child.job_ranks = tuple(self.job_ranks[rank] for rank in members)
        child._inboxes = {new: self._inboxes[old] for new, old in enumerate(members) if old != self.rank}
        child.label = f"{self.label}/among"
        count = self._subsets[members] = self._subsets.get(members, 0) + 1
        path = f"{','.join(map(str, members))}#{count}".encode()
        child._start_channel(self._path + b"/" + path, self._step, self._kind)
        return child

    # Messages

    async def send(self, to: int, *arrays: Array) -> None:
        """Send one message, the concatenation of arrays of one dtype, to one party."""
        code = frames.dtype_code(arrays[0].dtype)
        assert all(a.dtype == arrays[0].dtype for a in arrays)
        await self._send(to, code, [np.ascontiguousarray(a).data.cast("B") for a in arrays if a.size])

    async def recv(self, frm: int, dtype: np.dtype[Any] | type[np.generic], shape: Shape) -> Array:
        """The next message of a party as an array; ``DesyncError`` if it is not of this dtype and size."""
        self._count_receive()
        wanted = np.dtype(dtype)
        shape = (shape,) if isinstance(shape, int) else shape
        frame = await self._claim(frm, frames.dtype_code(wanted), int(np.prod(shape, dtype=np.int64)) * wanted.itemsize)
        return frames.array_untrusted(frame.payload, wanted).reshape(shape)

    async def exchange(
        self,
        outgoing: Mapping[int, Sequence[Array]],
        incoming: Mapping[int, Sequence[Shape]],
        dtype: np.dtype[Any] | type[np.generic] = _UINT64,
    ) -> dict[int, list[Array]]:
        """One round: send each peer of ``outgoing`` its arrays, return the arrays of each peer of ``incoming``.

        All arrays have ``dtype``; ``incoming`` gives their shapes. A peer with nothing to send or get is left out.
        """
        self._cost.rounds += 1
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
        await self._send(to, RAW, [memoryview(data).cast("B")] if len(data) else [])

    async def recv_bytes(self, frm: int, max_bytes: int) -> memoryview:
        """The next message of a party as raw bytes, at most ``max_bytes`` of them (``PeerMisbehaved`` if more)."""
        self._count_receive()
        frame = await self._claim(frm, RAW, None)
        if len(frame.payload) > max_bytes:
            raise PeerMisbehaved(
                f"party {self.job_ranks[frm]} sent {len(frame.payload)} bytes where at most {max_bytes} are allowed, "
                f"step {self._step}",
                remedy="check that all parties run the same version of hansa (`hansa --version`)",
                peer=self.job_ranks[frm],
                step=self._step,
            )
        return frame.payload

    async def _recv_many(self, frm: int, dtype: np.dtype[Any], shapes: Sequence[Shape]) -> list[Array]:
        sizes = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
        frame = await self._claim(frm, frames.dtype_code(dtype), sum(sizes) * dtype.itemsize)
        flat = frames.array_untrusted(frame.payload, dtype)
        if len(shapes) == 1:
            return [flat.reshape(shapes[0])]
        ends = np.cumsum(sizes)
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]

    async def _send(self, to: int, dtype: int, parts: list[memoryview]) -> None:
        size = sum(len(part) for part in parts)
        sequence = self._sent[to]
        assert sequence < frames.MAX_SEQUENCE
        self._sent[to] = sequence + 1
        self._sent_since_receive = True
        cost = self._cost
        cost.frames += 1
        peer = self.job_ranks[to]
        cost.bytes_sent[peer] = cost.bytes_sent.get(peer, 0) + size
        header = frames.pack_header(FrameKind.DATA, dtype, len(self._tag), sequence, self._channel, size)
        inbox = self._inboxes[to]
        try:
            self._failure.check()
            with self._failure.interrupting():
                await inbox.link.send(header, *parts, self._tag)
        except (HansaError, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._here(await inbox.why_it_ended()) from error

    def _count_receive(self) -> None:
        """A bare receive ends a round if something was sent since the last one (or nothing was yet received)."""
        if self._sent_since_receive or not any(self._received.values()):
            self._cost.rounds += 1
            self._sent_since_receive = False

    async def _claim(self, frm: int, dtype: int, size: int | None) -> Frame:
        sequence = self._received[frm]
        self._received[frm] = sequence + 1
        self._awaited = frm
        try:
            frame = await self._inboxes[frm].claim(self._channel, sequence)
        except HansaError as error:
            raise self._here(error) from None
        self._awaited = None
        if frame.label != self._tag or frame.dtype != dtype or (size is not None and len(frame.payload) != size):
            raise self._desync(frm, frame, dtype, size)
        return frame

    def _here(self, error: HansaError) -> HansaError:
        return error if "step" in error.fields else again(error, step=self._step)

    def _desync(self, frm: int, frame: Frame, dtype: int, size: int | None) -> DesyncError:
        any_size = "any number of" if size is None else str(size)
        here = f"{self._tag.decode(errors='replace')} ({any_size} bytes of {frames.type_name(dtype)})"
        there_label = frame.label.decode(errors="replace")
        there = f"{there_label} ({len(frame.payload)} bytes of {frames.type_name(frame.dtype)})"
        return DesyncError(
            f"party {self.job_ranks[frm]} is at {there} where this party is at {here}",
            remedy="check that all parties run the same version of hansa and signed the same contract",
            peer=self.job_ranks[frm],
            here=here,
            there=there,
            step=self._step,
        )

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
                    step=self._step,
                )

    def check_opening(self, what: str, to: tuple[int, ...]) -> tuple[int, ...]:
        """Refuse an opening that the contract does not name; the receivers' ranks in the job."""
        to = tuple(self.job_ranks[rank] for rank in to)
        if self._allowed is not None and (what, to) not in self._allowed:
            raise UndeclaredOpening(
                f"the contract does not name an opening of {what!r} to {_ranks(to)}",
                remedy="this is a bug of the algorithm, not of your data: report it; nothing was opened",
                what=what,
                step=self._step,
            )
        return to

    def declare_opening(self, what: str, to: tuple[int, ...], elements: int) -> None:
        """Called by an engine before it opens anything: refuses what the contract does not name, records the rest."""
        to = self.check_opening(what, to)
        record = OpeningRecord(what, to, elements, self._step)
        self.transcript.openings.append(record)
        if self._on_opening is not None:
            self._on_opening(record)

    # Beginning and end

    async def serve(self, nursery: trio.Nursery) -> None:
        """Start reading the links, and see that all parties mean the same session."""
        for inbox in self._inboxes.values():
            nursery.start_soon(inbox.read)
        await self.check_public("session", VERSION, self.n_parties, self.context)

    async def abort(self, error: HansaError) -> None:
        """End the session here and, as far as links still work, at every party, which will raise ``PeerAborted``.

        An error that itself came from a peer's abort is not told again.
        """
        self._failure.fail(error)
        if isinstance(error, PeerAborted):
            return
        told = error.as_dict() | {"culprit": culprit(error, self.rank), "step": error.fields.get("step", self._step)}
        await self._tell_all(FrameKind.ABORT, frames.pack_abort(told))

    async def finish(self) -> None:
        """Say that this party needs nothing more; peers' readers then take the end of the link as an orderly one."""
        await self._tell_all(FrameKind.GOODBYE, b"")

    async def _tell_all(self, kind: FrameKind, payload: bytes) -> None:
        header = frames.pack_header(kind, RAW, 0, 0, 0, len(payload))

        async def tell(inbox: Inbox) -> None:
            try:
                await inbox.link.send(header, payload)
            except (HansaError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                return  # that peer is gone and will find out by itself

        with trio.move_on_after(REASON_SECONDS, shield=True):
            async with trio.open_nursery() as nursery:
                for inbox in self._inboxes.values():
                    nursery.start_soon(tell, inbox)


def culprit(error: HansaError, rank: int) -> int:
    """The rank of the party an error is about: the peer it names, else the party that raised it."""
    for key in ("culprit", "peer"):
        value = error.fields.get(key)
        if isinstance(value, int):
            return value
    return rank


def _ranks(to: tuple[int, ...]) -> str:
    return "party " + ", ".join(map(str, to)) if to else "nobody"


@asynccontextmanager
async def open_session(
    rank: int,
    links: Mapping[int, Link],
    *,
    context: bytes,
    allowed: Collection[tuple[str, tuple[int, ...]]] | None = None,
    on_opening: OnOpening | None = None,
) -> AsyncIterator[Session]:
    """Open a session over one link to each other party, which it alone uses from then on; the caller closes them.

    ``context`` (job id and attempt) must be the same at all parties. ``allowed`` are the openings, as (what, ranks),
    that the contract names (``None``: any, for notebooks and tests). An error that leaves the block is told to all parties.

    Rounds: 1. Bytes sent per party: 32·(n_parties - 1). Raises ``DesyncError``, ``PeerLost``, ``PeerAborted``.
    """
    session = Session(rank, links, context=context, allowed=allowed, on_opening=on_opening)
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
