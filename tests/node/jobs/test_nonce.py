"""A party copies the nonce of an honest contract to make the others sign twice."""

import pytest

from hansa.protocols.wire.consent.certificate import Signature
from hansa.protocols.wire.consent.statements import Offer


@pytest.mark.parametrize("moment", ["running", "done"])
async def test_a_copied_nonce_frames_nobody(autojump_clock, league_of, moment):
    async with league_of() as league:
        job = await league.jobs[0].submit(league.contract())
        job_id, nonce = job.record.job_id, job.record.contract.nonce
        await league.settled(job_id, moment)
        copy = league.contract(nonce=nonce, name="copied")
        forged = Signature.make(league.signing_keys[2], league.identities[2], copy, 0, b"k" * 32)
        await league.jobs[2].context.mesh.send(league.identities[1], Offer(copy.encode(), (forged,)))
        await league.until(lambda: league.record(1, copy.job_id) is not None)
        await league.until(lambda: league.record(1, copy.job_id).state.value == "refused")
        assert "its nonce is that of another contract" in league.record(1, copy.job_id).decision
        assert not league.jobs[1].get(copy.job_id).consent.signed
        for audit in league.audits:
            for kind, body in audit.entries:
                assert kind != "evidence" or body["signer"] == "telecom"
