"""The worker: one process for one attempt of one job at one node; it alone holds that job's data and shares.

    python -m hansa.node.worker.entry FD      FD: a unix socket to the daemon (node.worker.messages)

It reads its table while it meets the other workers, runs the job's steps over one MPC session, tells its daemon how it
ended, and stays until the daemon stops it (so that no party's last bytes are lost). When the daemon's end closes, the
process ends at once.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import traceback
from pathlib import Path

import trio

from hansa.algorithms.party_table import PartyTable
from hansa.config.errors import HansaError, hansa_error_in
from hansa.node.data.table import load_table
from hansa.node.errors import JobError
from hansa.node.net.connection import Connection
from hansa.node.sealing import SealedCheckpoints
from hansa.node.worker import attestation as worker_hardware
from hansa.node.worker import links as worker_links
from hansa.node.worker.fd_passing import FramePipe, PipeClosed
from hansa.node.worker.links import Arrival, LinkTerms, PeerTerms
from hansa.node.worker.messages import Broke, Finished, FromWorker, Route, Start, decode, encode
from hansa.node.worker.progress import Reporter
from hansa.node.worker.steps import run_steps
from hansa.node.worker.verdict import judge
from hansa.protocols.errors import ProtocolError
from hansa.protocols.mpc.session.session import open_session
from hansa.protocols.wire.channel.preamble import Preamble
from hansa.protocols.wire.consent.certificate import Certificate
from hansa.protocols.wire.consent.contract import Contract

MAX_ARRIVALS = 16


class Worker:
    """One attempt at a job, from the daemon's Start to its Finished or Broke."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.contract = Contract.decode_untrusted(start.contract)
        self.rank = next(r for r, member in enumerate(self.contract.members) if member.identity == start.me)
        self.reporter = Reporter()
        self.links: dict[int, Connection] = {}
        self.send_arrival, self.arrivals = trio.open_memory_channel[Arrival](MAX_ARRIVALS)

    @property
    def name(self) -> str:
        """The job's short name for people."""
        return self.contract.job_id.hex()[:16]

    async def run(self) -> Finished | Broke:
        """Do the job. Never raises but Cancelled: how it ended is what it returns."""
        try:
            return await self._work()
        except HansaError as error:
            return self._broke(error)
        except Exception as error:  # the border of the job: what is not ours is told without its text
            ours = hansa_error_in(error)
            if ours is not None:
                return self._broke(ours)
            traceback.print_exception(error)
            return self._broke(self._unknown())

    async def _work(self) -> Finished:
        terms, peers = self._terms()
        folder = Path(self.start.folder)
        checkpoints = SealedCheckpoints(
            folder, self.start.sealing_key, self.contract.job_id, self.start.attempt, self.start.resume_epoch
        )
        checkpoints.begin()
        self.reporter.step("connect", len(peers))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._meet, terms, peers)
            table = await self._table()
        allowed = [(opening.what, opening.to) for opening in self.contract.openings]
        async with trio.open_nursery() as nursery:
            for rank, conn in self.links.items():
                nursery.start_soon(worker_links.watch, conn, rank)
            async with open_session(
                self.rank,
                self.links,
                context=self.contract.job_id + self.start.attempt.to_bytes(4, "big"),
                allowed=allowed,
                on_opening=lambda record: self.reporter.opened(record.what, record.to, record.elements),
            ) as session:
                transcript = session.transcript
                self.reporter.cost = lambda: (transcript.rounds, transcript.bytes_sent)
                proven = await worker_hardware.attest(self.start, self.contract, session, self.links, self.reporter)
                finished = await run_steps(
                    self.start, self.contract, session, table, self.reporter, checkpoints, proven
                )
            nursery.cancel_scope.cancel()
        return finished

    async def _table(self) -> PartyTable | None:
        if not self.start.dataset:
            return None
        return await trio.to_thread.run_sync(load_table, self.start.dataset, abandon_on_cancel=True)

    async def _meet(self, terms: LinkTerms, peers: list[PeerTerms]) -> None:
        self.links = await worker_links.open_links(terms, peers, self.arrivals)

    def _terms(self) -> tuple[LinkTerms, list[PeerTerms]]:
        start, job_id = self.start, self.contract.job_id
        certificate = Certificate.decode_untrusted(start.certificate)
        keys = {entry.identity: entry.job_key for entry in certificate.entries}
        terms = LinkTerms(
            self.rank, start.me, job_id, start.attempt, start.job_secret, start.certificate, tuple(start.suites)
        )
        peers = [
            PeerTerms(
                rank,
                member.name,
                member.identity,
                keys[member.identity],
                tuple(start.addresses.get(member.identity, ())),
                worker_links.route_token(job_id, start.attempt, start.me, member.identity),
            )
            for rank, member in enumerate(self.contract.members)
            if rank != self.rank
        ]
        return terms, peers

    def _unknown(self) -> JobError:
        return JobError(
            f"the worker failed in step '{self.reporter.current}'",
            remedy=f"see `hansa job logs {self.name}` there",
            step=self.reporter.current,
        )

    def _broke(self, error: HansaError) -> Broke:
        logging.error("%s", error)
        parties = {member.identity: member.name for member in self.contract.members}
        verdict = judge(error, me=self.start.me, parties=parties, step=self.reporter.current, job=self.name)
        return Broke(int(verdict.priority), verdict.culprit or b"", verdict.step, verdict.error)


async def serve(sock: socket.socket) -> None:
    """Speak with the daemon until it stops us."""
    pipe = FramePipe(sock)
    body, _ = await pipe.receive()
    start = decode(body)
    if not isinstance(start, Start):
        raise ProtocolError("the daemon did not begin with Start", remedy="restart it with `hansa run`")
    attempt = Worker(start)

    async def tell(message: FromWorker) -> None:
        await pipe.send(encode(message))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_listen, pipe, attempt)
        nursery.start_soon(attempt.reporter.tell, tell)
        ended = await attempt.run()
        await attempt.reporter.finish()
        await tell(ended)


async def _listen(pipe: FramePipe, attempt: Worker) -> None:
    while True:
        try:
            body, fds = await pipe.receive()
        except PipeClosed:
            os._exit(0)  # the daemon is gone or has no more use for us: threads must not delay the end
        message = decode(body)
        if isinstance(message, Route):
            sock = trio.socket.from_stdlib_socket(socket.socket(fileno=fds[0]))
            try:
                attempt.send_arrival.send_nowait((sock, Preamble.decode_untrusted(message.preamble)))
            except (trio.WouldBlock, trio.BrokenResourceError):
                sock.close()


def main() -> None:
    """Run the worker whose daemon's socket is the descriptor in argv."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    trio.run(serve, socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
