"""Bulkheads: how many run, who is next, and that no place is ever lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.resilience._calls import Service, outcome
from undercroft._core.clock import VirtualClock
from undercroft._core.errors import Kind
from undercroft.monitoring import get_counter, get_gauge
from undercroft.resilience import Bulkhead, BulkheadFullError, PolicyError

pytestmark = pytest.mark.anyio


def start(bulkhead: Bulkhead, service: Service, count: int = 1) -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(outcome(bulkhead.call(service))) for _ in range(count)]


async def test_no_more_run_at_once_than_allowed(clock: VirtualClock) -> None:
    service = Service(gate=asyncio.Event())
    bulkhead = Bulkhead(3, max_waiting=100, clock=clock)
    tasks = start(bulkhead, service, 50)
    await clock.advance(0)
    assert (bulkhead.running, bulkhead.waiting, service.running) == (3, 47, 3)
    assert service.gate is not None
    service.gate.set()
    assert await asyncio.gather(*tasks) == ["ok"] * 50
    assert (service.most_running, bulkhead.running, bulkhead.waiting) == (3, 0, 0)


async def test_call_that_finds_no_place_is_refused_and_not_made(clock: VirtualClock) -> None:
    service = Service(gate=asyncio.Event())
    bulkhead = Bulkhead(1, max_waiting=1, name="full", clock=clock)
    start(bulkhead, service, 2)
    await clock.advance(0)
    error = await outcome(bulkhead.call(service))
    assert isinstance(error, BulkheadFullError)
    assert (error.bulkhead, error.kind, error.http_status) == ("full", Kind.REFUSED, 503)
    assert service.calls == 1
    assert get_counter("undercroft_bulkhead_refused_total", labels={"bulkhead": "full", "reason": "full"}) == 1
    assert get_gauge("undercroft_bulkhead_running", labels={"bulkhead": "full"}) == 1


async def test_who_came_first_is_let_in_first(clock: VirtualClock) -> None:
    bulkhead, order = Bulkhead(1, max_waiting=10, clock=clock), []

    async def one(number: int) -> None:
        order.append(number)
        await clock.sleep(1)

    tasks = [asyncio.ensure_future(bulkhead.call(one, number)) for number in range(8)]
    await clock.advance(3.5)
    late = asyncio.ensure_future(bulkhead.call(one, 99))
    await clock.advance(20)
    await asyncio.gather(*tasks, late)
    assert order == [0, 1, 2, 3, 4, 5, 6, 7, 99]


async def test_who_waits_too_long_is_refused(clock: VirtualClock) -> None:
    service = Service(gate=asyncio.Event())
    bulkhead = Bulkhead(1, max_waiting=5, wait="2s", clock=clock)
    start(bulkhead, service)
    (waiting,) = start(bulkhead, service)
    await clock.advance(2)
    error = await waiting
    assert isinstance(error, BulkheadFullError)
    assert "within 2s" in error.message
    assert (bulkhead.running, bulkhead.waiting, service.calls) == (1, 0, 1)


async def test_place_is_given_back_whatever_the_call_does(clock: VirtualClock) -> None:
    bulkhead = Bulkhead(1, clock=clock)
    await outcome(bulkhead.call(Service(ValueError())))
    (task,) = start(bulkhead, Service(gate=asyncio.Event()))
    await clock.advance(0)
    task.cancel()
    await asyncio.wait([task])
    assert bulkhead.running == 0
    assert await bulkhead.call(Service("ok")) == "ok"


async def test_place_that_is_given_while_its_taker_is_cancelled_goes_on(clock: VirtualClock) -> None:
    gate = asyncio.Event()
    bulkhead = Bulkhead(1, max_waiting=2, clock=clock)
    (first,) = start(bulkhead, Service(gate=gate))
    await clock.advance(0)
    (second,) = start(bulkhead, Service("ok"))
    await clock.advance(0)
    (third,) = start(bulkhead, Service("third"))
    await clock.advance(0)
    gate.set()
    while not first.done():
        await asyncio.sleep(0)
    second.cancel()  # it has the place by now, and has not run since
    await asyncio.wait([second])
    assert await third == "third"
    assert (bulkhead.running, bulkhead.waiting) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_cancelling_at_random_loses_no_place(seed: int) -> None:
    chance = random.Random(seed)
    bulkhead = Bulkhead(3, max_waiting=30)

    async def work() -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(bulkhead.call(work)) for _ in range(30)]
    for _ in range(40):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0)
        assert bulkhead.running <= 3
    await asyncio.wait(tasks)
    assert (bulkhead.running, bulkhead.waiting) == (0, 0)


async def test_block_and_decorator() -> None:
    bulkhead = Bulkhead(1)

    @bulkhead
    async def one() -> int:
        return bulkhead.running

    assert await one() == 1
    async with bulkhead:
        assert isinstance(await outcome(one()), BulkheadFullError)
    assert bulkhead.running == 0


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1, -1), (1.5,), (True,)])
def test_wrong_bounds_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(PolicyError):
        Bulkhead(*arguments)
