"""Jobs as the admin socket shows them have the fields that the typed client says."""

from hansa.config.policy import Policy
from hansa.node.admin import answers, job_answers
from hansa.node.admin import views as job_views


async def test_summaries_glances_and_approvals_have_their_fields(autojump_clock, league_of):
    async with league_of() as league:
        league.policies[2] = Policy("ask")
        job = await league.jobs[0].submit(league.contract())
        await league.until(lambda: league.jobs[2].get(job.record.job_id) is not None)
        asked = league.jobs[2].get(job.record.job_id)
        assert set(job_views.summary(asked)) == job_answers.JobSummary.__required_keys__
        assert set(job_views.at_a_glance(asked, league.now())) == answers.JobGlance.__required_keys__
        assert set(job_views.approval(asked, league.now())) == answers.Approval.__required_keys__
        shown = job_views.full(asked)
        assert set(shown) == job_answers.JobView.__required_keys__
        assert [set(member) for member in shown["parties"]] == [job_answers.Member.__required_keys__] * 3
        assert job_views.summary(asked)["approval_needed"]
