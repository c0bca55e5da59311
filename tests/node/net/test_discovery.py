"""Zeroconf on loopback: candidates come and go, and nothing announced names the institution."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import trio

from hansa.node.net import discovery
from hansa.node.net.discovery import MAX_CANDIDATES, SERVICE, Discovery


async def until(condition: Callable[[], bool], within: float = 15) -> None:
    with trio.fail_after(within):
        while not condition():
            await trio.sleep(0.02)


async def test_two_nodes_find_each_other_and_notice_when_one_leaves() -> None:
    first, second = Discovery("127.0.0.1"), Discovery("127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(first.run, 7401)
        async with trio.open_nursery() as inner:
            await inner.start(second.run, 7402)
            await until(lambda: [c.address for c in first.candidates.values()] == ["127.0.0.1:7402"])
            await until(lambda: [c.address for c in second.candidates.values()] == ["127.0.0.1:7401"])
            inner.cancel_scope.cancel()
        await until(lambda: not first.candidates)
        nursery.cancel_scope.cancel()


def test_the_service_type_is_legal_and_instances_are_random() -> None:
    assert len(SERVICE.split(".")[0].removeprefix("_")) <= 15
    names = {Discovery("127.0.0.1")._instance for _ in range(8)}
    assert len(names) == 8


class FakeZeroconf:
    """Answers every lookup with one address."""

    def get_service_info(self, kind: str, name: str, timeout: int) -> Any:
        class Info:
            port = 7400

            def parsed_addresses(self) -> list[str]:
                return ["192.0.2.7"]

        return Info()


async def test_a_flood_of_announcements_is_bounded_and_their_names_are_cleaned() -> None:
    found = Discovery("127.0.0.1")
    for number in range(MAX_CANDIDATES + 10):
        await found._note(FakeZeroconf(), f"\x1b[31m{number}.{SERVICE}", True)  # type: ignore[arg-type]
    assert len(found.candidates) == MAX_CANDIDATES
    assert all(c.instance.isalnum() for c in found.candidates.values())
    await found._note(FakeZeroconf(), found._instance, True)  # type: ignore[arg-type]
    assert found._instance not in found.candidates


async def test_a_network_that_is_not_ready_is_a_warning_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(host: str) -> list[Any]:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(discovery, "_own_addresses", unreachable)
    found = Discovery("127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.run, 7400)
        await until(lambda: "Network is unreachable" in found.problem)
        nursery.cancel_scope.cancel()


async def test_a_missing_package_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    found = Discovery("127.0.0.1")
    await found.run(7400)
    assert "pip install zeroconf" in found.problem


def test_the_announced_addresses_are_not_loopback_unless_told() -> None:
    assert [str(a) for a in discovery._own_addresses("127.0.0.1")] == ["127.0.0.1"]
    assert not any(a.is_loopback for a in discovery._own_addresses("0.0.0.0"))
