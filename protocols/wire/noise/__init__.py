"""The Noise Protocol Framework (revision 34) over 25519, as sans-IO objects with the specification's names."""

from hansa.protocols.wire.noise.cipher import CipherState
from hansa.protocols.wire.noise.handshake import HandshakeState, KeyPair
from hansa.protocols.wire.noise.name import ProtocolName

__all__ = ["CipherState", "HandshakeState", "KeyPair", "ProtocolName"]
