"""A proof as bytes: what survives, and what is more than a peer reads."""

import pytest

from hansa.node.errors import EvidenceError
from hansa.node.tee.evidence.prover import Prover
from hansa.protocols.errors import PeerMisbehaved
from hansa.protocols.wire import canonical, limits
from hansa.protocols.wire.attestation.statements.proof import Proof

WORD = "insecure-simulated"
MOST, PIECES = limits.ATTESTATION_MAX_SENT, limits.ATTESTATION_MAX_PIECES


def test_a_proof_survives():
    proof = Proof("sev-guest", bytes(limits.ATTESTATION_MAX_QUOTE), tuple(bytes([n]) for n in range(PIECES)))
    assert Proof.decode_untrusted(proof.encode()) == proof


@pytest.mark.parametrize(
    ("proof", "what"),
    [
        (Proof("sev-guest", bytes(limits.ATTESTATION_MAX_QUOTE + 1)), "'evidence'"),
        (Proof("sev-guest", b"", (b"",) * (PIECES + 1)), "'collateral'"),
        (Proof("sev-guest", b"", (bytes(MOST),)), f"at most {MOST}"),
        (Proof("nitro", b""), "'backend'"),
        (Proof("", b""), "'backend'"),
    ],
)
def test_what_is_no_proof_is_refused(proof, what):
    with pytest.raises(PeerMisbehaved, match=what):
        Proof.decode_untrusted(proof.encode())
    with pytest.raises(PeerMisbehaved, match="unknown fields"):
        Proof.decode_untrusted(canonical.encode({"backend": "tsm", "evidence": b"", "collateral": [], "more": 0}))


@pytest.mark.parametrize(("count", "size"), [(PIECES + 1, 1), (1, MOST), (2, MOST // 2)])
def test_no_more_is_sent_than_peers_read(count, size, tmp_path):
    for number in range(count):
        (tmp_path / f"{number:02}").write_bytes(bytes(size))
    with pytest.raises(EvidenceError, match=f"are {count} pieces of .* peers read {PIECES} of {MOST}"):
        Prover(WORD, [tmp_path], "code").prove(bytes(64))


def test_as_much_as_peers_read_is_sent(tmp_path):
    for number in range(PIECES):
        (tmp_path / f"{number:02}").write_bytes(bytes([number]) * ((MOST - 1024) // PIECES))
    sent = Prover(WORD, [tmp_path], "code").prove(bytes(64)).encode()
    assert Proof.decode_untrusted(sent).collateral[-1][:1] == bytes([PIECES - 1])
