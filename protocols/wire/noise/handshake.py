"""HandshakeState (Noise, sections 5.3 and 7): one handshake pattern, message by message.

States: ``messages left`` -> (write or read in turn) -> ``complete`` -> split() -> ``spent``; a failed read, or any
call out of turn, leaves it ``spent`` for good.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from hansa.protocols.errors import ProtocolError, SecurityError
from hansa.protocols.wire.limits import NOISE_MAX_MESSAGE
from hansa.protocols.wire.noise.cipher import CipherState
from hansa.protocols.wire.noise.name import ProtocolName
from hansa.protocols.wire.noise.symmetric import SymmetricState

DHLEN = 32


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An X25519 key pair, 32 bytes each."""

    secret: bytes = field(repr=False)
    public: bytes

    @classmethod
    def from_secret(cls, secret: bytes) -> KeyPair:
        """The pair of a 32-byte secret."""
        return cls(secret, crypto_scalarmult_base(secret))

    @classmethod
    def generate(cls) -> KeyPair:
        """A fresh pair from the operating system's generator."""
        return cls.from_secret(os.urandom(DHLEN))


class HandshakeState:
    """One side of one handshake.

    ``s``: own static pair; ``rs``: the peer's static key where the pattern knows it beforehand; ``psks``: 32-byte
    pre-shared keys in the order of their tokens; ``e``: a fixed ephemeral pair, for test vectors only.
    """

    def __init__(
        self,
        name: ProtocolName,
        *,
        initiator: bool,
        prologue: bytes = b"",
        s: KeyPair | None = None,
        rs: bytes | None = None,
        psks: Sequence[bytes] = (),
        e: KeyPair | None = None,
    ) -> None:
        if len(psks) != name.pattern.psk_count or any(len(psk) != DHLEN for psk in psks):
            raise ProtocolError(
                f"{name.text} needs {name.pattern.psk_count} pre-shared keys of 32 bytes", remedy="report this as a bug"
            )
        self._initiator = initiator
        self._one_way = name.pattern.one_way
        self._psk_mode = bool(psks)
        self._psks = list(psks)
        self._messages = list(name.pattern.messages)
        self._my_turn = initiator
        self._spent = False
        self._fixed_e = e
        self.s, self.rs = s, rs
        self.e: KeyPair | None = None
        self.re: bytes | None = None
        self._symmetric = SymmetricState(name.text, name.cipher, name.hash)
        self._symmetric.mix_hash(prologue)
        self._mix_premessages(name)

    def _mix_premessages(self, name: ProtocolName) -> None:
        sides = ((True, name.pattern.initiator_premessage), (False, name.pattern.responder_premessage))
        for by_initiator, tokens in sides:
            for token in tokens:
                if token != "s":  # no 25519 pattern of the specification has another pre-message
                    raise ProtocolError(f"pre-message token {token}", remedy="report this as a bug")
                mine = by_initiator == self._initiator
                self._symmetric.mix_hash(self._own_s().public if mine else self._their(self.rs, "rs"))

    @property
    def complete(self) -> bool:
        """Whether every message has been written or read."""
        return not self._messages and not self._spent

    @property
    def handshake_hash(self) -> bytes:
        """``h``: unique to this handshake; final once it is complete (Noise, section 11.2)."""
        return self._symmetric.h

    def write_message(self, payload: bytes = b"") -> bytes:
        """WriteMessage: the next handshake message, with ``payload`` encrypted as far as keys are agreed."""
        tokens = self._next_tokens(writing=True)
        out = b"".join(self._write_token(token) for token in tokens)
        out += self._symmetric.encrypt_and_hash(payload)
        if len(out) > NOISE_MAX_MESSAGE:
            self._fail("a handshake message would be longer than 65,535 bytes")
        return out

    def read_message(self, message: bytes) -> bytes:
        """ReadMessage: the payload of the peer's handshake message.

        Raises ``SecurityError`` for any byte that an honest peer would not have sent; the handshake is then spent.
        """
        tokens = self._next_tokens(writing=False)
        self._spent = True  # until the whole message has been accepted
        if len(message) > NOISE_MAX_MESSAGE:
            self._fail("a handshake message is longer than 65,535 bytes")
        rest = message
        for token in tokens:
            rest = self._read_token(token, rest)
        payload = self._symmetric.decrypt_and_hash(rest)
        self._spent = False
        return payload

    def split(self) -> tuple[CipherState | None, CipherState | None]:
        """The cipher states (for sending, for receiving); kills the handshake.

        A one-way pattern has one direction only (Noise, section 7.4): the initiator receives nothing and the
        responder sends nothing; the state that must not exist is ``None``.
        """
        if not self.complete:
            self._fail("split before the handshake is complete")
        self._spent = True
        there, back = self._symmetric.split()
        if self._one_way:
            return (there, None) if self._initiator else (None, there)
        return (there, back) if self._initiator else (back, there)

    # --- tokens (Noise, section 5.3) -----------------------------------------------------------------------------

    def _write_token(self, token: str) -> bytes:
        if token == "e":
            self.e = self._fixed_e or KeyPair.generate()
            self._mix_ephemeral(self.e.public)
            return self.e.public
        if token == "s":
            return self._symmetric.encrypt_and_hash(self._own_s().public)
        self._mix_secret(token)
        return b""

    def _read_token(self, token: str, rest: bytes) -> bytes:
        if token == "e":
            self.re = self._take(rest, DHLEN)
            self._mix_ephemeral(self.re)
            return rest[DHLEN:]
        if token == "s":
            length = DHLEN + self._symmetric.cipher_state.overhead
            self.rs = self._symmetric.decrypt_and_hash(self._take(rest, length))
            return rest[length:]
        self._mix_secret(token)
        return rest

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        if self._psk_mode:  # section 9.2: randomises the key before the first ciphertext under a psk
            self._symmetric.mix_key(public)

    def _mix_secret(self, token: str) -> None:
        if token == "psk":
            self._symmetric.mix_key_and_hash(self._psks.pop(0))
            return
        mine, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        pair = self._own_e() if mine == "e" else self._own_s()
        public = self._their(self.re, "re") if theirs == "e" else self._their(self.rs, "rs")
        try:
            self._symmetric.mix_key(crypto_scalarmult(pair.secret, public))
        except CryptoError as error:
            self._spent = True
            raise SecurityError(
                "the peer sent a key of small order", remedy="check the peer's software and its pinned key"
            ) from error

    # --- turns and presence --------------------------------------------------------------------------------------

    def _next_tokens(self, *, writing: bool) -> tuple[str, ...]:
        if self._spent or not self._messages or self._my_turn != writing:
            self._fail("a handshake message out of turn")
        self._my_turn = not self._my_turn
        return self._messages.pop(0)

    def _take(self, rest: bytes, length: int) -> bytes:
        if len(rest) < length:
            self._spent = True
            raise SecurityError("a handshake message is truncated", remedy="reconnect to the peer")
        return rest[:length]

    def _own_s(self) -> KeyPair:
        return self.s if self.s is not None else self._fail("the pattern needs our static key")

    def _own_e(self) -> KeyPair:
        return self.e if self.e is not None else self._fail("the pattern needs our ephemeral key")

    def _their(self, key: bytes | None, which: str) -> bytes:
        return key if key is not None else self._fail(f"the pattern needs the peer's key {which}")

    def _fail(self, why: str) -> NoReturn:
        self._spent = True
        raise ProtocolError(why, remedy="reconnect to the peer; report this as a bug if it happens again")
