"""What each two parties share where there is no dealer: transfers and encryption, in both directions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hansa.protocols.arrays import Ring
from hansa.protocols.mpc.concurrency import gather
from hansa.protocols.mpc.ot import OtReceiver, OtSender, start_pair
from hansa.protocols.mpc.ot.link import AUTO, OtSource, agree_on_source
from hansa.protocols.mpc.rlwe.linear import MatrixEvaluator, MatrixOwner
from hansa.protocols.mpc.rlwe.products import ProductEvaluator, ProductOwner
from hansa.protocols.mpc.session.session import Session


@dataclass(frozen=True, slots=True)
class Pair:
    """This party's ends with ``peer`` (a rank of the engine's session), and the session of the two."""

    peer: int
    session: Session
    source: OtSource
    sends: OtSender = field(repr=False)
    chooses: OtReceiver = field(repr=False)
    products: ProductOwner | ProductEvaluator = field(repr=False)
    owns: MatrixOwner = field(repr=False)
    serves: MatrixEvaluator = field(repr=False)
    encrypted: tuple[Session, ...]

    @classmethod
    async def start(cls, session: Session, peer: int, ot: str = AUTO) -> Pair:
        """Set up transfers and keys. Costs as ``ot.link.agreed``, ``start_pair`` and two keys of ``rlwe.linear``."""
        two = session.subgroup(sorted((session.rank, peer)))
        other = 1 - two.rank
        source = await agree_on_source(two.fork("source"), ot)
        session.transcript.sources[session.job_ranks[peer]] = str(source)
        sends, chooses = await start_pair(session, peer, source.w, silently=source.silent)
        products = two.fork("products")
        forks = two.fork("matrix-0"), two.fork("matrix-1")
        owns, serves = await gather(_own(forks[two.rank], other), _serve(forks[other], other))
        assert isinstance(owns, MatrixOwner)
        assert isinstance(serves, MatrixEvaluator)
        ends = (ProductOwner if two.rank == 0 else ProductEvaluator)(products, other)
        return cls(peer, two, source, sends, chooses, ends, owns, serves, (products, *forks))

    def adopt_step(self, session: Session, *, transfers: bool = True, encryption: bool = True) -> None:
        """Count what follows under the session's step; transfers and encryption may be under way for different steps."""
        if transfers:
            for fork in (self.session, self.sends.session, self.chooses.session):
                fork.adopt_step(session)
        if encryption:
            for fork in self.encrypted:
                fork.adopt_step(session)

    async def cross(self, a: Ring, b: Ring, bits: int = 64) -> Ring:
        """This party's summand of a·d + b·c, for the other's (c, d); see ``rlwe.products``."""
        return await self.products.cross(a, b, bits)

    async def swap(self, *arrays: Ring) -> list[Ring]:
        """Give the other party these, get its of the same shapes. Rounds: 1."""
        other = 1 - self.session.rank
        received = await self.session.exchange({other: arrays}, {other: [array.shape for array in arrays]})
        return received[other]


async def _own(session: Session, peer: int) -> Any:
    return await MatrixOwner.start(session, peer)


async def _serve(session: Session, peer: int) -> Any:
    return await MatrixEvaluator.start(session, peer)


async def start_pairs(session: Session, ot: str = AUTO) -> list[Pair]:
    """A pair with each other party, in the order of their ranks."""
    return await gather(*(Pair.start(session, peer, ot) for peer in session.peers))
