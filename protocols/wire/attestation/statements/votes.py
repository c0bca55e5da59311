"""Members' votes that an enclave's keys may go to other code. So members decide an upgrade, not an enclave or its operator.

A vote covers (tag, both codes, voter, end). Its voter lets enclaves proven to run ``code_to`` have the keys that ``code_from``
holds for jobs of the voter. A vote names no job. Anybody may pass it on. It cannot be taken back before its end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hansa.protocols.errors import SecurityError
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.attestation.platforms import INSECURE_SIMULATED, Code, code_untrusted
from hansa.protocols.wire.declared import plain
from hansa.protocols.wire.fields import Fields

_TAG = "code-upgrade"
_MAX_TIME = 1 << 53


@dataclass(frozen=True, slots=True)
class Vote:
    """``voter`` (an Ed25519 identity) lets keys go from one code to another until ``until`` (Unix seconds, exclusive)."""

    code_from: Code
    code_to: Code
    voter: bytes
    until: int
    sig: bytes

    @classmethod
    def make(cls, signing_key: bytes, voter: bytes, code_from: Code, code_to: Code, until: int) -> Vote:
        """Sign with the signing key of ``voter``. ``SecurityError`` for a change between real and simulated hardware."""
        if _leaves_hardware(code_from, code_to):
            raise SecurityError(
                f"keys never go from {code_from.platform} to {code_to.platform}",
                remedy="vote for code on trusted hardware, or submit the job anew",
            )
        return cls(
            code_from, code_to, voter, until, signing.sign(signing_key, _TAG, _body(code_from, code_to, voter, until))
        )

    def verify(self) -> None:
        """Raise ``SecurityError`` unless ``voter`` made it."""
        body = _body(self.code_from, self.code_to, self.voter, self.until)
        signing.verify(self.voter, _TAG, body, self.sig)

    def encode(self) -> bytes:
        """Canonical bytes, the signature with them."""
        return canonical.encode(_map(self.code_from, self.code_to, self.voter, self.until) | {"sig": self.sig})

    @classmethod
    def decode_untrusted(cls, data: bytes | memoryview) -> Vote:
        """Read a vote of at most ``VOTE_MAX_BYTES``; ``PeerMisbehaved`` where it is none. ``verify`` it before it counts."""
        fields = Fields(canonical.decode_untrusted(data, limits.VOTE_MAX_BYTES), "a vote")
        vote = cls(
            code_from=fields.value("from", code_untrusted),
            code_to=fields.value("to", code_untrusted),
            voter=fields.octets("voter", 32),
            until=fields.number("until", 0, _MAX_TIME),
            sig=fields.octets("sig", 64),
        )
        fields.end()
        return vote


def approving(
    votes: Iterable[Vote], code_from: Code, code_to: Code, voters: Collection[bytes], now: int
) -> frozenset[bytes]:
    """Those of ``voters`` who let keys go from one code to the other at ``now``.

    A vote does not count if it is for another change, has ended, is a stranger's or is forged. A voter counts once. At most
    ``VOTES_VERIFIED`` signatures are verified (0.2 ms each). Votes for other changes cost none, so they cannot crowd others out.
    """
    if _leaves_hardware(code_from, code_to):
        return frozenset()
    wanted = set(voters)
    to_the_point = (
        vote
        for vote in votes
        if (vote.code_from, vote.code_to) == (code_from, code_to) and now < vote.until and vote.voter in wanted
    )
    return frozenset(vote.voter for vote in verified(islice(to_the_point, limits.VOTES_VERIFIED)))


def verified(votes: Iterable[Vote]) -> Iterator[Vote]:
    """The votes whose signatures verify."""
    for vote in votes:
        try:
            vote.verify()
        except SecurityError:
            continue
        yield vote


def _leaves_hardware(code_from: Code, code_to: Code) -> bool:
    """Simulated hardware keeps no key secret, and keys made there would pass for real ones."""
    return (code_from.platform == INSECURE_SIMULATED) != (code_to.platform == INSECURE_SIMULATED)


def _body(code_from: Code, code_to: Code, voter: bytes, until: int) -> bytes:
    return canonical.encode(_map(code_from, code_to, voter, until))


def _map(code_from: Code, code_to: Code, voter: bytes, until: int) -> dict[str, Any]:
    return {"from": plain(code_from), "to": plain(code_to), "voter": voter, "until": until}
