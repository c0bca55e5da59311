"""The errors that hansa raises, by who must act. ``HansaError`` is the root of all; docs/errors.md lists every code."""

from hansa.algorithms.errors import DataError
from hansa.config.errors import ConfigError, HansaError
from hansa.node.errors import DaemonNotRunning, JobError, MissingExtra, RelayedError, UsageError
from hansa.protocols.errors import (
    ConsentError,
    DesyncError,
    PeerAborted,
    PeerError,
    PeerLost,
    PeerMisbehaved,
    PeerTimeout,
    ProtocolError,
    SecurityError,
    UndeclaredOpening,
)

__all__ = [
    "ConfigError",
    "ConsentError",
    "DaemonNotRunning",
    "DataError",
    "DesyncError",
    "HansaError",
    "JobError",
    "MissingExtra",
    "PeerAborted",
    "PeerError",
    "PeerLost",
    "PeerMisbehaved",
    "PeerTimeout",
    "ProtocolError",
    "RelayedError",
    "SecurityError",
    "UndeclaredOpening",
    "UsageError",
]
