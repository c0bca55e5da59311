"""The votes for changes of code: this node's own and those of its peers, kept and passed on.

Of each member ``VOTES_PER_VOTER`` votes are kept, those that end last. So a member that votes without end pushes out its own
votes only, and all nodes keep the same ones. A vote is signed by its voter: who passes it on vouches for nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import trio

from hansa.config.settings import TeeSettings
from hansa.node.net.mesh import Mesh
from hansa.node.net.peers import PeerBook
from hansa.node.net.token_bucket import TokenBucket
from hansa.node.sealing import write_whole
from hansa.protocols.errors import PeerMisbehaved, SecurityError
from hansa.protocols.wire import limits
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.votes import Vote, verified
from hansa.protocols.wire.messages import Votes

NEW_AT_ONCE, NEW_PER_S = 16.0, 1 / 600
"""New votes of one member, whoever brings them. Each is passed on to all peers and recorded."""
UNKNOWN_AT_ONCE, UNKNOWN_PER_S = 4096.0, 1.0
"""Votes unknown here that one peer may bring, its own and others'. Each costs the verification of a signature."""


class VoteBook:
    """The votes known to the node ``me``, whose ``signing_key`` signs its own.

    ``peers`` gives the identities whose votes are kept; ``record`` is called with each new vote.
    """

    def __init__(
        self,
        path: Path,
        mesh: Mesh,
        *,
        signing_key: bytes,
        me: bytes,
        peers: Callable[[], list[bytes]],
        record: Callable[[Vote], None],
    ) -> None:
        self._record = record
        self._path, self._mesh, self._signing_key, self._me, self._peers = path, mesh, signing_key, me, peers
        self._voters: dict[bytes, TokenBucket] = {}
        self._bringers: dict[bytes, TokenBucket] = {}
        self._votes: tuple[Vote, ...] = ()
        self.on_new: list[Callable[[], None]] = []
        """Called once for a message that brings new votes, and for a vote that is cast here."""
        self._keep(*verified(_read(path) if path.exists() else ()))
        mesh.on_up(self._greet)
        mesh.handle(Votes, self._receive)

    def all(self) -> list[Vote]:
        """The votes of members that have not ended; every one is verified."""
        now, members = time.time(), self._members
        return [vote for vote in self._votes if now < vote.until and vote.voter in members]

    def endorsed(self, voters: Collection[bytes], needed: int) -> list[Code]:
        """The codes to which at least ``needed`` of these members voted to change, from any code; none where ``needed`` is 0."""
        by_code: dict[Code, set[bytes]] = {}
        for vote in self.all():
            if vote.voter in voters:
                by_code.setdefault(vote.code_to, set()).add(vote.voter)
        return [code for code, found in by_code.items() if 0 < needed <= len(found)]

    async def cast(self, code_from: Code, code_to: Code, until: int) -> Vote:
        """Vote, and tell all peers.

        Raises ``SecurityError`` for a change between real and simulated hardware, and where the vote would not be kept, since
        others of this node end later.
        """
        vote = Vote.make(self._signing_key, self._me, code_from, code_to, until)
        self._keep(vote)
        if vote not in self._votes:
            raise SecurityError(
                f"a vote of this node for the same change ends later, or {limits.VOTES_PER_VOTER} for others do",
                remedy="vote for more days; see `hansa tee status`",
            )
        await self._publish([vote])
        return vote

    async def _greet(self, identity: bytes) -> None:
        for page in _pages(self.all()):
            if self._mesh.online(identity):
                await self._mesh.send(identity, page)

    async def _receive(self, sender: bytes, message: Votes) -> None:
        """Keep what is new of the votes that a peer brings, and pass it on.

        A vote counts against its bringer before its signature is verified, and against its voter after. So nobody can use up
        another member's votes by forging them.
        """
        before = set(self._votes)
        heard = [vote for vote in map(Vote.decode_untrusted, message.votes) if vote not in before]
        wanted = set(_kept([*self._votes, *heard], self._members))
        bringer = self._bringers.setdefault(sender, TokenBucket(UNKNOWN_AT_ONCE, UNKNOWN_PER_S))
        unknown = [vote for vote in dict.fromkeys(heard) if vote in wanted and bringer.take_if_there()]
        self._keep(*(vote for vote in verified(unknown) if self._take_turn(vote.voter)))
        new = [vote for vote in self._votes if vote not in before]
        if new:
            await self._publish(new)

    def _take_turn(self, voter: bytes) -> bool:
        return self._voters.setdefault(voter, TokenBucket(NEW_AT_ONCE, NEW_PER_S)).take_if_there()

    async def _publish(self, new: list[Vote]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._path, json.dumps([vote.encode().hex() for vote in self.all()]).encode())
        for vote in new:
            self._record(vote)
        for page in _pages(new):
            await self._mesh.broadcast(self._peers(), page)
        for notify in self.on_new:
            notify()

    @property
    def _members(self) -> set[bytes]:
        return {self._me, *self._peers()}

    def _keep(self, *votes: Vote) -> None:
        self._votes = _kept([*self._votes, *votes], self._members)


class Endorsements:
    """The codes that enough of the voters in this node's settings voted for; ``own_name`` is this node's, ``me`` its identity."""

    def __init__(self, votes: VoteBook, book: PeerBook, tee: TeeSettings, *, me: bytes, own_name: str) -> None:
        self._votes, self._book, self._tee = votes, book, tee
        self._own = [me] if own_name in tee.voters else []

    def codes(self) -> list[Code]:
        """As the votes stand now; may be called from a thread."""
        return self._codes() if trio.lowlevel.in_trio_run() else trio.from_thread.run_sync(self._codes)

    def _codes(self) -> list[Code]:
        """Voters are named: an introduction, which may bear any free name, makes none."""
        tee = self._tee
        pinned = {peer.identity for peer in self._book.all() if peer.name in tee.voters and not peer.introduced}
        return self._votes.endorsed({*self._own, *pinned}, tee.votes)


def _kept(votes: Iterable[Vote], members: Collection[bytes]) -> tuple[Vote, ...]:
    """The votes to keep: of each member the latest vote on each change of code, and of these the ones that end last."""
    now = time.time()
    by_voter: dict[bytes, dict[tuple[Code, Code], Vote]] = {}
    for vote in sorted(votes, key=lambda vote: (vote.until, vote.sig)):
        if vote.voter in members and now < vote.until <= now + limits.VOTE_MAX_AHEAD_S:
            own = by_voter.setdefault(vote.voter, {})
            own.pop((vote.code_from, vote.code_to), None)
            own[vote.code_from, vote.code_to] = vote
    return tuple(vote for own in by_voter.values() for vote in list(own.values())[-limits.VOTES_PER_VOTER :])


def _pages(votes: list[Vote]) -> list[Votes]:
    encoded = [vote.encode() for vote in votes]
    return [Votes(tuple(encoded[at : at + limits.VOTES_MAX])) for at in range(0, len(encoded), limits.VOTES_MAX)]


def _read(path: Path) -> list[Vote]:
    try:
        return [Vote.decode_untrusted(bytes.fromhex(text)) for text in json.loads(path.read_text())]
    except (ValueError, TypeError, PeerMisbehaved) as error:
        raise SecurityError(
            f"{path} cannot be read: the votes in it are lost",
            remedy="remove it, and vote again (`hansa tee vote`); peers tell theirs when they connect",
            file=str(path),
        ) from error
