"""From first byte to keys: preambles, then the Noise handshake, as a sans-IO machine.

    initiator   send preamble -> WAIT_REPLY -> HANDSHAKE -> DONE
    responder   (preamble already read) send reply ----> HANDSHAKE -> [CONFIRM] -> DONE
    any bad byte or refusal -> FAILED, for good

Each handshake message travels behind a two-byte length. Each side's payload travels in the last message that it
writes, where the pattern protects it best. Where the responder writes the last message (KK, IK), the initiator's only
one may be a replay (Noise, section 7.7: payload security 1 and 2): the responder then waits for an empty transport
message, which only who holds the present ephemeral key can make, before it believes that anybody is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from hansa.config.errors import HansaError
from hansa.protocols.errors import PeerMisbehaved, ProtocolError
from hansa.protocols.wire.channel.preamble import Preamble, PreambleRefused, Purpose, Refusal, Reply
from hansa.protocols.wire.limits import HANDSHAKE_MAX_PAYLOAD
from hansa.protocols.wire.noise import CipherState, HandshakeState, KeyPair, ProtocolName

_MAX_HANDSHAKE_MESSAGE = HANDSHAKE_MAX_PAYLOAD + 256


@dataclass(frozen=True, slots=True)
class HandshakeParams:
    """What one side brings: the pattern ("XX", "IK", "KK", with psk modifiers), keys, permitted suites, payload."""

    pattern: str
    static_secret: bytes = field(repr=False)
    suites: tuple[str, ...]
    remote_static: bytes | None = None
    prologue_extra: bytes = b""
    payload: bytes = b""
    psk: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Established:
    """The result: who is there, what it said, and the keys of both directions."""

    remote_static: bytes
    remote_payload: bytes
    handshake_hash: bytes
    suite: str
    sending: CipherState = field(repr=False)
    receiving: CipherState = field(repr=False)
    rest: bytes = field(repr=False)
    """Bytes that arrived behind the handshake; they belong to the records."""


class _HandshakingState(Enum):
    WAIT_REPLY = auto()
    HANDSHAKE = auto()
    CONFIRM = auto()
    DONE = auto()
    FAILED = auto()


class Handshaking:
    """One side of one connection's beginning: ``data_to_send()`` and ``receive_data_untrusted()``."""

    def __init__(self, params: HandshakeParams, *, initiator: bool, preamble: Preamble) -> None:
        if len(params.payload) > HANDSHAKE_MAX_PAYLOAD:
            raise ProtocolError(
                f"a handshake payload of {len(params.payload)} bytes, at most {HANDSHAKE_MAX_PAYLOAD} are read",
                remedy="send it as a message once the channel is open",
            )
        self._params = params
        self._initiator = initiator
        self._preamble = preamble
        self._buffer = b""
        self._out = b""
        self._remote_payload = b""
        self._suite = ""
        self._noise: HandshakeState | None = None
        self._writes_left = 0
        self._confirms = False
        self._unconfirmed: Established | None = None
        self._state = _HandshakingState.WAIT_REPLY
        self.established: Established | None = None

    @classmethod
    def initiate(cls, params: HandshakeParams, purpose: Purpose, token: bytes) -> Handshaking:
        """Begin as the dialing side."""
        machine = cls(params, initiator=True, preamble=Preamble.build(purpose, token, params.suites))
        machine._out = machine._preamble.raw
        return machine

    @classmethod
    def respond(cls, params: HandshakeParams, preamble: Preamble) -> Handshaking:
        """Begin as the accepting side, whose listener has read ``preamble``."""
        machine = cls(params, initiator=False, preamble=preamble)
        reply = Reply.choose(preamble.suites, params.suites)
        machine._out = reply.raw
        if reply.suite is None:
            machine._state = _HandshakingState.FAILED
        else:
            machine._begin(reply)
        return machine

    @property
    def failed(self) -> bool:
        """Whether this connection can only be closed."""
        return self._state is _HandshakingState.FAILED

    def data_to_send(self) -> bytes:
        """Bytes to put on the wire now (possibly none)."""
        out, self._out = self._out, b""
        return out

    def receive_data_untrusted(self, data: bytes) -> None:
        """Feed bytes of the peer; raises ``PeerError`` or ``SecurityError``, after which the machine is dead."""
        if self._state in {_HandshakingState.FAILED, _HandshakingState.DONE}:
            raise ProtocolError("bytes for a finished handshake", remedy="report this as a bug")
        self._buffer += data
        try:
            self._advance()
        except HansaError:
            self._state = _HandshakingState.FAILED
            raise

    def refuse_message(self) -> PreambleRefused:
        """The error of a responder that found no common suite."""
        offered = ", ".join(map(ascii, self._preamble.suites))
        return PreambleRefused(
            f"no common cipher suite: the peer offers {offered}, we permit {', '.join(self._params.suites)}",
            remedy="add a common suite to channel.suites in hansa.toml on one of the nodes",
            reason=Refusal.NO_COMMON_SUITE.name.lower(),
        )

    def _advance(self) -> None:
        if self._state is _HandshakingState.WAIT_REPLY:
            reply = Reply.parse_untrusted(self._buffer, self._params.suites)
            if reply is None:
                return
            self._buffer = self._buffer[len(reply.raw) :]
            self._begin(reply)
        while self._state in {_HandshakingState.HANDSHAKE, _HandshakingState.CONFIRM} and len(self._buffer) >= 2:
            length = int.from_bytes(self._buffer[:2], "big")
            if length > _MAX_HANDSHAKE_MESSAGE:
                raise PeerMisbehaved(
                    f"the peer's handshake message claims {length} bytes, at most {_MAX_HANDSHAKE_MESSAGE} are read",
                    remedy="check that the address belongs to a hansa node (`hansa doctor`)",
                )
            if len(self._buffer) < 2 + length:
                return
            message, self._buffer = self._buffer[2 : 2 + length], self._buffer[2 + length :]
            if self._unconfirmed is not None:
                self._confirm_untrusted(self._unconfirmed, message)
            else:
                self._remote_payload += self._machine().read_message(message)
                self._write_if_due()

    def _begin(self, reply: Reply) -> None:
        self._suite = reply.suite or ""
        params = self._params
        name = ProtocolName.parse(f"Noise_{params.pattern}_25519_{self._suite}")
        self._noise = HandshakeState(
            name,
            initiator=self._initiator,
            prologue=self._preamble.raw + reply.raw + params.prologue_extra,
            s=KeyPair.from_secret(params.static_secret),
            rs=params.remote_static,
            psks=() if params.psk is None else (params.psk,),
        )
        count = len(name.pattern.messages)
        self._writes_left = (count + 1) // 2 if self._initiator else count // 2
        self._confirms = count % 2 == 0
        self._state = _HandshakingState.HANDSHAKE
        if self._initiator:
            self._write_if_due()

    def _write_if_due(self) -> None:
        noise = self._machine()
        if not noise.complete:
            self._writes_left -= 1
            message = noise.write_message(self._params.payload if self._writes_left == 0 else b"")
            self._out += len(message).to_bytes(2, "big") + message
        if noise.complete:
            self._finish(noise)

    def _finish(self, noise: HandshakeState) -> None:
        handshake_hash, rs = noise.handshake_hash, noise.rs
        sending, receiving = noise.split()
        if rs is None or sending is None or receiving is None:
            raise ProtocolError(
                "a channel needs an interactive pattern with static keys", remedy="report this as a bug"
            )
        result = Established(rs, self._remote_payload, handshake_hash, self._suite, sending, receiving, self._buffer)
        if self._confirms and not self._initiator:
            self._unconfirmed = result
            self._state = _HandshakingState.CONFIRM
            return
        if self._confirms:
            confirmation = sending.encrypt_with_ad(b"", b"")
            self._out += len(confirmation).to_bytes(2, "big") + confirmation
        self._state = _HandshakingState.DONE
        self.established = result

    def _confirm_untrusted(self, result: Established, message: bytes) -> None:
        if result.receiving.decrypt_with_ad(b"", message):
            raise PeerMisbehaved(
                "the peer confirmed the handshake with more than an empty message",
                remedy="update both nodes to the same version",
            )
        self._state = _HandshakingState.DONE
        self.established = replace(result, rest=self._buffer)

    def _machine(self) -> HandshakeState:
        if self._noise is None:
            raise ProtocolError("no handshake yet", remedy="report this as a bug")
        return self._noise
