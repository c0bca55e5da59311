"""What evidence and collateral can be refused for before anything in them is checked."""

from __future__ import annotations

from hansa.protocols.errors import SecurityError


class MalformedEvidence(SecurityError):
    """Evidence or collateral that is not in its one canonical form (``where`` names the field)."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where} {why}", remedy="ask whoever sent it for fresh evidence", where=where)


class UnknownVersion(MalformedEvidence):
    """Evidence of a version whose layout is not known here: nothing after its version field can be trusted."""
