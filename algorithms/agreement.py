"""What all members of a job compare before anything is sent."""

from __future__ import annotations

from dataclasses import fields

from hansa.algorithms.terms import Terms
from hansa.protocols.mpc.session.session import Session


async def agree(s: Session, kind: str, terms: Terms, *more: int) -> None:
    """See that every party means the same job, before anything depends on it. Rounds: 1."""
    values = [getattr(terms, f.name) for f in fields(terms) if f.name != "params"]
    await s.check_public("terms of the job", kind, values, dict(terms.params), *more)
