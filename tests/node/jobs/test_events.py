import trio

from hansa.node.jobs.events import WATCHER_MOST, WATCHER_SLACK, JobEvents

JOB = b"j" * 32


class Memory:
    def __init__(self):
        self.kept = []

    def append_event(self, job_id, event):
        self.kept.append((job_id, event))

    def events(self, job_id):
        return [event for job, event in self.kept if job == job_id]


async def test_what_lasts_is_kept_and_progress_is_only_shown():
    events = JobEvents(Memory())
    with events.watch(JOB) as watched:
        events.publish(JOB, "bank", "step", step="align", done=0, total=10)
        events.publish(JOB, "bank", "progress", step="align", done=5, total=10)
        events.publish(JOB, "bank", "state", text="done")
        events.publish(b"k" * 32, "bank", "state", text="other")
        kinds = [watched.receive_nowait()["kind"] for _ in range(3)]
    assert kinds == ["step", "progress", "state"]
    assert [event["kind"] for event in events.history(JOB)] == ["step", "state"]
    assert events.latest(JOB)["bank"]["done"] == 5
    events.forget(JOB)
    assert events.latest(JOB) == {}


async def test_a_slow_watcher_loses_progress_only():
    events = JobEvents(Memory())
    with events.watch(JOB) as watched:
        for done in range(1000):
            events.publish(JOB, "bank", "progress", step="train", done=done)
        events.publish(JOB, "bank", "state", text="done")
        seen = []
        while True:
            try:
                seen.append(watched.receive_nowait())
            except trio.WouldBlock:
                break
    assert len(seen) == WATCHER_SLACK + 1
    assert seen[-1]["text"] == "done"


async def test_a_peer_that_floods_with_steps_fills_no_watchers_memory():
    events = JobEvents(Memory())
    with events.watch(JOB) as watched:
        for number in range(WATCHER_MOST + 1):
            events.publish(JOB, "bank", "step", step=f"step-{number}")
        assert watched.statistics().current_buffer_used == WATCHER_MOST
    assert len(events.history(JOB)) == WATCHER_MOST + 1


async def test_a_watcher_that_left_is_forgotten():
    events = JobEvents(Memory())
    with events.watch(JOB):
        pass
    events.publish(JOB, "bank", "state", text="done")
    assert events.history(JOB)[-1]["text"] == "done"
