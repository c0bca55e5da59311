"""Simulated evidence: three consents in the very word, and never a verdict of the real door."""

from __future__ import annotations

import pytest

from hansa.config.errors import ConfigError
from hansa.node.tee.evidence.devices import InsecureSimulated
from hansa.protocols.errors import SecurityError
from hansa.protocols.wire.attestation.policy import REPORT, Expected
from hansa.protocols.wire.attestation.simulated import WORD, insecure_verify, require_insecure_simulated
from hansa.protocols.wire.attestation.verify import Collateral, verify_evidence

SAID = {"ours": WORD, "theirs": WORD, "contract": WORD}


def test_all_three_or_none():
    require_insecure_simulated(**SAID)
    for who in SAID:
        for word in ("", "true", "simulated", "insecure-simulated ", "Insecure-Simulated"):
            with pytest.raises(SecurityError, match=f"not say '{WORD}'"):
                require_insecure_simulated(**SAID | {who: word})
            with pytest.raises(SecurityError, match="simulated evidence is refused"):
                insecure_verify(b"", Expected(), **SAID | {who: word})


def test_a_setting_that_is_not_the_word():
    for word in ("", "yes", "simulated"):
        with pytest.raises(ConfigError, match="only where the settings say"):
            InsecureSimulated(word)


def test_it_says_what_it_is():
    evidence = InsecureSimulated(WORD, b"m" * 48).produce(b"r" * 64)
    assert evidence.platform == WORD
    verdict = insecure_verify(evidence.data, Expected((b"m" * 48,), b"r" * 64), **SAID)
    assert (verdict.accepted, verdict.platform) == (True, WORD)
    assert "this is no evidence" in str(verdict.reasons[0])
    for wrong in (Expected((b"x" * 48,), b"r" * 64), Expected((b"m" * 48,), b"x" * 64)):
        assert not insecure_verify(evidence.data, wrong, **SAID).accepted


def test_it_is_never_taken_for_real():
    evidence = InsecureSimulated(WORD).produce(bytes(64))
    verdict = verify_evidence(evidence.data, Collateral(), REPORT, Expected(), 0)
    assert (verdict.accepted, verdict.platform) == (False, WORD)
    assert str(verdict.reasons[0]) == "simulated: this is simulated evidence, which proves nothing"


def test_out_of_form(milan):
    whole = InsecureSimulated(WORD).produce(bytes(64)).data
    for data in (b"", whole[:-1], whole + b"\0", milan.make()):
        assert not insecure_verify(data, Expected(), **SAID).accepted
