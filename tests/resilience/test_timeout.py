"""Timeouts: whose cancellation it is, and what the function may still do."""

from __future__ import annotations

import asyncio

import pytest

from tests.resilience._calls import Service, driven, outcome
from undercroft._core.clock import VirtualClock
from undercroft.monitoring import get_counter
from undercroft.resilience import CallTimeoutError, PolicyError, Timeout

pytestmark = pytest.mark.anyio


async def test_call_in_time_returns(clock: VirtualClock) -> None:
    assert await Timeout("1s", clock=clock).call(Service("ok")) == "ok"


async def test_call_that_takes_longer_is_cancelled_and_says_so(clock: VirtualClock) -> None:
    service = Service(gate=asyncio.Event())
    error = await driven(clock, lambda: outcome(Timeout("2s", name="t", clock=clock).call(service)), 2)
    assert isinstance(error, CallTimeoutError)
    assert isinstance(error, TimeoutError)
    assert (error.timeout_s, error.kind, error.http_status) == (2, "unavailable", 504)
    assert "Service took longer than 2s" in error.message
    assert service.cancelled == 1
    assert get_counter("undercroft_call_timeouts_total", labels={"timeout": "t"}) == 1


async def test_cancellation_from_outside_stays_one(clock: VirtualClock) -> None:
    task = asyncio.ensure_future(Timeout("2s", clock=clock).call(Service(gate=asyncio.Event())))
    await clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timeout_of_the_function_itself_passes(clock: VirtualClock) -> None:
    error = TimeoutError("mine")
    assert await outcome(Timeout("2s", clock=clock).call(Service(error))) is error


async def test_outer_timeout_is_the_outer_ones_error(clock: VirtualClock) -> None:
    service = Service(gate=asyncio.Event())
    inner, outer = Timeout("5s", clock=clock), Timeout("2s", clock=clock)
    error = await driven(clock, lambda: outcome(outer.call(inner.call, service)))
    assert isinstance(error, CallTimeoutError)
    assert error.timeout_s == 2


async def test_function_may_clean_up(clock: VirtualClock) -> None:
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    assert isinstance(await driven(clock, lambda: outcome(Timeout(1, clock=clock).call(work))), CallTimeoutError)
    assert cleaned == [True]


async def test_host_clock_cuts_off_too() -> None:
    assert isinstance(await outcome(Timeout("10ms").call(Service(gate=asyncio.Event()))), CallTimeoutError)


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(PolicyError):
        Timeout(0)
