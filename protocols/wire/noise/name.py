"""Noise protocol names: ``Noise_XXpsk0+psk2_25519_AESGCM_SHA256`` (Noise, section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hansa.protocols.wire.noise.patterns import PATTERNS, Pattern

_NAME = re.compile(
    r"Noise_(?P<base>[NKXI]1?[NKX]?1?)(?P<modifiers>(?:psk[0-9])(?:\+psk[0-9])*)?"
    r"_25519_(?P<cipher>ChaChaPoly|AESGCM)_(?P<hash>SHA256|SHA512|BLAKE2s|BLAKE2b)"
)


@dataclass(frozen=True, slots=True)
class ProtocolName:
    """A parsed protocol name: its pattern with modifiers applied, cipher and hash."""

    text: str
    pattern: Pattern
    cipher: str
    hash: str

    @classmethod
    def parse(cls, text: str) -> ProtocolName:
        """Parse a protocol name; ``ValueError`` names the part that is not known."""
        match = _NAME.fullmatch(text)
        if match is None:
            raise ValueError(f"not a Noise protocol name of 25519, ChaChaPoly or AESGCM: {text!r}")
        pattern = PATTERNS.get(match["base"])
        if pattern is None:
            raise ValueError(f"unknown Noise pattern {match['base']!r}")
        positions = [int(part.removeprefix("psk")) for part in (match["modifiers"] or "").split("+") if part]
        if len(set(positions)) != len(positions):
            raise ValueError(f"a psk modifier stands twice in {text!r}")
        for position in positions:
            pattern = pattern.with_psk(position)
        return cls(text, pattern, match["cipher"], match["hash"])
