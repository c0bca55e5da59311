"""A channel: the numbered messages of one session or fork with each other member of its group.

Every message carries the channel's number, a sequence number, and the sender's label and step. A receiver always knows
what it expects, and raises ``DesyncError`` naming both sides where a message is something else.
"""

from __future__ import annotations

from hashlib import blake2b

from hansa.config.errors import HansaError
from hansa.protocols.errors import DesyncError
from hansa.protocols.mpc.session import frames
from hansa.protocols.mpc.session.frames import Frame, FrameKind
from hansa.protocols.mpc.session.group import Group
from hansa.protocols.mpc.session.limits import MAX_LABEL
from hansa.protocols.mpc.session.links import LINK_ERRORS, again
from hansa.protocols.mpc.session.transcript import Phase


class Channel:
    """``label`` and ``step`` travel with each message; ``cost`` is the step's; ``awaited`` is who is waited for, or was last."""

    __slots__ = (
        "_forks",
        "_number",
        "_path",
        "_received",
        "_sent",
        "_sent_since_receive",
        "_subgroups",
        "_tag",
        "awaited",
        "cost",
        "group",
        "label",
        "phase",
        "step",
    )

    def __init__(self, group: Group, label: str, path: bytes, step: str, phase: Phase) -> None:
        self.group = group
        self.label = label
        self.awaited: int | None = None
        self._path = path
        # all parties derive the same number; paths differ, and a job has far too few channels for 64 bits to collide
        self._number = int.from_bytes(blake2b(path, digest_size=8, person=b"hansa-fork").digest(), "little")
        self._forks = 0
        self._subgroups: dict[tuple[int, ...], int] = {}
        self._sent = dict.fromkeys(group.inboxes, 0)
        self._received = dict.fromkeys(group.inboxes, 0)
        self._sent_since_receive = False
        self.enter(step, phase)

    def enter(self, step: str, phase: Phase) -> None:
        """Name what follows, and count it under that name."""
        self.step, self.phase = step, phase
        self._tag = f"{self.label}:{step}".encode()[:MAX_LABEL]
        self.cost = self.group.transcript.cost(step, phase)

    def fork(self, label: str) -> Channel:
        """A channel of the same group; the parties' forks belong together by the order in which they are made."""
        path = self._path + f"/{self._forks}".encode()
        self._forks += 1
        return Channel(self.group, f"{self.label}/{label}", path, self.step, self.phase)

    def subgroup(self, members: tuple[int, ...]) -> Channel:
        """A channel of some members; numbered by itself, because the others do not count it."""
        group = self.group.subgroup(members)
        count = self._subgroups[members] = self._subgroups.get(members, 0) + 1
        path = self._path + f"/{','.join(map(str, members))}#{count}".encode()
        return Channel(group, f"{self.label}/among", path, self.step, self.phase)

    async def send(self, to: int, dtype: int, parts: list[memoryview]) -> None:
        """Send one message, the concatenation of ``parts``, under a dtype's code."""
        size = sum(len(part) for part in parts)
        sequence = self._sent[to]
        assert sequence < frames.MAX_SEQUENCE
        self._sent[to] = sequence + 1
        self._sent_since_receive = True
        self.cost.count_sent(self.group.job_ranks[to], size)
        header = frames.pack_header(FrameKind.DATA, dtype, len(self._tag), sequence, self._number, size)
        inbox, failure = self.group.inboxes[to], self.group.failure
        try:
            failure.check()
            with failure.interrupting():
                await inbox.link.send(header, *parts, self._tag)
        except LINK_ERRORS as error:
            raise self._with_step(await inbox.why_it_ended()) from error

    async def claim(self, frm: int, dtype: int, size: int | None) -> Frame:
        """The next message of a member; ``DesyncError`` if it is of another step, dtype or size (``None``: any size)."""
        sequence = self._received[frm]
        self._received[frm] = sequence + 1
        self.awaited = self.group.job_ranks[frm]
        try:
            frame = await self.group.inboxes[frm].claim(self._number, sequence)
        except HansaError as error:
            raise self._with_step(error) from None
        self.awaited = None
        if frame.label != self._tag or frame.dtype != dtype or (size is not None and len(frame.payload) != size):
            raise self._desync(frm, frame, dtype, size)
        return frame

    def count_receive(self) -> None:
        """A bare receive ends a round if something was sent since the last one (or nothing was yet received)."""
        if self._sent_since_receive or not any(self._received.values()):
            self.cost.rounds += 1
            self._sent_since_receive = False

    def _with_step(self, error: HansaError) -> HansaError:
        return error if "step" in error.fields else again(error, step=self.step)

    def _desync(self, frm: int, frame: Frame, dtype: int, size: int | None) -> DesyncError:
        here, there = _place(self._tag, size, dtype), _place(frame.label, len(frame.payload), frame.dtype)
        peer = self.group.job_ranks[frm]
        return DesyncError(
            f"party {peer} is at {there} where this party is at {here}",
            remedy="check that all parties run the same version of hansa and signed the same contract",
            peer=peer,
            here=here,
            there=there,
            step=self.step,
        )


def _place(tag: bytes, size: int | None, dtype: int) -> str:
    any_size = "any number of" if size is None else str(size)
    return f"{tag.decode(errors='replace')} ({any_size} bytes of {frames.type_name(dtype)})"
