"""What can go wrong between parties, by who must act."""

from __future__ import annotations

from hansa.config.errors import HansaError


class PeerError(HansaError):
    """A peer did something, or did nothing, that ends what we did with it (fields: peer, step)."""

    code = "peer"
    exit_code = 5


class PeerLost(PeerError):
    """The connection to a peer ended without its saying goodbye."""

    code = "peer-lost"


class PeerTimeout(PeerError):
    """A peer showed no sign of life within the bound."""

    code = "peer-timeout"


class PeerMisbehaved(PeerError):
    """A peer sent bytes no honest peer sends (too long, malformed, out of order)."""

    code = "peer-misbehaved"


class PeerAborted(PeerError):
    """A peer ended the common work and said why (the fields carry its own error)."""

    code = "peer-aborted"


class SecurityError(HansaError):
    """A key, signature, authentication tag or certificate that does not verify."""

    code = "security"
    exit_code = 8


class ConsentError(HansaError):
    """A contract that is malformed, expired, refused, cancelled or not the same at every party."""

    code = "consent"
    exit_code = 6


class ProtocolError(HansaError):
    """A protocol used against its rules by our own code (a bug here, not at the peer)."""

    code = "protocol"


class DesyncError(ProtocolError):
    """Two parties are at different steps or with different public parameters (fields: peer, here, there)."""

    code = "desync"
    exit_code = 7


class UndeclaredOpening(ProtocolError):
    """A protocol tried to open a value the contract does not name (fields: what)."""

    code = "undeclared-opening"
    exit_code = 8


def one_line(said: str, fill: str = " ") -> str:
    """A peer's words on one line: ``fill`` replaces what cannot be printed, such as control characters and lone surrogates."""
    return "".join(char if char.isprintable() else fill for char in said)
