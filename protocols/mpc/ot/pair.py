"""Setting up oblivious transfers between two parties, in both directions."""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
import trio
from numpy.typing import NDArray

from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.mpc.ot.base_ot import receive_base_ots, send_base_ots
from hansa.protocols.mpc.ot.code import COLUMNS
from hansa.protocols.mpc.ot.extension import (
    BIT_COLUMNS,
    BitReceiver,
    BitSender,
    CodeReceiver,
    CodeSender,
    bit_widths,
    code_widths,
)
from hansa.protocols.mpc.ot.hash import session_key
from hansa.protocols.mpc.ot.receiver import OtReceiver, receiver_keys
from hansa.protocols.mpc.ot.sender import OtSender, sender_keys
from hansa.protocols.mpc.ot.softspoken import FullTrees, PuncturedTrees, padded
from hansa.protocols.mpc.ot.trees import NODE, grow, regrow
from hansa.protocols.mpc.session import Session, sole_error

DEFAULT_W: Final = 4
"""The best on loopback (`hansa bench ot --w`; docs/protocols.md has the table); a slow link is better served by 6 or 8."""
MAX_W: Final = 8
_CHECKED: Final = 128
_CHECK_WIDTH: Final = 8

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]


async def start_pair(session: Session, peer: int, w: int = DEFAULT_W) -> tuple[OtSender, OtReceiver]:
    """Both ends of transfers with ``peer``, one for each direction, which may be used at the same time.

    ``w`` is the depth of the trees: 128/w bits on the wire a transfer, for 2^w / w times the key stretching.

    1. 128 base transfers let the lower rank lack a leaf of each tree that the higher one grows: the lower rank can send.
    2. 368 of these transfers, of 128-bit keys, do the same for the other direction, and for its 1-of-16 transfers.
    3. 240 transfers of that direction do it for the first direction's 1-of-16 transfers.
    4. Each direction is tried once on transfers that are then opened: a set-up that was damaged is found here.

    Rounds: 11 at the lower rank, 10 at the higher. Bytes sent: 18,224 + 128·T + 64·T16 by the lower, 14,160 + 128·T + 64·T16
    by the higher, with T = ceil(128 / w) and T16 = 15·ceil(16 / w) trees. Raises ``PeerMisbehaved`` for points outside the
    group and for a set-up that does not work, ``DesyncError`` for another ``w``, and the session's errors.
    """
    assert 1 <= w <= MAX_W
    pair = session.among(sorted((session.rank, peer)))
    await pair.check_public("oblivious transfer", w)
    setup = _Setup(pair, w)
    if pair.rank == 0:
        choices = _random_bools(BIT_COLUMNS)
        sender = await setup.bit_sender(choices, await receive_base_ots(pair, setup.peer, choices))
        keys = await setup.send_keys(sender, BIT_COLUMNS + COLUMNS)
        receiver = await setup.bit_receiver(keys[:BIT_COLUMNS])
        code_receiver = await setup.code_receiver(keys[BIT_COLUMNS:])
        code_sender = await setup.code_sender(*await setup.receive_keys(receiver, COLUMNS))
    else:
        receiver = await setup.bit_receiver(await send_base_ots(pair, setup.peer, BIT_COLUMNS))
        choices, keys = await setup.receive_keys(receiver, BIT_COLUMNS + COLUMNS)
        sender = await setup.bit_sender(choices[:BIT_COLUMNS], keys[:BIT_COLUMNS])
        code_sender = await setup.code_sender(choices[BIT_COLUMNS:], keys[BIT_COLUMNS:])
        code_receiver = await setup.code_receiver(await setup.send_keys(sender, COLUMNS))
    directions = pair.fork("ot-0"), pair.fork("ot-1")
    ot_sender = OtSender(directions[pair.rank], setup.peer, sender, code_sender)
    ot_receiver = OtReceiver(directions[setup.peer], setup.peer, receiver, code_receiver)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_try_sender, ot_sender)
            nursery.start_soon(_try_receiver, ot_receiver)
    except ExceptionGroup as group:
        raise sole_error(group) from None
    return ot_sender, ot_receiver


class _Setup:
    """The steps of ``start_pair``: trees from keys of transfers, and keys from the transfers that there are so far."""

    def __init__(self, pair: Session, w: int) -> None:
        self.peer = 1 - pair.rank
        self._s = pair
        self._bit_widths, self._code_widths = bit_widths(w), code_widths(w)

    async def bit_sender(self, choices: Bools, keys: Bytes) -> BitSender:
        trees = await self._punctured(choices, keys, self._bit_widths)
        return BitSender(trees, self._hash_key(b"bits", self._s.rank))

    async def bit_receiver(self, keys: Bytes) -> BitReceiver:
        return BitReceiver(await self._full(keys, self._bit_widths), self._hash_key(b"bits", self.peer))

    async def code_sender(self, choices: Bools, keys: Bytes) -> CodeSender:
        trees = await self._punctured(choices, keys, self._code_widths)
        return CodeSender(trees, self._hash_key(b"code", self._s.rank))

    async def code_receiver(self, keys: Bytes) -> CodeReceiver:
        return CodeReceiver(await self._full(keys, self._code_widths), self._hash_key(b"code", self.peer))

    async def send_keys(self, sender: BitSender, n: int) -> Bytes:
        """Both keys of ``n`` transfers, (n, 2, 16)."""
        corrections = await self._s.recv(self.peer, np.uint64, (sender.trees - 1, padded(n) // 64))
        return sender_keys(sender, n, corrections).view(np.uint8)

    async def receive_keys(self, receiver: BitReceiver, n: int) -> tuple[Bools, Bytes]:
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


async def _try_sender(ot: OtSender) -> None:
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


async def _try_receiver(ot: OtReceiver) -> None:
    choices, messages = await ot.random_bits(_CHECKED, _CHECK_WIDTH)
    chosen = np.frombuffer(secrets.token_bytes(_CHECKED), dtype=np.uint8) & np.uint8(15)
    entries = await ot.one_of_16(chosen)
    await ot.session.send(ot.peer, choices, messages.ravel())
    await ot.session.send(ot.peer, chosen, entries[0])


def _random_bools(n: int) -> Bools:
    return (np.frombuffer(secrets.token_bytes(n), dtype=np.uint8) & 1).astype(np.bool_)
