"""Setting up OTs between two parties, in both directions: base OTs, trees, and the first rows of silent OTs."""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.arrays import Bytes
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.concurrency import gather
from hansa.protocols.mpc.ot.base_ot import receive_base_ots, send_base_ots
from hansa.protocols.mpc.ot.code import COLUMNS
from hansa.protocols.mpc.ot.extension import (
    BIT_COLUMNS,
    SoftSpokenOneOf2Receiver,
    SoftSpokenOneOf2Sender,
    SoftSpokenOneOf16Receiver,
    SoftSpokenOneOf16Sender,
    bit_widths,
    code_widths,
)
from hansa.protocols.mpc.ot.hash import session_key
from hansa.protocols.mpc.ot.receiver import OtReceiver, receiver_keys
from hansa.protocols.mpc.ot.sender import OtSender, sender_keys
from hansa.protocols.mpc.ot.silent import random_ots
from hansa.protocols.mpc.ot.silent.ferret import FIRST, FerretReceiver, FerretSender
from hansa.protocols.mpc.ot.softspoken import FullTrees, PuncturedTrees, padded
from hansa.protocols.mpc.ot.trees import NODE, grow, regrow
from hansa.protocols.mpc.session.session import Session

DEFAULT_W: Final = 4
"""The best on loopback (`hansa bench ot --w`; docs/protocols.md has the table); on a slow link 6 or 8 is better."""
MAX_W: Final = 8
_CHECKED: Final = 128
_CHECK_WIDTH: Final = 8

Bools = NDArray[np.bool_]


async def start_pair(
    session: Session, peer: int, w: int = DEFAULT_W, *, silently: bool = False
) -> tuple[OtSender, OtReceiver]:
    """This party's ends of OTs with ``peer``, one for each direction; both directions may be used at the same time.

    ``w`` is the depth of the trees: an OT takes 128/w bits on the wire and 2^w / w times the PRG. With ``silently`` all OTs but
    the first come from the LPN assumption (``silent.ferret``) and take half a bit each.

    1. 128 base OTs let the lower rank lack a leaf of each tree that the higher one grows: the lower rank can send.
    2. 368 of these OTs, of 128-bit keys, do the same for the other direction, and for its 1-of-16 OTs.
    3. 240 OTs of that direction do it for the first direction's 1-of-16 OTs.
       Silent OTs take ``FIRST.seeds`` OTs a direction in place of these and of the 240 of step 2; all others come from them.
    4. Each direction makes OTs that are then opened and checked: this finds a damaged set-up.

    Rounds: 11 at the lower rank, 10 at the higher. Bytes sent: 18,224 + 128·T + 64·T16 by the lower, 14,160 + 128·T + 64·T16
    by the higher, with T = ceil(128 / w) and T16 = 15·ceil(16 / w) trees; silent OTs 0.7 MB each (w = 4). Raises
    ``PeerMisbehaved`` for points outside the group and for a set-up that does not work, ``DesyncError`` for another ``w`` or
    source, and the session's errors.
    """
    assert 1 <= w <= MAX_W
    pair = session.subgroup(sorted((session.rank, peer)))
    await pair.check_public("oblivious transfer", w, int(silently))
    setup = _Setup(pair, w)
    sender, receiver, choices, keys = await setup.bits(0 if silently else COLUMNS)
    directions = pair.fork("ot-0"), pair.fork("ot-1")
    mine, theirs = directions[pair.rank], directions[setup.peer]
    if silently:
        ot_sender, ot_receiver = await setup.silent(sender, receiver, mine, theirs)
    else:
        code_sender, code_receiver = await setup.codes(sender, receiver, choices, keys)
        ot_sender = OtSender(mine, setup.peer, sender, code_sender)
        ot_receiver = OtReceiver(theirs, setup.peer, receiver, code_receiver)
    await gather(_check_sender(ot_sender), _check_receiver(ot_receiver))
    return ot_sender, ot_receiver


class _Setup:
    """The steps of ``start_pair``: OTs give keys, keys give trees, and trees give more OTs."""

    def __init__(self, pair: Session, w: int) -> None:
        self.peer = 1 - pair.rank
        self._s = pair
        self._bit_widths, self._code_widths = bit_widths(w), code_widths(w)

    async def bits(self, more: int) -> tuple[SoftSpokenOneOf2Sender, SoftSpokenOneOf2Receiver, Bools, Bytes]:
        """Steps 1 and 2: the 1-of-2 ends of both directions, and ``more`` OTs that step 2 makes beyond its own.

        Of these the lower rank has both keys, (more, 2, 16), and the higher rank has the choices and the chosen keys.
        """
        if self._s.rank == 0:
            choices = _random_bools(BIT_COLUMNS)
            sender = await self._bit_sender(choices, await receive_base_ots(self._s, self.peer, choices))
            keys = await self.send_keys(sender, BIT_COLUMNS + more)
            return sender, await self._bit_receiver(keys[:BIT_COLUMNS]), choices[:0], keys[BIT_COLUMNS:]
        receiver = await self._bit_receiver(await send_base_ots(self._s, self.peer, BIT_COLUMNS))
        choices, keys = await self.receive_keys(receiver, BIT_COLUMNS + more)
        sender = await self._bit_sender(choices[:BIT_COLUMNS], keys[:BIT_COLUMNS])
        return sender, receiver, choices[BIT_COLUMNS:], keys[BIT_COLUMNS:]

    async def codes(
        self, sender: SoftSpokenOneOf2Sender, receiver: SoftSpokenOneOf2Receiver, choices: Bools, keys: Bytes
    ) -> tuple[SoftSpokenOneOf16Sender, SoftSpokenOneOf16Receiver]:
        """The rest of step 2, and step 3."""
        if self._s.rank == 0:
            code_receiver = await self._code_receiver(keys)
            return await self._code_sender(*await self.receive_keys(receiver, COLUMNS)), code_receiver
        code_sender = await self._code_sender(choices, keys)
        return code_sender, await self._code_receiver(await self.send_keys(sender, COLUMNS))

    async def silent(
        self, sender: SoftSpokenOneOf2Sender, receiver: SoftSpokenOneOf2Receiver, mine: Session, theirs: Session
    ) -> tuple[OtSender, OtReceiver]:
        """Step 3 of silent OTs, the lower rank's direction first."""
        if self._s.rank == 0:
            ot_sender = await self._silent_sender(sender, mine)
            return ot_sender, await self._silent_receiver(receiver, theirs)
        ot_receiver = await self._silent_receiver(receiver, theirs)
        return await self._silent_sender(sender, mine), ot_receiver

    async def _silent_sender(self, sender: SoftSpokenOneOf2Sender, direction: Session) -> OtSender:
        delta = random_ots.random_delta()
        keys = await self.send_keys(sender, FIRST.seeds)
        seed, message = random_ots.offered_seed(keys.view(np.uint64), delta)
        await self._s.send(self.peer, message)
        rank = self._s.rank
        rows = FerretSender(direction, self.peer, seed, self._public_keys(rank), delta)
        return OtSender(
            direction,
            self.peer,
            random_ots.SilentOneOf2Sender(rows, delta, self._hash_key(b"silent bits", rank)),
            random_ots.SilentOneOf16Sender(rows, delta, self._hash_key(b"silent code", rank)),
        )

    async def _silent_receiver(self, receiver: SoftSpokenOneOf2Receiver, direction: Session) -> OtReceiver:
        choices, keys = await self.receive_keys(receiver, FIRST.seeds)
        message = await self._s.recv(self.peer, np.uint64, (FIRST.seeds, 2))
        seed = random_ots.chosen_seed(choices, keys.view(np.uint64), message)
        rows = FerretReceiver(direction, self.peer, seed, self._public_keys(self.peer))
        return OtReceiver(
            direction,
            self.peer,
            random_ots.SilentOneOf2Receiver(rows, self._hash_key(b"silent bits", self.peer)),
            random_ots.SilentOneOf16Receiver(rows, self._hash_key(b"silent code", self.peer)),
        )

    def _public_keys(self, sender: int) -> tuple[bytes, bytes]:
        return self._hash_key(b"silent trees", sender), self._hash_key(b"silent index", sender)

    async def _bit_sender(self, choices: Bools, keys: Bytes) -> SoftSpokenOneOf2Sender:
        trees = await self._punctured(choices, keys, self._bit_widths)
        return SoftSpokenOneOf2Sender(trees, self._hash_key(b"bits", self._s.rank))

    async def _bit_receiver(self, keys: Bytes) -> SoftSpokenOneOf2Receiver:
        return SoftSpokenOneOf2Receiver(await self._full(keys, self._bit_widths), self._hash_key(b"bits", self.peer))

    async def _code_sender(self, choices: Bools, keys: Bytes) -> SoftSpokenOneOf16Sender:
        trees = await self._punctured(choices, keys, self._code_widths)
        return SoftSpokenOneOf16Sender(trees, self._hash_key(b"code", self._s.rank))

    async def _code_receiver(self, keys: Bytes) -> SoftSpokenOneOf16Receiver:
        return SoftSpokenOneOf16Receiver(await self._full(keys, self._code_widths), self._hash_key(b"code", self.peer))

    async def send_keys(self, sender: SoftSpokenOneOf2Sender, n: int) -> Bytes:
        """Both keys of ``n`` OTs, (n, 2, 16)."""
        corrections = await self._s.recv(self.peer, np.uint64, (sender.trees - 1, padded(n) // 64))
        return sender_keys(sender, n, corrections).view(np.uint8)

    async def receive_keys(self, receiver: SoftSpokenOneOf2Receiver, n: int) -> tuple[Bools, Bytes]:
        """Random choices (n,) and the keys they select, (n, 16)."""
        choices, keys, corrections = receiver_keys(receiver, n)
        await self._s.send(self.peer, corrections)
        return choices, keys.view(np.uint8)

    async def _full(self, keys: Bytes, widths: list[int]) -> FullTrees:
        trees, message = await trio.to_thread.run_sync(grow, keys, widths)
        await self._s.send(self.peer, message)
        return FullTrees(trees, widths)

    async def _punctured(self, choices: Bools, keys: Bytes, widths: list[int]) -> PuncturedTrees:
        message = await self._s.recv(self.peer, np.uint8, (len(choices), 2, NODE))
        trees, missing = await trio.to_thread.run_sync(regrow, keys, choices, message, widths)
        return PuncturedTrees(trees, missing, widths)

    def _hash_key(self, use: bytes, sender: int) -> bytes:
        ranks = bytes([self._s.job_ranks[sender], self._s.job_ranks[1 - sender]])
        return session_key(self._s.context, use + ranks)


async def _check_sender(ot: OtSender) -> None:
    messages = await ot.random_bits(_CHECKED, _CHECK_WIDTH)
    tables = np.frombuffer(bytearray(secrets.token_bytes(4 * _CHECKED)), dtype=np.uint32)
    await ot.one_of_16(tables[None])
    words = _CHECKED // 64
    choices, got = np.split(await ot.session.recv(ot.peer, np.uint64, ((1 + _CHECK_WIDTH) * words,)), [words])
    entries = await ot.session.recv(ot.peer, np.uint8, (2, _CHECKED))
    expected = (messages[0] & ~choices) | (messages[1] & choices)
    right = (tables >> (2 * (entries[0] & 15)).astype(np.uint32)) & 3
    if not (np.array_equal(expected.ravel(), got) and np.array_equal(right, entries[1])):
        s = ot.session
        raise PeerMisbehaved(
            f"oblivious transfers set up with party {s.job_ranks[ot.peer]} do not work, step {s.current_step}",
            remedy="check that all parties run the same version of hansa (`hansa --version`)",
            peer=s.job_ranks[ot.peer],
            step=s.current_step,
        )


async def _check_receiver(ot: OtReceiver) -> None:
    choices, messages = await ot.random_bits(_CHECKED, _CHECK_WIDTH)
    chosen = np.frombuffer(secrets.token_bytes(_CHECKED), dtype=np.uint8) & np.uint8(15)
    entries = await ot.one_of_16(chosen)
    await ot.session.send(ot.peer, choices, messages.ravel())
    await ot.session.send(ot.peer, chosen, entries[0])


def _random_bools(n: int) -> Bools:
    return (np.frombuffer(secrets.token_bytes(n), dtype=np.uint8) & 1).astype(np.bool_)
