"""The first thing over a job's own links where its contract has a member in hardware: that member proves its code to each.

    party --nonce-->  dealer or enclave
    party <--evidence over (identity, this link, nonce, role), collateral; a fresh key--

Nothing else of the job is sent before: what a party sends over the link afterwards goes to the code that was proven.
One round, some tens of kilobytes, with all at once: a party that says nothing keeps no other from its proof, and it is named.
The fresh key (X25519) is what data is encrypted to; it comes over the proven link.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
from nacl.bindings import crypto_scalarmult_base

from hansa.config.errors import ConfigError
from hansa.node.contracts import hardware as job_hardware
from hansa.node.errors import EvidenceError
from hansa.node.net.connection import Connection
from hansa.node.tee.evidence.judge import Judge
from hansa.node.tee.evidence.prover import prover_from
from hansa.node.worker.messages import Attested, Start
from hansa.node.worker.progress import Reporter
from hansa.protocols.errors import PeerMisbehaved, PeerTimeout, SecurityError
from hansa.protocols.mpc.concurrency import gather
from hansa.protocols.mpc.session.session import Session
from hansa.protocols.wire.attestation.platforms import Code
from hansa.protocols.wire.attestation.statements.binding import NONCE_BYTES, report_data
from hansa.protocols.wire.attestation.statements.proof import Proof
from hansa.protocols.wire.consent.contract import Contract
from hansa.protocols.wire.limits import ATTESTATION_DEADLINE_S, ATTESTATION_MAX_SENT

log = logging.getLogger(__name__)

STEP = "attest"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Proven:
    """What a party sends data to: the member's fresh public key, and the code it proved. At the member: its secret key, its own
    code."""

    code: Code
    public_key: bytes
    secret_key: bytes = field(default=b"", repr=False)


async def attest(
    start: Start, contract: Contract, session: Session, links: Mapping[int, Connection], reporter: Reporter
) -> Proven | None:
    """Prove, or have proven; None where the contract names no code. ``reporter`` gets every verdict.

    Raises ``SecurityError`` naming the member whose proof is refused, ``PeerTimeout`` naming who said nothing, and
    ``EvidenceError`` where the fault is here: what it is stands in this worker's log.
    """
    if not contract.codes:
        return None
    there = len(contract.parties)
    reporter.step(STEP)
    try:
        # a party's silence is told after one deadline, by the member; its own after all that it may wait for others, and prove
        with session.step(STEP), trio.move_on_after(ATTESTATION_DEADLINE_S * (there + 1)):
            if session.rank == there:
                return await _prove(start, contract, session, links)
            return await _have_proven(start, contract, session, links[there], reporter)
    except (ConfigError, EvidenceError) as error:
        log.error("%s", error)
        raise EvidenceError(job_hardware.AT_FAULT, remedy="see `hansa job logs` there", step=STEP) from error
    raise PeerTimeout(
        f"{contract.members[there].name} did not prove its code in time", remedy="see its log", peer=there, step=STEP
    )


async def _prove(start: Start, contract: Contract, session: Session, links: Mapping[int, Connection]) -> Proven:
    prover = prover_from(start.tee)
    if prover is None:
        raise SecurityError("this node runs in no trusted hardware", remedy="see [tee] in hansa.toml")
    secret = os.urandom(KEY_BYTES)
    public = crypto_scalarmult_base(secret)
    role = job_hardware.role_of(contract)

    async def prove_to(rank: int, link: Connection) -> None:
        with _in_time(contract, rank):
            nonce = await session.recv_bytes(rank, NONCE_BYTES)
        if len(nonce) != NONCE_BYTES:
            raise PeerMisbehaved("a nonce of another length", remedy="update the peer's hansa", peer=rank, step=STEP)
        data = report_data(identity=start.me, handshake_hash=link.handshake_hash, nonce=bytes(nonce), role=role)
        proof = await trio.to_thread.run_sync(prover.prove, data, abandon_on_cancel=True)
        with _in_time(contract, rank):
            await session.send_bytes(rank, public + proof.encode())

    await gather(*(prove_to(rank, link) for rank, link in links.items()))
    return Proven(Code(*await trio.to_thread.run_sync(prover.own_code)), public, secret)


@contextmanager
def _in_time(contract: Contract, rank: int) -> Iterator[None]:
    with trio.move_on_after(ATTESTATION_DEADLINE_S) as scope:
        yield
    if scope.cancelled_caught:
        raise PeerTimeout(
            f"{contract.members[rank].name} did not ask for the proof, or take it, in time",
            remedy="see its log",
            peer=rank,
            step=STEP,
        )


async def _have_proven(
    start: Start, contract: Contract, session: Session, link: Connection, reporter: Reporter
) -> Proven:
    there = len(contract.parties)
    member, role = contract.members[there], job_hardware.role_of(contract)
    nonce = os.urandom(NONCE_BYTES)
    await session.send_bytes(there, nonce)
    got = bytes(await session.recv_bytes(there, KEY_BYTES + ATTESTATION_MAX_SENT))
    wanted = report_data(identity=member.identity, handshake_hash=link.handshake_hash, nonce=nonce, role=role)
    endorsed = [Code(*each) for each in start.tee["endorsed"]]
    judge = Judge(Path(start.tee["policy"]), start.tee["accept"], lambda: endorsed)
    judged = await trio.to_thread.run_sync(judge.judge, Proof.decode_untrusted(got[KEY_BYTES:]), wanted, contract.codes)
    reporter.attested(Attested(member.identity, str(role), judged.as_dict()))
    if not judged.accepted:
        raise SecurityError(
            f"{member.name} is refused as {role}: {judged.why}",
            remedy="see `hansa audit show` and docs/tee.md; ask its operator what changed",
            peer=there,
            step=STEP,
        )
    return Proven(Code(judged.platform, judged.code), got[:KEY_BYTES])
