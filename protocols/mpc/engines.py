"""From what a contract says of its engine to the engine, at a party: the one place that knows them all."""

from __future__ import annotations

from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.engine import Engine
from hansa.protocols.mpc.replicated.engine import Replicated
from hansa.protocols.mpc.session import Session


async def start_engine(session: Session, name: str, frac_bits: int) -> Engine:
    """The engine ``name`` over ``session``, in which every rank computes.

    Raises ``ProtocolError`` where the engine cannot be had.
    """
    if name == "replicated":
        return await Replicated.start(session, frac_bits)
    raise ProtocolError(f"the engine {name} is not there", remedy="name another engine in the job file", what=name)
