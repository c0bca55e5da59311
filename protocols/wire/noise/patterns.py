"""Handshake patterns as data (Noise, sections 7 and 9, appendix A).

A pattern is what each side knows beforehand and a list of messages, each a list of tokens. The psk modifiers only
insert ``psk`` tokens, so every combination of them is derived, not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

_ONE_WAY = {
    "N": ("", "s", "e es"),
    "K": ("s", "s", "e es ss"),
    "X": ("", "s", "e es s ss"),
}

_INTERACTIVE = {
    "NN": ("", "", "e", "e ee"),
    "NK": ("", "s", "e es", "e ee"),
    "NX": ("", "", "e", "e ee s es"),
    "KN": ("s", "", "e", "e ee se"),
    "KK": ("s", "s", "e es ss", "e ee se"),
    "KX": ("s", "", "e", "e ee se s es"),
    "XN": ("", "", "e", "e ee", "s se"),
    "XK": ("", "s", "e es", "e ee", "s se"),
    "XX": ("", "", "e", "e ee s es", "s se"),
    "IN": ("", "", "e s", "e ee se"),
    "IK": ("", "s", "e es s ss", "e ee se"),
    "IX": ("", "", "e s", "e ee se s es"),
}

_DEFERRED = {
    "NK1": ("", "s", "e", "e ee es"),
    "NX1": ("", "", "e", "e ee s", "es"),
    "X1N": ("", "", "e", "e ee", "s", "se"),
    "X1K": ("", "s", "e es", "e ee", "s", "se"),
    "XK1": ("", "s", "e", "e ee es", "s se"),
    "X1K1": ("", "s", "e", "e ee es", "s", "se"),
    "X1X": ("", "", "e", "e ee s es", "s", "se"),
    "XX1": ("", "", "e", "e ee s", "es s se"),
    "X1X1": ("", "", "e", "e ee s", "es s", "se"),
    "K1N": ("s", "", "e", "e ee", "se"),
    "K1K": ("s", "s", "e es", "e ee", "se"),
    "KK1": ("s", "s", "e", "e ee se es"),
    "K1K1": ("s", "s", "e", "e ee es", "se"),
    "K1X": ("s", "", "e", "e ee s es", "se"),
    "KX1": ("s", "", "e", "e ee se s", "es"),
    "K1X1": ("s", "", "e", "e ee s", "se es"),
    "I1N": ("", "", "e s", "e ee", "se"),
    "I1K": ("", "s", "e es s", "e ee", "se"),
    "IK1": ("", "s", "e s", "e ee se es"),
    "I1K1": ("", "s", "e s", "e ee es", "se"),
    "I1X": ("", "", "e s", "e ee s es", "se"),
    "IX1": ("", "", "e s", "e ee se s", "es"),
    "I1X1": ("", "", "e s", "e ee s", "se es"),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One handshake pattern: pre-messages and messages, initiator first."""

    name: str
    initiator_premessage: tuple[str, ...]
    responder_premessage: tuple[str, ...]
    messages: tuple[tuple[str, ...], ...]
    one_way: bool

    @property
    def psk_count(self) -> int:
        """How many pre-shared keys the pattern mixes in."""
        return sum(message.count("psk") for message in self.messages)

    def with_psk(self, position: int) -> Pattern:
        """The ``psk<position>`` modifier: 0 puts the token first in message 1, i at the end of message i (9.4)."""
        if position > len(self.messages):
            raise ValueError(f"Noise pattern {self.name} has no message {position} for psk{position}")
        messages = [list(message) for message in self.messages]
        if position == 0:
            messages[0].insert(0, "psk")
        else:
            messages[position - 1].append("psk")
        return replace(self, messages=tuple(tuple(message) for message in messages))


def _parse(table: Mapping[str, tuple[str, ...]], *, one_way: bool) -> dict[str, Pattern]:
    return {
        name: Pattern(
            name,
            tuple(before_i.split()),
            tuple(before_r.split()),
            tuple(tuple(message.split()) for message in messages),
            one_way,
        )
        for name, (before_i, before_r, *messages) in table.items()
    }


PATTERNS: dict[str, Pattern] = {
    **_parse(_ONE_WAY, one_way=True),
    **_parse(_INTERACTIVE, one_way=False),
    **_parse(_DEFERRED, one_way=False),
}
