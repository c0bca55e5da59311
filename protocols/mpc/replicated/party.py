"""What protocols on replicated shares use of the engine that runs them, and nothing more."""

from __future__ import annotations

from typing import Protocol

from hansa.protocols.mpc.adder import AndsBits
from hansa.protocols.mpc.prf import Keystream
from hansa.protocols.mpc.session.session import Session


class ReplicatedParty(AndsBits, Protocol):
    """One of the three computing parties: its links with the other two, and the keystreams it has in common with each."""

    session: Session
    """The session of the three."""
    rank: int
    previous: int
    next: int
    key_own: Keystream
    """Keystream ``rank``, shared with the previous party."""
    key_next: Keystream
    """Keystream ``rank + 1``, shared with the next party."""
