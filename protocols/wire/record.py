"""Peer records: what a node says of itself, signed, so that any member may pass it on.

The record certifies the X25519 static key by the Ed25519 identity. Of two records of one identity the one with the
higher sequence number counts.
"""

from __future__ import annotations

import re
from typing import Any

from hansa.config.vocabulary import ADDRESS, NAME
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire import canonical, limits, signing
from hansa.protocols.wire.declared import declared, each, number, octets, plain, printable, read_untrusted
from hansa.protocols.wire.fields import Fields

_TAG = "peer-record"


def valid_name(name: str) -> bool:
    """Whether ``name`` can name a node: 1 to 64 letters, digits, dots, dashes, underscores."""
    return re.fullmatch(NAME, name) is not None


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` (IPv6 in brackets) as (host, port); ``ValueError`` says what is wrong with it."""
    host, _, port = address.rpartition(":")
    if not re.fullmatch(ADDRESS, address) or int(port) > 65535:
        raise ValueError(f"{address[:300]!r} is not an address: write host:port, as in bank.example:7400")
    return host.strip("[]"), int(port)


def _address_untrusted(value: Any) -> str:
    try:
        split_address(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise Fields({}, "a peer record").refused(f"has a bad address ({error})") from error
    return str(value)


@declared()
class PeerRecord:
    """Identity (Ed25519), static key (X25519), name, addresses (``host:port``), sequence number, signature."""

    identity: bytes = octets(32)
    static_key: bytes = octets(32)
    name: str = printable(limits.NAME_MAX, 1)
    addresses: tuple[str, ...] = each(limits.RECORD_MAX_ADDRESSES, _address_untrusted)
    sequence: int = number(1 << 62)
    sig: bytes = octets(64)

    @classmethod
    def make(
        cls,
        signing_key: bytes,
        identity: bytes,
        static_key: bytes,
        name: str,
        addresses: tuple[str, ...],
        sequence: int,
    ) -> PeerRecord:
        """Sign a record with the signing key of ``identity``."""
        body = _body(static_key, name, addresses, sequence)
        return cls(identity, static_key, name, addresses, sequence, signing.sign(signing_key, _TAG, body))

    @classmethod
    def by_hand(cls, identity: bytes, static_key: bytes, name: str, address: str) -> PeerRecord:
        """A stand-in, unsigned, for a peer whose keys an operator typed; its own record will replace it."""
        return cls(identity, static_key, name, (address,), 0, bytes(64))

    def encode(self) -> bytes:
        """The canonical bytes."""
        return canonical.encode(plain(self))

    @classmethod
    def decode_untrusted(cls, data: bytes | memoryview) -> PeerRecord:
        """Decode and verify; raises ``PeerMisbehaved`` or ``SecurityError``."""
        record = cls.decode_pinned(data)
        if record.sequence < 1:
            raise Fields({}, "a peer record").refused("has the sequence of one written by hand")
        body = _body(record.static_key, record.name, record.addresses, record.sequence)
        signing.verify(record.identity, _TAG, body, record.sig)
        return record

    @classmethod
    def decode_pinned(cls, data: bytes | memoryview) -> PeerRecord:
        """Decode one from our own store, where an operator's pin needs no signature (then ``sequence`` is 0)."""
        record = read_untrusted(cls, canonical.decode_untrusted(data, limits.RECORD_MAX_BYTES), "a peer record")
        if not valid_name(record.name):
            raise Fields({}, "a peer record").refused(f"has the name {record.name!r}")
        return record


def newer(known: PeerRecord | None, incoming: PeerRecord) -> bool:
    """Whether ``incoming`` should replace ``known``.

    Raises ``PeerMisbehaved`` where its signer gave one sequence number to two records.
    """
    assert known is None or known.identity == incoming.identity, "records of two nodes are not versions of one"
    if known is None or incoming.sequence > known.sequence:
        return True
    if incoming.sequence == known.sequence and incoming.encode() != known.encode():
        raise PeerMisbehaved(
            f"{incoming.name} signed two different records with sequence {incoming.sequence}",
            remedy=f"ask {incoming.name} whether its key was copied to a second machine",
            peer=incoming.name,
        )
    return False


def _body(static_key: bytes, name: str, addresses: tuple[str, ...], sequence: int) -> bytes:
    return canonical.encode([static_key, name, list(addresses), sequence])
