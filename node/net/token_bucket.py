"""How much of something a peer may have: so much at once, and so much a second in the long run."""

from __future__ import annotations

import trio


class TokenBucket:
    """Full at first, with ``burst`` units; ``per_s`` units come back every second."""

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left, self._at = burst, trio.current_time()

    def take(self, units: float) -> float:
        """Take units, also those that are not there yet: the seconds to wait until they are."""
        self._refill()
        self._left -= units
        return max(0.0, -self._left / self._per_s)

    def take_if_there(self, units: float = 1.0) -> bool:
        """Take units if there are as many."""
        self._refill()
        if self._left < units:
            return False
        self._left -= units
        return True

    def _refill(self) -> None:
        now = trio.current_time()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
