"""Calls made at the same time, and kernels in threads."""

from __future__ import annotations

import threading

import pytest
import trio

from hansa.config.errors import ConfigError
from hansa.protocols.mpc.concurrency import LONG, gather, offload


async def test_results_stand_in_the_order_of_the_calls(autojump_clock):
    async def after(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    began = trio.current_time()
    assert await gather(after(3.0), after(1.0), after(2.0)) == [3.0, 1.0, 2.0]
    assert trio.current_time() - began == pytest.approx(3.0)
    assert await gather() == []


async def test_one_error_ends_the_other_calls_and_is_raised_bare():
    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ConfigError("no such file", remedy="write it")

    with trio.fail_after(5), pytest.raises(ConfigError, match="no such file"):
        await gather(trio.Event().wait(), fail())


async def test_a_foreign_error_is_not_hidden():
    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError

    with pytest.raises(ExceptionGroup) as caught:
        await gather(fail())
    assert caught.group_contains(ValueError)


async def test_only_long_work_leaves_the_event_loop():
    here = threading.get_ident()
    assert await offload(LONG - 1, threading.get_ident) == here
    assert await offload(LONG, threading.get_ident) != here
