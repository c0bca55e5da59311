import trio

from hansa.node.worker.messages import Opened, Stepped
from hansa.node.worker.progress import INTERVAL_S, Reporter


def told(reporter):
    return [(m.step, m.done, m.total) if isinstance(m, Stepped) else m for m in reporter.take()]


def test_only_the_latest_advance_of_a_step_is_told():
    reporter = Reporter()
    reporter.step("align", 10)
    for done in range(1, 8):
        reporter.advance(done)
    assert told(reporter) == [("align", 7, 10)]
    assert told(reporter) == []


def test_no_step_or_opening_is_dropped_and_order_holds():
    reporter = Reporter()
    reporter.step("align", 1)
    reporter.step("train", 2)
    reporter.advance(1)
    reporter.advance(2)
    reporter.opened("metrics", (0, 2), 4)
    assert told(reporter) == [
        ("align", 0, 1),
        ("train", 2, 2),
        Opened("metrics", [0, 2], 4),
    ]


def test_costs_are_read_when_progress_is_made():
    reporter = Reporter()
    reporter.cost = lambda: (7, 1000)
    reporter.step("train")
    (message,) = reporter.take()
    assert (message.rounds, message.bytes_sent) == (7, 1000)


async def test_a_storm_becomes_a_few_messages(autojump_clock):
    reporter, sent = Reporter(), []

    async def send(message):
        sent.append(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.tell, send)
        reporter.step("train", 1000)
        for done in range(1000):
            reporter.advance(done)
            await trio.sleep(INTERVAL_S / 100)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert sent[-1].done == 999
    assert 5 <= len(sent) <= 14


async def test_nothing_is_lost_at_the_end(autojump_clock):
    reporter, sent = Reporter(), []

    async def send(message):
        await trio.sleep(0.01)
        sent.append(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reporter.tell, send)
        for count in range(50):
            reporter.opened("metrics", (0,), count)
            if count == 25:
                await trio.sleep(0.005)  # so that the end comes while some are on their way
        await reporter.finish()
    assert [message.elements for message in sent] == list(range(50))
