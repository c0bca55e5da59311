"""Which jobs a node forgets: proposals that came to nothing, when they are old, or when there are too many.

What this node has signed stays until its contract is long expired: shown again, it would be signed a second time with
another key, which is evidence against this node.
"""

from __future__ import annotations

from collections.abc import Iterable

from hansa.node.jobs.record import JobRecord

KEPT_S = 30 * 24 * 3600
KEPT_PROPOSALS = 200
KEPT_BYTES = 16 << 20
LONG_EXPIRED_S = 24 * 3600
"""A contract whose time has been over for so long is no proposal any more; less may be a clock that is wrong."""


def forgettable(records: Iterable[JobRecord], now: int) -> list[bytes]:
    """The ids of those to forget; ``records`` from the oldest to the newest, ``now`` in unix seconds."""
    forget, kept, size = [], 0, 0
    for record in reversed([r for r in records if r.state.final and not r.certificate]):
        kept, size = kept + 1, size + len(record.contract_bytes)
        over = long_expired(record.contract.expires, now)
        many = kept > KEPT_PROPOSALS or size > KEPT_BYTES
        if (over and now - record.finished > KEPT_S) or (many and (over or not record.job_secret)):
            forget.append(record.job_id)
    return forget


def long_expired(expires: int, now: int) -> bool:
    """Whether a contract's expiry is so long ago that it is not even looked at."""
    return now - expires > LONG_EXPIRED_S
