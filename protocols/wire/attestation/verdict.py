"""What a verification ends with: accept or refuse, every reason, and what nobody checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hansa.protocols.errors import one_line


class ReasonCode(StrEnum):
    """What a reason is about; stable, for programs."""

    MALFORMED = "malformed"
    PADDING = "padding"
    UNKNOWN_VERSION = "unknown-version"
    SIGNATURE = "signature"
    CHAIN = "chain"
    ROOT = "root"
    DATES = "dates"
    REVOKED = "revoked"
    PLATFORM = "platform"
    SIGNING_KEY = "signing-key"
    DEBUG = "debug"
    GUEST_POLICY = "guest-policy"
    VMPL = "vmpl"
    TCB = "tcb"
    ADVISORY = "advisory"
    MEASUREMENT = "measurement"
    NONCE = "nonce"
    SIMULATED = "simulated"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding. A ``decisive`` one refuses; the others are what an accepting reader should know."""

    code: ReasonCode
    text: str
    decisive: bool

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result: accepted exactly where no reason is decisive.

    ``fields`` are what the evidence says of itself; where the verdict is a refusal they may be forged.
    ``tcb_status`` is the vendor's word for the platform's patch level, ``None`` where it says none.
    """

    platform: str
    reasons: tuple[Reason, ...]
    not_checked: tuple[str, ...] = ()
    tcb_status: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the evidence may be relied on, under the policy it was judged by."""
        return not any(reason.decisive for reason in self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """The verdict as plain data."""
        return {
            "verdict": "accept" if self.accepted else "refuse",
            "reasons": [str(reason) for reason in self.reasons],
            "not_checked": list(self.not_checked),
            "platform": self.platform,
            "tcb_status": self.tcb_status,
            "fields": self.fields,
        }


class Findings:
    """Reasons as they are found: verification goes on after the first one, so that the verdict has them all."""

    def __init__(self) -> None:
        self._reasons: list[Reason] = []
        self._not_checked: list[str] = []

    def refuse(self, code: ReasonCode, text: str) -> None:
        """A reason to refuse."""
        self._reasons.append(Reason(code, one_line(text, "\N{REPLACEMENT CHARACTER}"), decisive=True))

    def note(self, code: ReasonCode, text: str) -> None:
        """Something to know that refuses nothing."""
        self._reasons.append(Reason(code, one_line(text, "\N{REPLACEMENT CHARACTER}"), decisive=False))

    def not_checked(self, text: str) -> None:
        """Something nobody looked at, and why."""
        self._not_checked.append(text)

    def verdict(self, platform: str, fields: dict[str, Any], tcb_status: str | None = None) -> Verdict:
        """The verdict over what was found."""
        return Verdict(platform, tuple(self._reasons), tuple(self._not_checked), tcb_status, fields)
