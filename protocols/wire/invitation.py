"""Invitation codes: one line of text that lets one newcomer in, once.

    hansa1-<base32 of: version, expiry, inviter's identity and static key, secret, address, checksum>

The secret is the pre-shared key of the meeting's handshake (XXpsk0), so only who holds the code can answer, and the
inviter's key in it tells the newcomer who must answer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

from hansa.protocols.errors import ConsentError
from hansa.protocols.wire.record import split_address
from hansa.protocols.wire.signing import tagged_hash

PREFIX = "hansa1-"
SECRET_BYTES = 16
_VERSION = 1
_CHECKSUM = 4
_FIXED = 1 + 8 + 32 + 32 + SECRET_BYTES
_MAX_CODE = 700


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a code carries; ``expires`` in unix seconds."""

    identity: bytes
    static_key: bytes
    address: str
    expires: int
    secret: bytes = field(repr=False)

    def code(self) -> str:
        """The text to hand over."""
        head = bytes([_VERSION]) + self.expires.to_bytes(8, "big") + self.identity + self.static_key + self.secret
        body = head + self.address.encode("ascii")
        text = base64.b32encode(body + _checksum(body)).decode("ascii").rstrip("=").lower()
        return PREFIX + text

    @property
    def token(self) -> bytes:
        """The public name of the invitation, shown in the preamble."""
        return tagged_hash("hansa-invitation-token", self.secret)[:16]

    @property
    def psk(self) -> bytes:
        """The pre-shared key of the meeting."""
        return tagged_hash("hansa-invitation-psk", self.secret, self.identity)

    @classmethod
    def parse(cls, code: str, now: int) -> Invitation:
        """Read a code; ``ConsentError`` says whether it is mistyped or has expired."""
        text = "".join(code.split()).lower()
        if not text.startswith(PREFIX) or len(text) > _MAX_CODE:
            raise _mistyped(f"an invitation code begins with {PREFIX}")
        text = text.removeprefix(PREFIX).upper()
        try:
            raw = base64.b32decode(text + "=" * (-len(text) % 8))
        except (binascii.Error, ValueError) as error:
            raise _mistyped("it holds letters no code has") from error
        body, checksum = raw[:-_CHECKSUM], raw[-_CHECKSUM:]
        if len(body) <= _FIXED or not hmac.compare_digest(_checksum(body), checksum) or body[0] != _VERSION:
            raise _mistyped("its checksum does not fit")
        cuts = (1, 9, 41, 73, _FIXED)
        address = body[_FIXED:].decode("ascii", "replace")
        try:
            split_address(address)
        except ValueError as error:
            raise _mistyped(str(error)) from error
        invitation = cls(
            expires=int.from_bytes(body[cuts[0] : cuts[1]], "big"),
            identity=body[cuts[1] : cuts[2]],
            static_key=body[cuts[2] : cuts[3]],
            secret=body[cuts[3] : cuts[4]],
            address=address,
        )
        if now >= invitation.expires:
            raise ConsentError(
                "the invitation code has expired", remedy="ask for a new one: `hansa peer invite` at the other node"
            )
        return invitation


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM).digest()


def _mistyped(why: str) -> ConsentError:
    return ConsentError(
        f"the invitation code cannot be read: {why}", remedy="copy the whole line from `hansa peer invite` again"
    )
