"""A reply reaches the request that asked for it, and nothing else does; what waits is bounded, and ends with its connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from hansa.node.net.control_link import ControlLink
from hansa.node.net.requests import ATTESTATION, CATALOG, HEADS, MAX_PENDING, PROBE, Exchange, Reply, Requests
from hansa.protocols.errors import PeerError, PeerLost, PeerTimeout, ProtocolError
from hansa.protocols.wire.messages import (
    TAGS,
    CatalogReply,
    CatalogRequest,
    Heads,
    HeadsRequest,
    Message,
    Probe,
    ProbeResult,
)

TARGET = b"t" * 32


class Link(ControlLink):
    """A connection whose peer is the test: what is asked over it is in ``posted``."""

    def __init__(self) -> None:
        self.posted: list[Any] = []

    def post(self, message: Message) -> None:
        self.posted.append(message)


@pytest.fixture
def asking(nursery: trio.Nursery) -> Callable[..., Any]:
    """Start a request in the background; its reply or error will be in the list that this returns."""

    async def start(requests: Requests, link: Link, exchange: Exchange[Any, Any], *fields: Any) -> list[Any]:
        came: list[Any] = []

        async def ask() -> None:
            try:
                came.append(await requests.ask(link, "bureau", exchange, *fields))
            except PeerError as error:
                came.append(error)

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        return came

    return start


async def replied(requests: Requests, link: Link, reply: Reply, came: list[Any]) -> list[Any]:
    requests.answered(link, reply)
    await wait_all_tasks_blocked()
    return came


@pytest.mark.parametrize(("exchange", "fields"), [(CATALOG, ()), (HEADS, ()), (PROBE, (TARGET,))])
async def test_a_request_carries_its_number_and_fields(asking: Any, exchange: Any, fields: tuple[Any, ...]) -> None:
    link = Link()
    await asking(Requests(), link, exchange, *fields)
    assert link.posted == [exchange.request(1, *fields)]


async def test_a_reply_is_returned_and_nothing_stays_behind(asking: Any) -> None:
    requests, link = Requests(), Link()
    came = await asking(requests, link, CATALOG)
    assert await replied(requests, link, CatalogReply(1, ()), came) == [CatalogReply(1, ())]
    assert requests._pending == {}


async def test_two_at_once_get_each_their_own_reply_in_whatever_order(asking: Any) -> None:
    requests, link = Requests(), Link()
    first, second = await asking(requests, link, PROBE, TARGET), await asking(requests, link, PROBE, TARGET)
    assert link.posted == [Probe(1, TARGET), Probe(2, TARGET)]
    later, sooner = (ProbeResult(number, TARGET, True, 0, str(number)) for number in (1, 2))
    assert await replied(requests, link, sooner, second) == [sooner]
    assert first == []
    assert await replied(requests, link, later, first) == [later]


async def test_what_is_no_reply_to_it_leaves_a_request_waiting(asking: Any) -> None:
    requests, link, another = Requests(), Link(), Link()
    came = await asking(requests, link, CATALOG)
    await asking(requests, another, HEADS)
    assert await replied(requests, link, CatalogReply(3, ()), came) == []  # a number that nobody asked under
    assert await replied(requests, link, CatalogReply(2, ()), came) == []  # the number of another peer's request
    assert await replied(requests, link, Heads(1, ()), came) == []  # the reply to another kind of request
    assert await replied(requests, another, CatalogReply(1, ()), came) == []  # another peer's, who guessed the number
    assert await replied(requests, link, CatalogReply(1, ()), came) == [CatalogReply(1, ())]


async def test_the_first_reply_counts(asking: Any) -> None:
    requests, link = Requests(), Link()
    came = await asking(requests, link, HEADS)
    first, second = Heads(1, ()), Heads(1, ())
    requests.answered(link, first)
    (got,) = await replied(requests, link, second, came)
    assert got is first


@pytest.mark.parametrize("exchange", [CATALOG, HEADS, ATTESTATION])
async def test_a_peer_that_never_answers_is_named_at_the_deadline(
    autojump_clock: MockClock, exchange: Exchange[Any, Any]
) -> None:
    more = (bytes(32), "peer", b"") if exchange is ATTESTATION else ()
    began = trio.current_time()
    with pytest.raises(PeerTimeout, match=f"bureau did not answer within {exchange.deadline_s:g} s") as caught:
        await Requests().ask(Link(), "bureau", exchange, *more)
    assert trio.current_time() - began == exchange.deadline_s
    assert caught.value.fields["peer"] == "bureau"


async def test_a_late_reply_is_nobodys(autojump_clock: MockClock, asking: Any) -> None:
    requests, link = Requests(), Link()
    with pytest.raises(PeerTimeout):
        await requests.ask(link, "bureau", CATALOG)
    requests.answered(link, CatalogReply(1, ()))
    came: list[Any] = []
    with trio.move_on_after(1):
        came.append(await requests.ask(link, "bureau", CATALOG))
    assert came == []
    assert link.posted == [CatalogRequest(1), CatalogRequest(2)]


async def test_a_lost_connection_fails_what_was_asked_over_it_and_nothing_else(asking: Any) -> None:
    requests, link, another = Requests(), Link(), Link()
    came, others = await asking(requests, link, CATALOG), await asking(requests, another, CATALOG)
    requests.lost(link)
    assert await replied(requests, link, CatalogReply(1, ()), came) == came  # words from beyond
    assert isinstance(came[0], PeerLost)
    assert "the connection to bureau ended before it answered" in came[0].message
    assert others == []
    assert await replied(requests, another, CatalogReply(2, ()), others) == [CatalogReply(2, ())]


async def test_a_flood_of_requests_is_refused_and_one_of_replies_costs_nothing(asking: Any) -> None:
    requests, link = Requests(), Link()
    for _ in range(MAX_PENDING):
        await asking(requests, link, HEADS)
    (refused,) = await asking(requests, link, HEADS)
    assert "bureau has 512 requests to answer already" in refused.message
    assert len(link.posted) == MAX_PENDING
    another = Link()
    came = await asking(requests, another, HEADS)  # one peer's flood is not the others' affair
    assert another.posted == [HeadsRequest(MAX_PENDING + 1)]
    assert came == []
    for number in range(2 * MAX_PENDING):
        requests.answered(link, Heads(number, ()))
    await wait_all_tasks_blocked()
    assert link not in requests._pending


async def test_a_request_that_is_cancelled_or_cannot_be_sent_leaves_nothing(asking: Any) -> None:
    class Unsendable(Link):
        def post(self, message: Message) -> None:
            raise ProtocolError("too long", remedy="report this")

    requests = Requests()
    with trio.move_on_after(0):
        await requests.ask(Link(), "bureau", CATALOG)
    with pytest.raises(ProtocolError, match="too long"):
        await requests.ask(Unsendable(), "bureau", CATALOG)
    assert requests._pending == {}


def test_every_message_that_has_a_number_belongs_to_an_exchange() -> None:
    numbered = {kind for kind in TAGS.values() if "request" in {field.name for field in fields(kind)}}
    exchanges = (CATALOG, HEADS, PROBE, ATTESTATION)
    assert numbered == {each.request for each in exchanges} | {each.reply for each in exchanges}
    assert {each.reply for each in exchanges} == set(get_args(Reply))
